"""The monitor's tasks.

::

    queue --> fetch --> decode (thread) --> tally --> commit positions
                                              `--> /metrics, at scrape (with the queue's lag)
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog
import zstandard
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.exposition import TallyCollector
from monitor.settings import MonitorSettings
from monitor.tally import SharedTally, Tally
from pipeline.errors import FormatError, OffsetOutOfRangeError, QueueUnavailableError
from pipeline.names import PACK_MAGIC
from pipeline.pack import PackBody, decode_pack
from pipeline.queue import Consumer, Record, open_consumer, queue_collector
from pipeline.service import Health, health_routes, listening

log = structlog.get_logger()

GROUP: Final = "monitor"

_QUEUE: Final = "queue"
_WAIT_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 1.0


async def run(settings: MonitorSettings, stopping: asyncio.Event) -> None:
    """Run the monitor until `stopping` is set.

    Raises:
        FatalError: The queue is damaged, a setting is wrong, or the address is in use.
    """
    health = Health()
    health.broken(_QUEUE, "not opened yet")
    shared = SharedTally(Tally(apps_limit=settings.apps))
    registry = CollectorRegistry()
    registry.register(queue_collector(settings.queue_url))
    registry.register(TallyCollector(shared.snapshot))
    app = web.Application()
    app.add_routes(health_routes(health, registry))
    async with listening(app, settings.listen):
        await Reader(shared, health, settings).run(stopping)


class Reader:
    """Reads all partitions into a tally, from the positions that its group has committed."""

    def __init__(self, shared: SharedTally, health: Health, settings: MonitorSettings) -> None:
        self._shared = shared
        self._health = health
        self._settings = settings
        self._decompressor = zstandard.ZstdDecompressor()

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until `stopping` is set; while the queue does not answer, open it again each second."""
        while not stopping.is_set():
            try:
                consumer = await open_consumer(self._settings.queue_url, group=GROUP)
                try:
                    await self._read(consumer, stopping)
                finally:
                    await consumer.close()
            except QueueUnavailableError as error:
                self._health.broken(_QUEUE, str(error))
                log.warning("queue unavailable", error=str(error))
                await _pause(stopping)

    async def _read(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        positions = await consumer.committed()
        committed, commit_at = dict(positions), loop.time()
        while not stopping.is_set():
            records = await self._fetch(consumer, positions)
            self._health.ready(_QUEUE)
            if records:
                await asyncio.to_thread(self._count, records)
            positions.update((record.partition, record.offset + 1) for record in records)
            if positions != committed and loop.time() >= commit_at:
                await consumer.commit(positions)
                committed, commit_at = dict(positions), loop.time() + self._settings.commit_seconds
        await consumer.commit(positions)

    async def _fetch(self, consumer: Consumer, positions: dict[int, int]) -> list[Record]:
        """Fetch; when retention was faster, go on at what is left, and count what is not."""
        try:
            return await consumer.fetch(positions, max_bytes=self._settings.fetch_bytes, wait_seconds=_WAIT_SECONDS)
        except OffsetOutOfRangeError as error:
            position = min(max(error.offset, error.start), error.end)
            with self._shared.change() as tally:
                tally.skipped_records[error.partition] += max(0, position - error.offset)
            log.error("records lost", partition=error.partition, asked=error.offset, start=error.start, end=error.end)  # noqa: TRY400 - no traceback is needed to tell this
            positions[error.partition] = position
            return []

    def _count(self, records: Sequence[Record]) -> None:
        for record in records:
            outcome = self._decode(record.value)
            with self._shared.change() as tally:
                tally.add_record(record.partition, len(record.value))
                if isinstance(outcome, str):
                    tally.undecodable[outcome] += 1
                else:
                    tally.add_pack(record.partition, outcome)

    def _decode(self, value: bytes) -> PackBody | str:
        """The pack, or for which of two reasons it is none: a version not known here, or bad content."""
        try:
            return decode_pack(value, decompressor=self._decompressor)
        except FormatError:
            return "content" if value.startswith(PACK_MAGIC) else "version"


async def _pause(stopping: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RETRY_SECONDS):
            await stopping.wait()
