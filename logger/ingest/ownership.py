"""Which shards this logger owns: what is gone is dropped, what is new is loaded from the table, and only then fetched.

::

    assignment (queue) --+--> drop: state and rows; what was not committed is read again by the new owner
                         '--> load: position and state from the table --> head.resume --> fetch
    FencedError (table) ----> drop, and load again if the assignment still names the shard
    out of range (queue) ---> no more fetches of it until somebody has moved its position: `python -m logger skip`
    an operator's commit ---> drop, and load again: `skip`, or a gap that was accepted

Ownership by assignment keeps two loggers from doing the same work, no more: one that was stopped still believes in its
old assignment. What keeps rows from being lost or doubled is the fence of the table's commit. So whatever was committed
under another owner is found out there, and what is in memory then is void.

Two locks. `taking` holds the states of all shards still: while records are taken in, while a commit is settled, while a
shard is dropped. `committing` keeps loading apart from a commit under way: a shard that was dropped and comes back must
not be loaded from a version that a commit of ours is about to replace. Who needs both takes `committing` first.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

import structlog

from logger.head import Head
from logger.ingest.deadletters import KeepsBadRecords
from logger.ingest.inherit import close_gaps, newest_runs, take_newer
from logger.ingest.metrics import IngestMetrics
from logger.ingest.shard import Shard
from pipeline.errors import (
    FencedError,
    FormatError,
    OffsetOutOfRangeError,
    QueueUnavailableError,
    StoreUnavailableError,
)
from pipeline.lines.resume import ShardState, decode_state
from pipeline.queue import GroupConsumer
from pipeline.service import Health
from pipeline.threads import Threads

log = structlog.get_logger()

HEALTH_PART: Final = "shards"

RECHECK_SECONDS: Final = 1.0
"""What could not be loaded is tried again after this long."""

FENCED_SECONDS: Final = 2.5
"""A shard that was fenced is not taken back sooner: by then a member that the group takes for gone has been told."""

_COMMANDS_SECONDS: Final = 5.0
"""How often the table is looked at for what an operator has done to a shard that waits for it."""


class TakesShards(Protocol):
    """What ownership needs of `logger.table.writer.IngestTable`; its methods block."""

    def take(self, shards: Collection[int]) -> dict[int, tuple[int, bytes]]:
        """Position and resume state; fences later commits against them."""

    def moved(self, shards: Collection[int]) -> dict[int, int]:
        """Those that somebody else has committed meanwhile, and their positions."""

    def states_of_other_queues(self) -> list[bytes]:
        """Resume states of the queues that the table was fed from before."""


class Ownership:
    """The shards that are owned and loaded.

    Args:
        consumer: The queue, which says what is owned.
        table: The table's one handle for commits.
        head: Where rows go.
        make_shard: Makes a shard that goes on from a resume state; called in a thread.
        dead_letters: Where that shard puts records that are no packs.
        shared: Whether several loggers share the queue. Alone, a fence means that another was started in this one's
            place, and a position that the queue never had that it is another queue: both end the service.
        metrics: Where things are counted.
        health: Gets the parts `shards`, `store` and `queue`.
        threads: For blocking work.

    Attributes:
        shards: Owned and loaded, by number.
        committed: Position of each as committed last; -1 for one that never was.
        blocked: Those whose position the queue does not have.
        taking: See the module.
        committing: See the module.
    """

    def __init__(
        self,
        *,
        consumer: GroupConsumer,
        table: TakesShards,
        head: Head,
        make_shard: Callable[[int, ShardState], Shard],
        dead_letters: KeepsBadRecords,
        shared: bool,
        metrics: IngestMetrics,
        health: Health,
        threads: Threads,
    ) -> None:
        self._consumer = consumer
        self._table = table
        self._head = head
        self._make_shard = make_shard
        self._dead_letters = dead_letters
        self._shared = shared
        self._metrics = metrics
        self._health = health
        self._threads = threads
        self._not_before: dict[int, float] = {}
        self._look_at = 0.0
        self._begun = False
        self.shards: dict[int, Shard] = {}
        self.committed: dict[int, int] = {}
        self.blocked: dict[int, OffsetOutOfRangeError] = {}
        self.taking = asyncio.Lock()
        self.committing = asyncio.Lock()
        health.broken(HEALTH_PART, "starting")

    async def begin(self) -> None:
        """Wait for the first assignment, and load it.

        Raises:
            StoreUnavailableError: The storage fails.
            QueueUnavailableError: The queue does not answer.
            FormatError: A resume state is of no known version, or of another position.
        """
        await self._load((await self._consumer.changed(0)).partitions)
        self._say_health()

    async def run(self) -> None:
        """Follow the assignment until cancelled.

        Raises:
            FormatError: See `begin`.
        """
        while True:
            generation = self._consumer.assignment.generation
            try:
                await self.settle()
            except StoreUnavailableError as error:
                self._health.broken("store", str(error))
            except QueueUnavailableError as error:
                self._health.broken("queue", str(error))
            self._say_health()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECHECK_SECONDS):
                    await self._consumer.changed(generation)

    async def settle(self) -> None:
        """Drop what is gone and load what is new, as far as it is time for it. Raises as `begin` does."""
        owned = self._consumer.assignment.partitions
        await self.drop(self.shards.keys() - owned)
        await self._look_for_commands()
        now = asyncio.get_running_loop().time()
        missing = {number for number in owned - self.shards.keys() if self._not_before.get(number, now) <= now}
        if missing:
            await self._load(missing)

    async def drop(self, numbers: Collection[int]) -> None:
        """Forget shards: state and rows."""
        if not numbers:
            return
        async with self.taking:
            for number in sorted(numbers):
                if self.shards.pop(number, None) is not None:
                    del self.committed[number]
                    self._unblock(number)
                    self._metrics.forget(number)
                    self._dead_letters.forget(number)
                    self._head.drop(number)
        log.info("shards dropped", shards=sorted(numbers))

    async def lose(self, error: FencedError, shards: Collection[int]) -> None:
        """Drop what another logger has committed meanwhile; it is loaded again if it is still ours.

        Raises:
            FencedError: This logger is meant to be the only one, and is not any more.
        """
        if not self._shared and not await self._only_changed(shards):
            raise error
        self._metrics.fenced.inc(len(shards))
        log.warning("fenced: another logger has committed these shards", error=str(error))
        again = asyncio.get_running_loop().time() + FENCED_SECONDS
        self._not_before |= dict.fromkeys(shards, again)
        await self.drop(shards)

    async def _only_changed(self, shards: Collection[int]) -> bool:
        """Whether those who committed shards left their positions alone, as no other logger would."""
        try:
            moved = await self._threads.run(lambda: self._table.moved(shards))
        except StoreUnavailableError:
            return False
        return all(max(self.committed.get(number, 0), 0) == position for number, position in moved.items())

    async def move(self, error: OffsetOutOfRangeError) -> None:
        """Do what is to be done about a position that the queue does not have.

        Several loggers' queue is Kafka, which drops records whether they are read or not: the shard waits for an
        operator. The queue of one machine drops unread records only beyond its outage budget: counted, and on.

        Raises:
            OffsetOutOfRangeError: The queue never had it: it is not the queue that it was.
        """
        if self._shared:
            self._block(error)
            return
        if error.offset > error.start:
            raise error
        self.count_lost(error.partition, error.offset, error.start)
        async with self.taking:
            if error.partition in self.shards:
                self.shards[error.partition].skip_to(error.start)
                self._head.skip(error.partition, error.start)

    def count_lost(self, shard: int, begin: int, end: int) -> None:
        """Count records that nobody has read and nobody will."""
        log.error("records were dropped by the queue before they were read", shard=shard, begin=begin, end=end)
        self._metrics.lost_records.inc(end - begin)

    async def _load(self, numbers: Collection[int]) -> None:
        async with self.committing:
            numbers = self._consumer.assignment.partitions & frozenset(numbers)  # a commit may have taken long
            starts = await self._consumer.starts()
            loaded = await self._threads.run(lambda: self._read(numbers, starts))
            for number, (shard, position) in loaded.items():
                self.shards[number] = shard
                self.committed[number] = position
                self._not_before.pop(number, None)
                self._metrics.show_gaps(number, shard.gaps())
                self._head.resume(number, shard.next_offset, shard.heartbeats())
        self._health.ready("store")
        self._begun = True
        log.info("shards loaded", shards=sorted(loaded))

    def _read(self, numbers: Collection[int], starts: Mapping[int, int]) -> dict[int, tuple[Shard, int]]:
        """Shards as the table has them, and their positions there. Blocks."""
        taken = self._table.take(numbers)
        elsewhere = [decode_state(blob) for blob in self._table.states_of_other_queues()]
        inherited = newest_runs(elsewhere)
        loaded: dict[int, tuple[Shard, int]] = {}
        for number in sorted(numbers):
            if number in taken:
                position, state = taken[number][0], _state_at(number, *taken[number])
                take_newer(state, inherited)
                closed_bytes = close_gaps(state, (run for other in elsewhere for run in other.runs))
                if closed_bytes:
                    log.info("another queue has brought what was missing", shard=number, bytes=closed_bytes)
            else:
                position, state = -1, self._first_state(number, starts.get(number, 0))
            shard = self._make_shard(number, state)
            shard.inherit(inherited)
            loaded[number] = shard, position
        return loaded

    def _first_state(self, number: int, start: int) -> ShardState:
        """Where a shard begins that no commit has: where the queue does."""
        if start:
            self.count_lost(number, 0, start)
        return ShardState(start)

    def _block(self, error: OffsetOutOfRangeError) -> None:
        number = error.partition
        if number not in self.blocked:
            log.error(
                "the queue no longer has this shard's position: it waits for `python -m logger skip`",
                shard=number,
                position=error.offset,
                begin=error.start,
                end=error.end,
            )
        self.blocked[number] = error
        self._metrics.blocked.labels(str(number)).set(max(error.start - error.offset, 1))

    def _unblock(self, number: int) -> None:
        if self.blocked.pop(number, None) is not None:
            self._metrics.blocked.remove(str(number))

    async def _look_for_commands(self) -> None:
        """Find out whether an operator has changed a shard that may wait for that; then it is loaded anew."""
        now = asyncio.get_running_loop().time()
        waiting = {number for number, shard in self.shards.items() if number in self.blocked or shard.gaps().count}
        if not waiting or now < self._look_at:
            return
        self._look_at = now + _COMMANDS_SECONDS
        for number, position in (await self._threads.run(lambda: self._table.moved(waiting))).items():
            shard = self.shards.get(number)
            if shard is None:
                continue
            if number in self.blocked and position > shard.next_offset:
                self.count_lost(number, shard.next_offset, position)
            await self.drop([number])

    def _say_health(self) -> None:
        assignment = self._consumer.assignment
        missing = sorted(assignment.partitions - self.shards.keys())
        if not assignment.generation:
            self._health.broken(HEALTH_PART, "waiting for the group to say which shards are ours")
        elif missing:
            self._health.broken(HEALTH_PART, f"not loaded yet: {missing}")
        elif self.blocked:
            told = "; ".join(str(error) for error in self.blocked.values())
            self._health.broken(HEALTH_PART, f"see `python -m logger skip`: {told}")
        else:
            self._health.ready(HEALTH_PART)
            if not self._begun:  # nothing is assigned: there are more loggers than shards
                self._begun = True
                self._health.ready("store")


def _state_at(number: int, position: int, blob: bytes) -> ShardState:
    state = decode_state(blob)
    if state.next_offset != position:
        raise FormatError(f"shard {number} stands at {position}, its resume state at {state.next_offset}")
    return state
