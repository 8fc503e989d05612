"""Which shards here have all that the queue had: of the others an answer may lack lines, and says so.

Two things are asked of a shard. It has been read up to where the queue ended when it was taken over: so no reader sees
less than the owner before had shown. And it has been read up to where the queue ended `BEHIND_SECONDS` ago or less: so
an owner that was frozen, is cut off from the queue or does not keep up is no less honest than one that is away.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from pipeline.errors import QueueUnavailableError

log = structlog.get_logger()

LOOK_SECONDS: Final = 1.0
"""How often the queue's ends are asked for."""

BEHIND_SECONDS: Final = 4.0
"""What the queue took longer ago is here: with a second to spare, of the five that an answer may be behind."""

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
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        head: OwnsShards,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._head = head
        self._ends = ends
        self._clock = clock
        self._targets: dict[int, int] = {}
        self._asked: dict[int, object] = {}  # a shard that comes back meanwhile has another object
        self._looks: deque[tuple[float, Mapping[int, int]]] = deque()
        self._new = asyncio.Event()

    def is_loading(self, shard: int, end: int | None = None) -> bool:
        """Whether rows may be missing: before `end`, from before the take-over, or from `BEHIND_SECONDS` ago."""
        have = self._head.ends().get(shard)
        if have is None:
            return True
        if end is not None and have >= end:
            return False
        target = self._targets.get(shard)
        return target is None or have < target or self._is_behind(shard, have)

    def _is_behind(self, shard: int, have: int) -> bool:
        since = self._clock() - BEHIND_SECONDS
        return not any(at >= since and have >= ends.get(shard, 0) for at, ends in self._looks)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="take-over watch")
            group.create_task(self._look_on(), name="take-over ends")

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

    async def _look_on(self) -> None:
        while True:
            self._new.clear()
            wait_seconds = LOOK_SECONDS
            try:
                await self._look()
            except QueueUnavailableError as error:
                wait_seconds = _AGAIN_SECONDS
                log.debug("not known how far the queue reaches, trying again", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._new.wait()

    async def _look(self) -> None:
        """Ask where the queue ends; what it ended at when the answer came may be more, never less."""
        asked = {shard: mark for shard, mark in self._asked.items() if shard not in self._targets}
        at = self._clock()
        ends = await self._ends()
        self._targets |= {shard: ends.get(shard, 0) for shard, mark in asked.items() if self._asked.get(shard) is mark}
        self._looks.append((at, ends))
        while self._looks[0][0] < at - BEHIND_SECONDS:
            self._looks.popleft()
