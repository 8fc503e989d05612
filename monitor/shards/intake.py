"""The loop: records into shards."""

import asyncio
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

from monitor.shards.held import Held
from monitor.shards.owning import Owning
from pipeline.errors import OffsetOutOfRangeError, QueueUnavailableError
from pipeline.failpoints import failpoint
from pipeline.queue import GroupConsumer, Record
from pipeline.retry import pause
from pipeline.service import Health
from pipeline.threads import Threads

_WAIT_SECONDS: Final = 0.5
"""Longest wait for records before looking whether to stop, or what else is owned."""

_LOADING_SECONDS: Final = 0.05
"""The same while there is nothing to wait for."""


class Intake:
    """Takes in records of all shards that are held.

    Args:
        consumer: The queue.
        owning: The shards.
        fetch_bytes: Most compressed bytes of one fetch.
        health: Gets the part `queue`.
        threads: For blocking work.
    """

    def __init__(
        self, *, consumer: GroupConsumer, owning: Owning, fetch_bytes: int, health: Health, threads: Threads
    ) -> None:
        self._consumer = consumer
        self._owning = owning
        self._fetch_bytes = fetch_bytes
        self._health = health
        self._threads = threads

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until `stopping` is set.

        Raises:
            OffsetOutOfRangeError: See `Owning.move`.
            FatalError: The queue is damaged, or another one.
        """
        failures = 0
        while not stopping.is_set():
            try:
                await self._fetch()
                failures = 0
            except QueueUnavailableError as error:
                self._health.broken("queue", str(error))
                failures += 1
                await pause(failures, stopping)

    async def _fetch(self) -> None:
        shards = dict(self._owning.shards)
        positions = {number: held.position for number, held in shards.items()}
        is_loading = not positions and bool(self._consumer.assignment.partitions)
        wait_seconds = _LOADING_SECONDS if is_loading else _WAIT_SECONDS
        try:
            records = await self._consumer.fetch(positions, max_bytes=self._fetch_bytes, wait_seconds=wait_seconds)
        except OffsetOutOfRangeError as error:
            if self._owning.shards.get(error.partition) is shards.get(error.partition):
                await self._owning.move(error, shards[error.partition])
            return
        self._health.ready("queue")
        records.sort(key=attrgetter("partition"))
        for number, of_shard in groupby(records, key=attrgetter("partition")):
            await self._take(number, shards[number], list(of_shard))

    async def _take(self, number: int, held: Held, records: list[Record]) -> None:
        """Take records of a shard in, some MB at a time."""
        was_current = held.is_current
        while records:
            async with held.taking:
                if self._owning.shards.get(number) is not held:
                    return  # given up meanwhile, maybe taken again since: at another position
                taken = await self._threads.run(partial(held.metrics.take, records))
                held.position = held.metrics.next_offset
            records = records[taken:]
            if not was_current:
                failpoint("monitor.replaying")
        if held.is_current and not was_current:
            self._owning.say_health()
