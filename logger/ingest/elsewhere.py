"""How far the shards of other loggers are complete: what their newest commits say.

Heartbeats are part of a shard's resume state, so they are durable with the rows that they speak of. Whoever reads that
version of the table, or a newer one, has all of those rows, whether or not the shard's owner answers.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Final, Protocol

import structlog

from logger.head import Head
from pipeline.errors import StoreUnavailableError
from pipeline.lines.resume import decode_summary

log = structlog.get_logger()

EVERY_SECONDS: Final = 5.0

STATES: Final = 8
"""Commits whose states are read at one look, in turn. With fifty loggers each would else read what all of them commit:
requests as the square of the loggers, for a number that may as well be half a minute old."""


class LooksAtStates(Protocol):
    """What this needs of `logger.table.writer.IngestTable`; blocks."""

    def look(self, shards: Collection[int], *, known: Mapping[int, int], most: int) -> dict[int, tuple[int, bytes]]:
        """Ids and resume states that are not known yet, of `most` commits."""


class Elsewhere:
    """Keeps the head told of the shards that it does not have.

    Args:
        table: Where resume states are read.
        head: Is told.
        shards: All shards of the queue.
    """

    def __init__(self, *, table: LooksAtStates, head: Head, shards: Collection[int]) -> None:
        self._table = table
        self._head = head
        self._shards = frozenset(shards)
        self._known: dict[int, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Look every `EVERY_SECONDS` until `stopping` is set. A store that does not answer is left to others to tell.

        Raises:
            FormatError: A resume state is of no known version.
        """
        while not stopping.is_set():
            with contextlib.suppress(StoreUnavailableError):
                await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await stopping.wait()

    async def look(self) -> None:
        """Look once.

        Raises:
            StoreUnavailableError: The storage fails.
            FormatError: See `run`.
        """
        others = self._shards - self._head.shards()
        self._known = {shard: identity for shard, identity in self._known.items() if shard in others}
        found = await asyncio.to_thread(self._table.look, others, known=self._known, most=STATES) if others else {}
        for shard, (identity, state) in found.items():
            self._known[shard] = identity
            self._head.hear(shard, decode_summary(state).heartbeats())
