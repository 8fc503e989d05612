"""Queues for tests: every implementation is a parameter, and whatever a test opens is closed after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.queue import Consumer, Producer, open_consumer, open_producer


class OpenQueue:
    """One queue of the kind under test; opens producers and consumers, and closes them at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: list[Producer | Consumer] = []

    async def producer(self) -> Producer:
        """Open another producer."""
        producer = await open_producer(self.url)
        self._opened.append(producer)
        return producer

    async def consumer(self, group: str = "logger") -> Consumer:
        """Open another consumer."""
        consumer = await open_consumer(self.url, group=group)
        self._opened.append(consumer)
        return consumer

    async def close(self) -> None:
        """Close everything that is open."""
        while self._opened:
            await self._opened.pop().close()


@pytest.fixture(params=["sqlite"])
async def a_queue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenQueue]:
    """A new queue of each kind, with 4 partitions."""
    opened = OpenQueue({"sqlite": f"sqlite:///{tmp_path}/queue.db"}[request.param])
    yield opened
    await opened.close()
