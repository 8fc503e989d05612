"""Which shards this monitor owns: what is gone is dropped, what is new is loaded from the store and read on from there.

::

    assignment (queue) --+--> drop what is gone
                         |--> keep what nobody else had meanwhile, as it is
                         |--> keep what somebody may have had: shown again once it has reached the queue's end of now
                         '--> load the rest: newest state --> read on --> shown, the same
    out of range (queue) ---> on at what is left, counted

A shard is a function of its records, so two that believe to own it hold the same. But only one may show it: two scrapes
in turn of a shard that is here and there a step further would see counters go down. So it is shown only while it is
sure that nobody else owns it, see `GroupConsumer.sure_until` and `shown`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Final

import structlog

from monitor.selfmetrics import SelfMetrics
from monitor.shards.held import Held
from monitor.shards.shard import ShardMetrics
from monitor.shards.states import States
from pipeline.errors import FormatError, OffsetOutOfRangeError, QueueUnavailableError, StoreUnavailableError
from pipeline.queue import Assignment, GroupConsumer
from pipeline.service import Health
from pipeline.threads import Threads

log = structlog.get_logger()

HEALTH_PART: Final = "shards"

RECHECK_SECONDS: Final = 1.0
"""What could not be loaded is tried again after this long."""

SETTLE_SECONDS: Final = 1.0
"""A scrape is stamped with the time when it began, and arrives a little later: a shard just taken is in none that may
have begun before the last one of its former owner."""

NAMED_SETTLE_SECONDS: Final = 6.0
"""The same at the start of a monitor with a name: another process may have it and be sure for so long that it owns all.
A group that knows the name hands everything over at once."""


class Owning:
    """The shards that are owned and loaded.

    Args:
        consumer: The queue, which says what is owned.
        states: Where states lie.
        make_shard: Makes a shard that goes on from a state; called in a thread.
        shared: Whether several monitors share the queue.
        named: Whether this one has a stable name in the group.
        metrics: Where things are counted.
        health: Gets the parts `shards`, `store` and `queue`.
        threads: For blocking work.
        clock: Seconds, as of `time.monotonic`.

    Attributes:
        shards: Owned and loaded, by number.
    """

    def __init__(
        self,
        *,
        consumer: GroupConsumer,
        states: States,
        make_shard: Callable[[int, bytes | None], ShardMetrics],
        shared: bool,
        named: bool,
        metrics: SelfMetrics,
        health: Health,
        threads: Threads,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._states = states
        self._make_shard = make_shard
        self._shared = shared
        self._first_seconds = NAMED_SETTLE_SECONDS if named else SETTLE_SECONDS
        self._metrics = metrics
        self._health = health
        self._threads = threads
        self._clock = clock
        self._generation = 0
        self.shards: dict[int, Held] = {}
        health.broken(HEALTH_PART, "starting")

    async def run(self) -> None:
        """Follow the assignment until cancelled.

        Raises:
            FormatError: No state of a shard can be read.
        """
        while True:
            try:
                await self.follow()
            except StoreUnavailableError as error:
                self._health.broken("store", str(error))
            except QueueUnavailableError as error:
                self._health.broken("queue", str(error))
            self.say_health()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECHECK_SECONDS):
                    await self._consumer.changed(self._generation)

    async def follow(self) -> None:
        """Drop, keep and load by the newest assignment. Raises as the queue and the store do."""
        assignment = self._consumer.assignment
        for number in self.shards.keys() - assignment.partitions:
            del self.shards[number]
        if assignment.generation != self._generation:
            await self._keep(assignment)
        missing = assignment.partitions - self.shards.keys()
        if missing:
            await self._load(missing)

    def shown(self, arrived_at: float) -> dict[int, Held]:
        """The shards that a scrape may show which came at `arrived_at`, if that is still so once they were read.

        Raises:
            QueueUnavailableError: It is not sure now what is owned.
        """
        assignment = self._consumer.assignment
        if self._consumer.sure_until <= self._clock() or assignment.generation != self._generation:
            raise QueueUnavailableError("it is not sure which shards are owned here")
        return {
            number: held
            for number, held in sorted(self.shards.items())
            if number in assignment.partitions and held.is_current and held.since <= arrived_at
        }

    def waiting(self) -> Iterator[str]:
        """Why shards are not shown yet, one after the other."""
        assignment = self._consumer.assignment
        if not assignment.generation:
            yield "waiting for the group to say which shards are owned here"
        for number in sorted(assignment.partitions):
            held = self.shards.get(number)
            if held is None:
                yield f"shard {number} is not loaded"
            elif not held.is_current:
                yield f"shard {number} is at {held.position} of {held.end}"

    async def move(self, error: OffsetOutOfRangeError, held: Held) -> None:
        """Go on where the queue still has records.

        Raises:
            OffsetOutOfRangeError: The queue of one machine never had the position: it is not the queue that it was.
        """
        number, position = error.partition, min(max(error.offset, error.start), error.end)
        if error.offset > error.end:
            if not self._shared:
                raise error
            # Brokers lost records that were counted already. What is counted stays; states beyond would be taken for
            # newer than those that follow.
            await self._threads.run(lambda: self._states.drop_beyond(number, error.end))
        log.error("records were lost before they were read", shard=number, asked=error.offset, position=position)
        async with held.taking:
            if self.shards.get(number) is held:
                held.end = min(held.end, error.end)
                await self._threads.run(lambda: held.metrics.skip_to(position))
                held.position = position

    async def _keep(self, assignment: Assignment) -> None:
        """Look at what is held, and was: another may have had some of it meanwhile."""
        is_next = assignment.generation == self._generation + 1
        doubtful = self.shards.keys() - (assignment.kept if is_next else frozenset())
        if doubtful:
            ends = await self._consumer.ends()
            written = await self._newest(doubtful)
            for number in doubtful:
                held = self.shards[number]
                held.end, held.since = ends[number], self._from_now()
                if written.get(number, -1) > held.position:
                    del self.shards[number]  # quicker to be loaded, and the queue may not have all records since
        self._generation = assignment.generation

    async def _newest(self, numbers: Collection[int]) -> dict[int, int]:
        """Positions of the newest states; none when the store does not answer: what is held goes on in memory."""
        try:
            return await self._threads.run(lambda: {number: self._states.newest_offset(number) for number in numbers})
        except StoreUnavailableError as error:
            self._health.broken("store", str(error))
            return {}

    async def _load(self, numbers: Collection[int]) -> None:
        generation = self._consumer.assignment.generation
        starts, ends = await self._consumer.starts(), await self._consumer.ends()
        for number in sorted(numbers):
            metrics = await self._threads.run(partial(self._read, number, starts))
            if self._consumer.assignment.generation != generation:
                return  # what was asked before may be too old now
            self.shards[number] = Held(metrics, ends[number], self._from_now(), metrics.next_offset)
            self._metrics.taken_shards.inc()
        self._health.ready("store")
        log.info("shards loaded", shards=sorted(numbers))

    def _from_now(self) -> float:
        """From when on what is taken now may be shown, seconds of the clock."""
        if not self._shared:
            return self._clock()
        is_first = self._consumer.assignment.generation == 1
        return self._clock() + (self._first_seconds if is_first else SETTLE_SECONDS)

    def _read(self, number: int, starts: Mapping[int, int]) -> ShardMetrics:
        """A shard as the store has it. Blocks.

        Raises:
            FormatError: There are states, and none can be read: to begin anew would lower all counters.
        """
        failed: FormatError | None = None
        for name in self._states.choices(number, start=starts[number]):
            try:
                state = self._states.read(number, name)
                if state is not None:
                    return self._make_shard(number, state)
            except FormatError as error:
                log.error("state cannot be read", shard=number, state=str(name), error=str(error))  # noqa: TRY400 - said all
                self._metrics.state_failures.labels("unreadable").inc()
                failed = error
        if failed is not None:
            raise failed
        metrics = self._make_shard(number, None)
        if starts[number]:
            metrics.skip_to(starts[number])
        return metrics

    def say_health(self) -> None:
        """Say which shards are not ready."""
        reasons = list(self.waiting())
        if reasons:
            self._health.broken(HEALTH_PART, "; ".join(reasons))
        else:
            self._health.ready(HEALTH_PART)
