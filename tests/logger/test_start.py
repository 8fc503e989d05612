"""What a logger does that starts before what it needs."""

import asyncio
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from logger import aggregator
from logger.settings import LoggerSettings
from pipeline.errors import QueueUnavailableError


async def test_a_logger_that_starts_while_the_queue_is_away_tries_on_until_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = asyncio.Event()
    with socket.socket() as closed:  # bound, not listening: nobody answers there, and nobody else gets the port
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("QUEUE_URL", f"kafka://127.0.0.1:{closed.getsockname()[1]}/t")
        monkeypatch.setenv("STORE_URL", str(tmp_path / "store"))
        with capture_logs() as said:
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                running = group.create_task(_ending(stopping))
                while sum("trying again" in line["event"] for line in said) < 2:
                    assert not running.done()
                    await asyncio.sleep(0.02)
                stopping.set()
    assert isinstance(running.result(), QueueUnavailableError)


async def _ending(stopping: asyncio.Event) -> Exception | None:
    try:
        await aggregator.run(LoggerSettings.load(), stopping)
    except QueueUnavailableError as error:
        return error
    return None
