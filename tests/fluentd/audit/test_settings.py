"""Settings of the audit: memory is bounded before anything is written."""

import pytest

from fluentd.audit.audit import _patience
from fluentd.audit.judge import NS, Patience
from fluentd.audit.settings import AuditSettings
from pipeline.errors import SettingsError


def test_more_lines_than_may_be_remembered_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_LINES_PER_SECOND", "1000")
    with pytest.raises(SettingsError, match=r"AUDIT_LINES_PER_SECOND times .* 4380000 lines to remember, over 500000"):
        AuditSettings.load()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AUDIT_APP", "../x"), ("AUDIT_LOGGER_URL", "http://h/path"), ("AUDIT_LINE_BYTES", "99"), ("AUDIT_LISTEN", "x")],
)
def test_nonsense_is_refused_by_name(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        AuditSettings.load()


def test_a_line_asked_for_late_is_waited_for_as_much_longer() -> None:
    settings = AuditSettings(stored_seconds=100, wait_seconds=10, settle_seconds=2, late_seconds=3)
    assert _patience(settings) == Patience(settle_ns=2 * NS, wait_ns=10 * NS, late_ns=3 * NS)
    assert _patience(settings, stored=True).wait_ns == 110 * NS
