"""What all tests share: `--forbid-skips`, so that a green run in CI has run everything."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forbid-skips", action="store_true", help="fail the run if any test was skipped")


class _SkipGuard:
    """Remembers what was skipped, and fails a run that would otherwise be green."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.skipped and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in self.skipped:
            terminalreporter.write_line(f"FORBIDDEN SKIP {name}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--forbid-skips"):
        config.pluginmanager.register(_SkipGuard(), "skip-guard")
