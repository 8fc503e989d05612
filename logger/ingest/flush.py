"""Flush: from the head to the table.

::

    settle (states held still): dead letters durable, batches, positions, states --> still that queue? --> sort (thread)
        --> table.commit (thread; repeated while the store is away) --> head.committed --> queue.commit
                 '-- fenced: the shards that others have committed are dropped, the rest is committed without them
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from logger.head import Head
from logger.ingest.deadletters import KeepsBadRecords
from logger.ingest.metrics import IngestMetrics
from logger.ingest.ownership import Ownership
from logger.parts import SortedRows, flush_parts
from pipeline.errors import FencedError, QueueUnavailableError, StoreUnavailableError
from pipeline.failpoints import failpoint
from pipeline.lines.batch import Batch
from pipeline.lines.resume import encode_state
from pipeline.queue import Consumer
from pipeline.retry import pause
from pipeline.service import Health
from pipeline.threads import Threads

log = structlog.get_logger()

_IDLE_FACTOR: Final = 6
"""While there are no rows, positions are committed this much more rarely: each commit is a version of the table."""


class CommitsRows(Protocol):
    """What a flush needs of `logger.table.writer.IngestTable`; blocks."""

    def commit(
        self, *, parts: Mapping[str, SortedRows], positions: Mapping[int, int], states: Mapping[int, bytes]
    ) -> object:
        """Commit rows, positions and states together."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """What one commit covers."""

    batches: list[Batch]
    positions: dict[int, int]
    states: dict[int, bytes]

    def without(self, shards: Collection[int]) -> "_Settled":
        return _Settled(
            [batch for batch in self.batches if batch.shard not in shards],
            {number: position for number, position in self.positions.items() if number not in shards},
            {number: state for number, state in self.states.items() if number not in shards},
        )


_NOTHING: Final = _Settled([], {}, {})


class Flush:
    """Commits what waits in the head.

    Args:
        owned: The shards.
        table: The table's one handle for commits.
        head: Where rows wait.
        consumer: The queue, which is told afterwards.
        dead_letters: Made durable before the position moves past them.
        flush_seconds: Rows are committed at least this often,
        flush_bytes: and when they are so many, which whoever adds them says by `due`.
        metrics: Where things are counted.
        health: Gets the part `store`.
        threads: For blocking work.

    Attributes:
        due: Set it to flush now.
        fails: Whether the commit under way has failed before, and is repeated.
    """

    def __init__(
        self,
        *,
        owned: Ownership,
        table: CommitsRows,
        head: Head,
        consumer: Consumer,
        dead_letters: KeepsBadRecords,
        flush_seconds: float,
        flush_bytes: int,
        metrics: IngestMetrics,
        health: Health,
        threads: Threads,
    ) -> None:
        self._owned = owned
        self._table = table
        self._head = head
        self._consumer = consumer
        self._dead_letters = dead_letters
        self._flush_seconds = flush_seconds
        self._flush_bytes = flush_bytes
        self._metrics = metrics
        self._health = health
        self._threads = threads
        self._committed_at = time.monotonic()
        self.due = asyncio.Event()
        self.fails = False

    async def run(self, fetched_last: asyncio.Event, stopping: asyncio.Event) -> None:
        """Flush again and again, and a last time once `fetched_last` is set.

        Raises:
            FencedError: This logger is meant to be the only one, and is not any more.
            FatalError: The queue was removed or replaced.
        """
        while not fetched_last.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_seconds):
                    await self.due.wait()
            if not fetched_last.is_set():
                self.due.clear()
                await self.flush(stopping)
                if self._head.waiting_bytes < self._flush_bytes:
                    self.due.clear()  # it was said of rows that are committed now: what is left would be a small file
        await self.flush(stopping, last=True)

    async def flush(self, stopping: asyncio.Event, *, last: bool = False) -> None:
        """Commit what is in the head, if there is anything worth it."""
        async with self._owned.committing:
            try:
                async with self._owned.taking:
                    await self._dead_letters.settle()
                    settled = await self._threads.run(self._collect(last=last))
            except QueueUnavailableError as error:
                log.warning("bad records could not be kept aside yet, so nothing is committed", error=str(error))
                return
            if settled.positions:
                await self._check_queue()
            while settled.positions:
                settled = await self._commit_or_lose(settled, stopping)

    async def _check_queue(self) -> None:
        """Make sure that what is about to be committed came from the queue in whose name it is.

        One that does not say has not been replaced, as far as anybody knows, and the commit need not wait for it.

        Raises:
            FatalError: The queue was removed or replaced.
        """
        with contextlib.suppress(QueueUnavailableError):
            await self._consumer.check()

    async def _commit_or_lose(self, settled: _Settled, stopping: asyncio.Event) -> _Settled:
        """Commit; returns what is left to commit: nothing, or what is there without the shards that were fenced."""
        try:
            await self._commit(settled, stopping)
        except FencedError as error:
            lost = error.shards or frozenset(settled.positions)
            await self._owned.lose(error, lost)
            return settled.without(lost)
        return _NOTHING

    def _collect(self, *, last: bool) -> Callable[[], _Settled]:
        """Settle what the next commit covers; the states are encoded in a thread, before more records are taken."""
        owned = self._owned
        batches = [batch for of_shard in self._head.waiting().values() for batch in of_shard]
        moved = {
            number: shard
            for number, shard in owned.shards.items()
            if shard.next_offset > max(owned.committed[number], 0)
        }
        idle = not any(batch.rows for batch in batches)
        if idle and not last and time.monotonic() - self._committed_at < _IDLE_FACTOR * self._flush_seconds:
            moved = {}
        positions = {number: shard.next_offset for number, shard in moved.items()}
        return lambda: _Settled(
            batches, positions, {number: encode_state(shard.state()) for number, shard in moved.items()}
        )

    async def _commit(self, settled: _Settled, stopping: asyncio.Event) -> None:
        begun = time.monotonic()
        self.fails = False
        parts = await self._threads.run(lambda: flush_parts(settled.batches))
        failpoint("logger.flushed")
        failures = 0
        while True:
            try:
                await self._threads.run(
                    lambda: self._table.commit(parts=parts, positions=settled.positions, states=settled.states)
                )
                break
            except StoreUnavailableError as error:
                failures += 1
                self._note_failure(error, failures)
                if stopping.is_set():
                    return  # the queue has it all: the next start repeats it
                await pause(failures, stopping)
        self.fails = False
        self._health.ready("store")
        self._metrics.commits.inc()
        self._metrics.commit_seconds.observe(time.monotonic() - begun)
        await self._note_commit(settled.positions)

    async def _note_commit(self, positions: Mapping[int, int]) -> None:
        self._committed_at = time.monotonic()
        # Nothing is loaded while a commit is under way: what is still owned is what was committed.
        owned = {number: to for number, to in positions.items() if number in self._owned.shards}
        self._owned.committed |= owned
        self._head.committed(owned)
        failpoint("logger.committed")
        try:
            await self._consumer.commit(owned)
        except QueueUnavailableError as error:
            log.warning("queue not told of the commit; the next one tells it", error=str(error))

    def _note_failure(self, error: StoreUnavailableError, failures: int) -> None:
        self.fails = True
        self._health.broken("store", str(error))
        self._metrics.commit_failures.inc()
        if failures == 1:
            log.error("store unavailable, commit is repeated", error=str(error))
