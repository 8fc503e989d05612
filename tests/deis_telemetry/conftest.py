"""The command, run in this process in an empty home directory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deis_telemetry.__main__ import main


@dataclass(frozen=True)
class Outcome:
    """What a run of the command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run `deis-telemetry` with arguments."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "DEIS_PROFILE", "HEPHY_PROFILE", "DEIS_TELEMETRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str) -> Outcome:
        capfdbinary.readouterr()
        status = main(list(arguments))
        captured = capfdbinary.readouterr()
        return Outcome(status, captured.out.decode(), captured.err.decode())

    return run
