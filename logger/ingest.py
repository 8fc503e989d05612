"""Ingest: from the queue to the head to the table.

::

    fetch --> shard.take (thread): decode, accept, parse, join --> head.append --> followers
      ^ waits while the head has no room                             |
                                                                     v  every LOGGER_FLUSH_SECONDS or _BYTES
              queue.commit <-- head.committed <-- table.commit (thread) <-- columns (thread)

What a commit covers is settled at one moment: batches, positions and resume states are taken together while no records
are being taken in. Then fetching goes on beside the commit. A crash at any point repeats records from the position of
the last commit, from the resume state of that same position.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final, Protocol, TypeVar

import pyarrow as pa
import structlog

from logger.columns import flush_parts
from logger.head import Head
from logger.metrics import IngestMetrics
from logger.resume import ShardState, decode_state, encode_state
from logger.rows import Batch
from logger.shard import Shard
from pipeline.errors import FormatError, OffsetOutOfRangeError, QueueUnavailableError, StoreUnavailableError
from pipeline.failpoints import failpoint
from pipeline.limits import MIB
from pipeline.queue import Consumer, Record
from pipeline.service import Health

log = structlog.get_logger()

T = TypeVar("T")

_FETCH_BYTES: Final = 4 * MIB
"""Compressed bytes of one fetch: enough lines for array operations to pay, few enough to stay quick."""

_WAIT_SECONDS: Final = 0.5
"""Longest wait for records or room before looking whether to stop."""

_IDLE_FACTOR: Final = 6
"""While there are no rows, positions are committed this much more rarely: each commit is a version of the table."""

_BACKOFF_SECONDS: Final = 0.2
_BACKOFF_MOST_SECONDS: Final = 15.0


class _Position(Protocol):
    @property
    def positions(self) -> Mapping[int, int]: ...


class CommitsRows(Protocol):
    """What ingest needs of `logger.table.IngestTable`; its methods block."""

    @property
    def snapshot(self) -> _Position:
        """The table's positions."""

    def load_states(self) -> dict[int, bytes]:
        """Resume states."""

    def commit(
        self, *, parts: Mapping[str, pa.Table], positions: Mapping[int, int], states: Mapping[int, bytes]
    ) -> object:
        """Commit rows, positions and states together."""


@dataclass(frozen=True, slots=True)
class _Flush:
    """What one commit covers."""

    batches: list[Batch]
    positions: dict[int, int]
    states: dict[int, bytes]


