"""Ingest: from the queue to the head to the table.

::

    ownership --> which shards                                     '--> flush: head --> table, see logger.flush
        |                                                          |
        v                                                          |
      fetch --> shard.take (thread): decode, accept, parse, join --+--> head.append --> followers
        ^ while the head has no room, of shards with few rows only

What a commit covers is settled at one moment: batches, positions and resume states are taken together while no records
are being taken in. Then fetching goes on beside the commit. A crash at any point repeats records from the position of
the last commit, from the resume state of that same position.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

import structlog

from logger.head import Head
from logger.ingest.deadletters import KeepsBadRecords
from logger.ingest.flush import CommitsRows, Flush
from logger.ingest.metrics import IngestMetrics
from logger.ingest.ownership import Ownership, TakesShards
from logger.ingest.shard import Shard
from pipeline.errors import OffsetOutOfRangeError, QueueUnavailableError
from pipeline.failpoints import failpoint
from pipeline.limits import MIB
from pipeline.lines.resume import ShardState
from pipeline.queue import GroupConsumer, Record
from pipeline.retry import pause
from pipeline.service import Health
from pipeline.threads import Threads

log = structlog.get_logger()

_FETCH_BYTES: Final = 1 * MIB
"""Compressed bytes of one fetch: enough lines for array operations to pay, few enough that a shard of which little
comes has its turn soon. 4 MiB cost followers of others 0.2 s beside a loud shard, and CPU: they leave the caches."""

_WAIT_SECONDS: Final = 0.5
"""Longest wait for records or room before looking whether to stop, or what else is owned."""

_SHORT_WAIT_SECONDS: Final = 0.05
"""The same while what is loaded, or what has room again, is not among what is waited for."""

_FULL_SECONDS: Final = 30.0
"""A head that is full so long is a fault. Shorter, it is what bounds memory: one commit at full load takes a second or
two, in which nothing else need be wrong."""

_BAD_BYTES: Final = 8 * MIB
"""So many bytes of records that are no packs wait to be kept aside; then nothing more is taken in."""


class IngestsRows(CommitsRows, TakesShards, Protocol):
    """What ingest needs of `logger.table.writer.IngestTable`."""


class Ingest:
    """The loop.

    Args:
        consumer: The queue, and what of it is owned.
        table: The table's one handle for commits.
        head: Where rows go.
        make_shard: Makes a shard that goes on from a resume state.
        dead_letters: Where that shard puts records that are no packs.
        shared: Whether several loggers share the queue; see `logger.ingest.ownership`.
        flush_seconds: Rows are committed at least this often,
        flush_bytes: and when they are so many.
        metrics: Where things are counted.
        health: Gets the parts `queue`, `store`, `shards` and `ingest`.
    """

    def __init__(
        self,
        *,
        consumer: GroupConsumer,
        table: IngestsRows,
        head: Head,
        make_shard: Callable[[int, ShardState], Shard],
        dead_letters: KeepsBadRecords,
        shared: bool,
        flush_seconds: float,
        flush_bytes: int,
        metrics: IngestMetrics,
        health: Health,
    ) -> None:
        self._consumer = consumer
        self._head = head
        self._dead_letters = dead_letters
        self._flush_bytes = flush_bytes
        self._health = health
        self._fetched_last = asyncio.Event()
        self._had_room_at = time.monotonic()
        for part in ("queue", "store", "ingest"):
            health.broken(part, "starting")
        self._threads = Threads(2, "ingest")
        self.owned = Ownership(
            consumer=consumer,
            table=table,
            head=head,
            make_shard=make_shard,
            dead_letters=dead_letters,
            shared=shared,
            metrics=metrics,
            health=health,
            threads=self._threads,
        )
        self._flush = Flush(
            owned=self.owned,
            table=table,
            head=head,
            consumer=consumer,
            dead_letters=dead_letters,
            flush_seconds=flush_seconds,
            flush_bytes=flush_bytes,
            metrics=metrics,
            health=health,
            threads=self._threads,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until `stopping` is set; then commit what is there.

        Raises:
            FencedError: Another logger was started in the place of this one, which is meant to be the only one.
            FormatError: A resume state is of no known version.
            OffsetOutOfRangeError: The queue of this only logger ends before the table's position.
        """
        try:
            async with asyncio.TaskGroup() as group:
                owning = group.create_task(self.owned.run(), name="ownership")
                async with asyncio.TaskGroup() as work:
                    work.create_task(self._fetch_all(stopping), name="fetch")
                    work.create_task(self._flush.run(self._fetched_last, stopping), name="flush")
                owning.cancel()
        finally:
            self._threads.close()

    async def resume(self) -> None:
        """Begin where the table ends, before `run`, so that readers find the shards known; see `Ownership.begin`."""
        await self.owned.begin()
        self._health.ready("ingest")

    async def _fetch_all(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            if not await self._has_room() and not self._open_shards():
                continue
            try:
                await self._fetch()
                failures = 0
            except QueueUnavailableError as error:
                self._health.broken("queue", str(error))
                failures += 1
                await pause(failures, stopping)
        # Said after an orderly end only: after an error in the middle of a batch its state must not be committed.
        self._fetched_last.set()
        self._flush.due.set()

    def _open_shards(self) -> dict[int, Shard]:
        """The shards to fetch now."""
        open_now = self._head.may_grow(self.owned.shards.keys() - self.owned.blocked.keys())
        return {number: shard for number, shard in self.owned.shards.items() if number in open_now}

    async def _has_room(self) -> bool:
        """Wait for room in the head; not where some shards may be fetched without."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self._open_shards() else _WAIT_SECONDS):
                await self._head.room()
                self._had_room_at = time.monotonic()
                self._health.ready("ingest")
                return True
        if self._flush.fails or time.monotonic() - self._had_room_at > _FULL_SECONDS:
            self._health.broken("ingest", "paused: the head is full of rows that wait for the store")
        return False

    async def _fetch(self) -> None:
        """Take the next records in.

        Raises:
            QueueUnavailableError: Try again later.
            OffsetOutOfRangeError: See `Ownership.move`.
        """
        shards = self._open_shards()
        positions = {number: shard.next_offset for number, shard in shards.items()}
        is_loading = not positions and bool(self._consumer.assignment.partitions)
        some_wait = len(shards) < len(self.owned.shards.keys() - self.owned.blocked.keys())
        wait_seconds = _SHORT_WAIT_SECONDS if is_loading or some_wait else _WAIT_SECONDS
        try:
            records = await self._consumer.fetch(positions, max_bytes=_FETCH_BYTES, wait_seconds=wait_seconds)
        except OffsetOutOfRangeError as error:
            if self.owned.shards.get(error.partition) is shards.get(error.partition):
                await self.owned.move(error)
            return
        self._health.ready("queue")
        failpoint("logger.fetched")
        for number, of_shard in _smallest_first(records):
            await self._take(shards[number], number, of_shard)

    async def _take(self, shard: Shard, number: int, records: list[Record]) -> None:
        """Turn records of a shard into batches of the head, some MB at a time."""
        while records:
            async with self.owned.taking:
                if self.owned.shards.get(number) is not shard:
                    return  # given up meanwhile, maybe taken again since: at another position
                taken, batch = await self._threads.run(partial(shard.take, records))
                failpoint("logger.parsed")
                self._head.append(batch)
                if self._dead_letters.waiting_bytes > _BAD_BYTES:
                    await self._dead_letters.settle()
            records = records[taken:]
            if self._head.waiting_bytes >= self._flush_bytes:
                self._flush.due.set()


def _smallest_first(records: Iterable[Record]) -> list[tuple[int, list[Record]]]:
    """Records by partition; what is done soon does not wait for what takes long."""
    by_partition: dict[int, list[Record]] = {}
    for record in records:
        by_partition.setdefault(record.partition, []).append(record)
    return sorted(by_partition.items(), key=lambda item: sum(len(record.value) for record in item[1]))
