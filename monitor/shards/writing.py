"""States of shards to the store, and then their positions to the queue.

In that order: the queue drops what all its groups have committed, and a state must find the records after it.
"""

import asyncio
import contextlib
import time
from typing import Final

import structlog

from monitor.selfmetrics import SelfMetrics
from monitor.shards.held import Held
from monitor.shards.owning import Owning
from monitor.shards.states import States
from pipeline.errors import OffsetOutOfRangeError, QueueUnavailableError, StoreUnavailableError
from pipeline.failpoints import failpoint
from pipeline.queue import GroupConsumer
from pipeline.service import Health
from pipeline.threads import Threads

log = structlog.get_logger()

HEALTH_PART: Final = "store"


class Writing:
    """Writes states down now and then.

    Args:
        consumer: The queue.
        owning: The shards.
        states: Where states lie.
        seconds: How often.
        metrics: Where things are counted.
        health: Gets the part `store`.
        threads: For blocking work.
    """

    def __init__(
        self,
        *,
        consumer: GroupConsumer,
        owning: Owning,
        states: States,
        seconds: float,
        metrics: SelfMetrics,
        health: Health,
        threads: Threads,
    ) -> None:
        self._consumer = consumer
        self._owning = owning
        self._states = states
        self._seconds = seconds
        self._metrics = metrics
        self._health = health
        self._threads = threads

    async def run(self, fetched_last: asyncio.Event) -> None:
        """Write every `seconds`, and once more when `fetched_last` is set; then end.

        While the store fails the shards go on in memory, and the queue keeps what they would need after a restart.
        """
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await fetched_last.wait()
            is_last = fetched_last.is_set()
            await self.write()

    async def write(self) -> None:
        """Write what has changed, and commit what is written."""
        written: dict[int, int] = {}
        for number, held in list(self._owning.shards.items()):
            try:
                if held.position != held.written:
                    await self._write_one(number, held)
            except StoreUnavailableError as error:
                self._metrics.state_failures.labels("unwritten").inc()
                self._health.broken(HEALTH_PART, str(error))
                log.warning("state not written, the next try is to come", shard=number, error=str(error))
                break  # the others would fail the same way, each after its time
            written[number] = held.written
        else:
            if written:
                self._health.ready(HEALTH_PART)
        await self._commit(written)

    async def _write_one(self, number: int, held: Held) -> None:
        async with held.taking:
            offset = held.position
            state = await self._threads.run(held.metrics.state)
        held.state_bytes = await self._threads.run(lambda: self._put(number, offset, state))
        held.written, held.written_at = offset, time.monotonic()

    def _put(self, number: int, offset: int, state: bytes) -> int:
        size = self._states.write(number, offset, state)
        failpoint("monitor.state.written")
        self._states.sweep(number, written=offset)
        return size

    async def _commit(self, positions: dict[int, int]) -> None:
        if not positions:
            return
        try:
            await self._consumer.commit(positions)
        except (QueueUnavailableError, OffsetOutOfRangeError) as error:
            log.info("positions not committed, the next ones will be", error=str(error))
            return
        failpoint("monitor.committed")
