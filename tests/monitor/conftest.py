"""What the monitor's tests share."""

import socket

import pytest

from monitor import monitor


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that stops, and tries again, at once."""
    monkeypatch.setattr(monitor, "_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(monitor, "_RETRY_SECONDS", 0.02)


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