class Ingest:
    """The loop.

    Args:
        consumer: The queue.
        table: The table's one handle for commits.
        head: Where rows go.
        make_shard: Makes a shard that goes on from a resume state.
        flush_seconds: Rows are committed at least this often,
        flush_bytes: and when they are so many.
        metrics: Where things are counted.
        health: Gets the parts `queue`, `store` and `ingest`.
    """

    def __init__(
        self,
        *,
        consumer: Consumer,
        table: CommitsRows,
        head: Head,
        make_shard: Callable[[int, ShardState], Shard],
        flush_seconds: float,
        flush_bytes: int,
        metrics: IngestMetrics,
        health: Health,
    ) -> None:
        self._consumer = consumer
        self._table = table
        self._head = head
        self._make_shard = make_shard
        self._flush_seconds = flush_seconds
        self._flush_bytes = flush_bytes
        self._metrics = metrics
        self._health = health
        self._shards: dict[int, Shard] = {}
        self._committed: dict[int, int] = {}
        self._committed_at = time.monotonic()
        self._taking = asyncio.Lock()
        self._due = asyncio.Event()
        self._fetched_last = asyncio.Event()
        # Threads of its own: queries, which use the loop's default ones, must not make ingest wait.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ingest")
        for part in ("queue", "store", "ingest"):
            health.broken(part, "starting")

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until `stopping` is set; then commit what is there.

        Raises:
            FencedError: Another logger has taken over.
            FormatError: A resume state is of no known version.
            OffsetOutOfRangeError: The queue ends before the table's position.
        """
        try:
            if not self._shards:
                await self.resume()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fetch_all(stopping), name="fetch")
                group.create_task(self._flush_all(stopping), name="flush")
        finally:
            self._threads.shutdown(wait=False)

    async def resume(self) -> None:
        """Begin where the table ends; `run` does it unless it is done, so that readers find the shards known."""
        states = await self._in_thread(self._table.load_states)
        positions = self._table.snapshot.positions
        starts = await self._consumer.starts()
        for number in range(self._consumer.partitions):
            state = self._first_state(number, positions, states, starts)
            shard = self._shards[number] = self._make_shard(number, state)
            self._committed[number] = positions.get(number, -1)
            self._head.resume(number, shard.next_offset, shard.heartbeats())
        self._health.ready("store")
        self._health.ready("ingest")

    def _first_state(
        self, number: int, positions: Mapping[int, int], states: Mapping[int, bytes], starts: Mapping[int, int]
    ) -> ShardState:
        if number not in positions:
            start = starts.get(number, 0)
            if start:
                self._count_lost(number, 0, start)
            return ShardState(start)
        if number not in states:
            raise FormatError(f"shard {number} stands at {positions[number]} without a resume state")
        state = decode_state(states[number])
        if state.next_offset != positions[number]:
            raise FormatError(f"shard {number} stands at {positions[number]}, its resume state at {state.next_offset}")
        return state

    async def _fetch_all(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            if not await self._has_room():
                continue
            try:
                records = await self._fetch()
                failures = 0
            except QueueUnavailableError as error:
                self._health.broken("queue", str(error))
                failures += 1
                await _pause(failures, stopping)
                continue
            await self._take(records)
        # Said after an orderly end only: after an error in the middle of a batch its state must not be committed.
        self._fetched_last.set()
        self._due.set()

    async def _has_room(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._head.room()
                self._health.ready("ingest")
                return True
        self._health.broken("ingest", "paused: the head is full of rows that wait for the store")
        return False

    async def _fetch(self) -> list[Record]:
        """The next records; after what the queue has dropped where it has dropped any.

        Raises:
            QueueUnavailableError: Try again later.
            OffsetOutOfRangeError: The queue ends before the table's position: it is not the queue that it was.
        """
        positions = {number: shard.next_offset for number, shard in self._shards.items()}
        try:
            records = await self._consumer.fetch(positions, max_bytes=_FETCH_BYTES, wait_seconds=_WAIT_SECONDS)
        except OffsetOutOfRangeError as error:
            if error.offset > error.start:
                raise
            self._count_lost(error.partition, error.offset, error.start)
            async with self._taking:
                self._shards[error.partition].skip_to(error.start)
                self._head.skip(error.partition, error.start)
            records = []
        self._health.ready("queue")
        failpoint("logger.fetched")
        return records

    def _count_lost(self, shard: int, begin: int, end: int) -> None:
        log.error("records were dropped by the queue before they were read", shard=shard, begin=begin, end=end)
        self._metrics.lost_records.inc(end - begin)

    async def _take(self, records: list[Record]) -> None:
        """Turn records into batches of the head, shard by shard, some MB at a time."""
        records.sort(key=attrgetter("partition"))
        for number, of_shard in groupby(records, key=attrgetter("partition")):
            rest = list(of_shard)
            while rest:
                async with self._taking:
                    taken, batch = await self._in_thread(partial(self._shards[number].take, rest))
                    failpoint("logger.parsed")
                    self._head.append(batch)
                rest = rest[taken:]
                if self._head.waiting_bytes >= self._flush_bytes:
                    self._due.set()

    async def _flush_all(self, stopping: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_seconds):
                    await self._due.wait()
            if not self._fetched_last.is_set():
                self._due.clear()
                await self.flush(stopping)
            else:
                await self.flush(stopping, last=True)
                return

    async def flush(self, stopping: asyncio.Event, *, last: bool = False) -> None:
        """Commit what is in the head, if there is anything worth it."""
        async with self._taking:
            flush = await self._in_thread(self._collect(last=last))
        if flush.positions:
            await self._commit(flush, stopping)

    def _collect(self, *, last: bool) -> Callable[[], _Flush]:
        """Settle what the next commit covers; the states are encoded in a thread, before more records are taken."""
        waiting = self._head.waiting()
        batches = [batch for of_shard in waiting.values() for batch in of_shard]
        moved = {
            number: shard
            for number, shard in self._shards.items()
            if shard.next_offset > max(self._committed[number], 0)
        }
        idle = not any(batch.rows for batch in batches)
        if idle and not last and time.monotonic() - self._committed_at < _IDLE_FACTOR * self._flush_seconds:
            moved = {}
        positions = {number: shard.next_offset for number, shard in moved.items()}
        return lambda: _Flush(
            batches, positions, {number: encode_state(shard.state()) for number, shard in moved.items()}
        )

    async def _commit(self, flush: _Flush, stopping: asyncio.Event) -> None:
        begun = time.monotonic()
        parts: dict[str, pa.Table] = await self._in_thread(lambda: flush_parts(flush.batches))
        failpoint("logger.flushed")
        failures = 0
        while True:
            try:
                await self._in_thread(
                    lambda: self._table.commit(parts=parts, positions=flush.positions, states=flush.states)
                )
                break
            except StoreUnavailableError as error:
                failures += 1
                self._note_failure(error, failures)
                if stopping.is_set():
                    return  # the queue has it all: the next start repeats it
                await _pause(failures, stopping)
        self._health.ready("store")
        self._metrics.commits.inc()
        self._metrics.commit_seconds.observe(time.monotonic() - begun)
        self._committed_at = time.monotonic()
        self._committed |= flush.positions
        self._head.committed(flush.positions)
        failpoint("logger.committed")
        await self._tell_queue(flush.positions)

    def _note_failure(self, error: StoreUnavailableError, failures: int) -> None:
        self._health.broken("store", str(error))
        self._metrics.commit_failures.inc()
        if failures == 1:
            log.error("store unavailable, commit is repeated", error=str(error))

    async def _tell_queue(self, positions: Mapping[int, int]) -> None:
        try:
            await self._consumer.commit(positions)
        except QueueUnavailableError as error:
            log.warning("queue not told of the commit; the next one tells it", error=str(error))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


async def _pause(failures: int, stopping: asyncio.Event) -> None:
    """Wait before trying again: longer each time, with jitter, and not when it is time to stop."""
    most = min(_BACKOFF_MOST_SECONDS, _BACKOFF_SECONDS * 2 ** min(failures, 10))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter
            await stopping.wait()
