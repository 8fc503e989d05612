"""Which shards have been read up to where the queue ended when they were taken over: before, an answer lacks lines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from pipeline.errors import QueueUnavailableError

log = structlog.get_logger()

_AGAIN_SECONDS: Final = 0.5


class OwnsShards(Protocol):
    """What is needed of `logger.head.Head`."""

    def shards(self) -> frozenset[int]:
        """Shards owned."""

    def ends(self) -> Mapping[int, int]:
        """Offset after the last record, by shard."""

    async def wait(self, seen: int) -> int:
        """Wait for the counter of changes to be above `seen`."""


class Takeover:
    """Watches the head's shards.

    Args:
        head: The head.
        ends: Offset after the last record of each shard in the queue.
    """

    def __init__(self, *, head: OwnsShards, ends: Callable[[], Awaitable[Mapping[int, int]]]) -> None:
        self._head = head
        self._ends = ends
        self._targets: dict[int, int] = {}
        self._asked: dict[int, object] = {}  # a shard that comes back meanwhile has another object
        self._new = asyncio.Event()

    def is_loading(self, shard: int, end: int | None = None) -> bool:
        """Whether rows may be missing before `end`, or before where the queue ended at the take-over."""
        have = self._head.ends().get(shard)
        if have is None:
            return True
        if end is not None and have >= end:
            return False
        target = self._targets.get(shard)
        return target is None or have < target

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="take-over watch")
            group.create_task(self._ask(), name="take-over ends")

    async def _watch(self) -> None:
        seen = -1
        while True:
            seen = await self._head.wait(seen)
            owned = self._head.shards()
            for shard in self._asked.keys() - owned:
                del self._asked[shard]
                self._targets.pop(shard, None)
            for shard in owned - self._asked.keys():
                self._asked[shard] = object()
                self._new.set()

    async def _ask(self) -> None:
        while True:
            await self._new.wait()
            self._new.clear()
            asked = {shard: mark for shard, mark in self._asked.items() if shard not in self._targets}
            try:
                ends = await self._ends()
            except QueueUnavailableError as error:
                log.warning("not known how far shards taken over reach, trying again", error=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)
                self._new.set()
                continue
            self._targets |= {
                shard: ends.get(shard, 0) for shard, mark in asked.items() if self._asked.get(shard) is mark
            }
