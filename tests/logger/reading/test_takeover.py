"""A shard is whole while it has all that the queue had at its take-over, and a few seconds ago; else it says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from logger.head import Head
from logger.reading import peerstakeover
from logger.reading.peerstakeover import BEHIND_SECONDS, Takeover
from pipeline.errors import QueueUnavailableError


class Queue:
    """Says where it ends, when it answers; and the clock."""

    def __init__(self) -> None:
        self.ends = {0: 5, 1: 5}
        self.answers = True
        self.seconds = 1000.0
        self.looks = 0

    async def ask(self) -> dict[int, int]:
        self.looks += 1
        if not self.answers:
            raise QueueUnavailableError("away")
        return dict(self.ends)


@contextlib.asynccontextmanager
async def watched(head: Head, queue: Queue) -> AsyncIterator[Takeover]:
    takeover = Takeover(head=head, ends=queue.ask, clock=lambda: queue.seconds)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(takeover.run())
        yield takeover
        task.cancel()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for signals nothing
            await asyncio.sleep(0.002)


async def looked(queue: Queue) -> None:
    """Wait until the queue was asked anew, and the answer has been heard."""
    seen = queue.looks
    await until(lambda: queue.looks > seen + 1)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(peerstakeover, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(peerstakeover, "_AGAIN_SECONDS", 0.01)
    return Queue()


@pytest.fixture
def head() -> Head:
    made = Head(limit_bytes=10**6, shards=range(2))
    made.resume(0, 5, {})
    return made


async def test_a_shard_is_loading_until_it_has_what_the_queue_had_at_its_take_over(head: Head, queue: Queue) -> None:
    async with watched(head, queue) as takeover:
        assert takeover.is_loading(0)  # nothing is known yet
        await until(lambda: not takeover.is_loading(0))
        assert takeover.is_loading(1)  # it is not here
        head.resume(1, 4, {})
        await looked(queue)
        queue.ends = {0: 5, 1: 0}  # as an older leader may say: no less is due than was
        await looked(queue)
        assert takeover.is_loading(1)
        assert not takeover.is_loading(1, end=4)
        head.resume(1, 5, {})
        assert not takeover.is_loading(1)


async def test_a_shard_that_falls_behind_by_seconds_is_loading_until_it_catches_up(head: Head, queue: Queue) -> None:
    async with watched(head, queue) as takeover:
        await until(lambda: not takeover.is_loading(0))
        queue.ends = {0: 6}
        await looked(queue)
        assert not takeover.is_loading(0)  # the record may have come just now
        queue.seconds += BEHIND_SECONDS + 0.1
        await looked(queue)
        assert takeover.is_loading(0)
        head.resume(0, 6, {})
        assert not takeover.is_loading(0)


async def test_a_logger_that_cannot_ask_the_queue_does_not_vouch_for_its_shards(head: Head, queue: Queue) -> None:
    """As one that was frozen, and answers before it has asked: what it has is as old as its last look."""
    async with watched(head, queue) as takeover:
        await until(lambda: not takeover.is_loading(0))
        queue.answers = False
        await looked(queue)
        queue.seconds += BEHIND_SECONDS - 0.1
        assert not takeover.is_loading(0)
        queue.seconds += 0.2
        assert takeover.is_loading(0)
        queue.answers = True
        await until(lambda: not takeover.is_loading(0))
