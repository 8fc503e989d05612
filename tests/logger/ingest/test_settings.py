"""What the logger's settings refuse."""

import asyncio

import pytest

from logger import aggregator
from logger.settings import LoggerSettings
from pipeline.errors import SettingsError


def test_a_head_that_is_smaller_than_a_flush_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGER_HEAD_BYTES", str(2 << 20))
    with pytest.raises(SettingsError, match=r"^LOGGER_HEAD_BYTES=2097152 is less than LOGGER_FLUSH_BYTES=\d+$"):
        LoggerSettings.load()
    monkeypatch.setenv("LOGGER_FLUSH_BYTES", str(2 << 20))
    assert LoggerSettings.load().head_bytes == 2 << 20


@pytest.mark.parametrize("listen", [":8088", "0.0.0.0:8088", "[::]:8088"])
async def test_an_address_that_others_cannot_reach_is_refused_where_loggers_share_a_queue(listen: str) -> None:
    settings = LoggerSettings(queue_url="kafka://127.0.0.1:1/logs", listen=listen, peer_secret="s" * 16)
    with pytest.raises(SettingsError, match=r"^LOGGER_URL: not set, "):
        await aggregator.run(settings, asyncio.Event())
