"""What the logger's settings refuse."""

import pytest

from logger.settings import LoggerSettings
from pipeline.errors import SettingsError


def test_a_head_that_is_smaller_than_a_flush_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGER_HEAD_BYTES", str(2 << 20))
    with pytest.raises(SettingsError, match=r"^LOGGER_HEAD_BYTES=2097152 is less than LOGGER_FLUSH_BYTES=\d+$"):
        LoggerSettings.load()
    monkeypatch.setenv("LOGGER_FLUSH_BYTES", str(2 << 20))
    assert LoggerSettings.load().head_bytes == 2 << 20
