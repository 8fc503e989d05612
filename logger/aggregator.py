"""The logger, put together.

::

    queue --> ingest --------> head (memory) --+--> LogReader --> HTTP: /v1, follow, the contract of deis/logger
                |                              |
                '--> IngestTable --> Delta table --> TableReader
                                         ^
                upkeep (merge, retention, deletion) with a handle of its own

    tasks: ingest (its fetch and flush), upkeep, ending; HTTP listens inside the group
    stops: no more fetching --> last commit --> upkeep ends --> listeners close
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from logger.api import build_api, build_deis_api
from logger.deadletters import DeadLetters
from logger.head import Head
from logger.ingest import Ingest
from logger.metrics import HeadCollector, IngestMetrics
from logger.query import LogReader
from logger.resume import ShardState
from logger.retention import Retention
from logger.settings import DAY_SECONDS, LoggerSettings
from logger.shard import Shard
from logger.table import IngestTable, TableReader
from logger.tombstones import Tombstones
from logger.upkeep import run_upkeep
from pipeline.errors import StoreUnavailableError
from pipeline.queue import Consumer, open_consumer
from pipeline.service import Health, listening

log = structlog.get_logger()

GROUP: Final = "logger"
"""The consumer group: what it has not committed, the queue keeps."""

STOP_SECONDS: Final = 20.0
"""Most time for the last commit; what it does not reach, the next start repeats from the queue."""

_OPEN_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class _Stores:
    """The table's handles."""

    ingest: IngestTable
    reader: TableReader
    tombstones: Tombstones


async def run(settings: LoggerSettings, stopping: asyncio.Event) -> None:
    """Run the logger until `stopping` is set, or something fails for good.

    Raises:
        PipelineError: Alone or in a group; see `pipeline.errors`.
    """
    health, registry = Health(), CollectorRegistry()
    consumer = await open_consumer(settings.queue_url, group=GROUP)
    try:
        stores = await _open_stores(settings, consumer.queue_id)
        head = Head(
            limit_bytes=settings.head_bytes,
            keep_seconds=settings.head_keep_seconds,
            shards=range(consumer.partitions),
            gone_nodes=settings.gone_node_names,
        )
        registry.register(HeadCollector(head))
        ingest = _make_ingest(settings, consumer, stores.ingest, head, health=health, registry=registry)
        await ingest.resume()
        reader = LogReader(head=head, table=stores.reader, tombstones=stores.tombstones, ends=consumer.ends)
        async with _serve(settings, reader, health=health, registry=registry):
            await _run_tasks(settings, stopping, ingest, stores, health=health, registry=registry)
    finally:
        await consumer.close()
    log.info("logger stopped")


async def _open_stores(settings: LoggerSettings, queue_id: str) -> _Stores:
    """Open the table; a store that does not answer yet gets a few tries, then whoever started this process decides."""
    attempt = 0
    while True:
        try:
            return _Stores(
                await asyncio.to_thread(IngestTable.open, settings.store_url, queue_id=queue_id),
                await asyncio.to_thread(
                    TableReader.open,
                    settings.store_url,
                    queue_id=queue_id,
                    cache=Path(settings.cache),
                    cache_bytes=settings.cache_bytes,
                ),
                await asyncio.to_thread(Tombstones.open, settings.store_url, queue_id=queue_id),
            )
        except StoreUnavailableError as error:
            attempt += 1
            if attempt == _OPEN_ATTEMPTS:
                raise
            log.warning("store unavailable, trying again", error=str(error))
            await asyncio.sleep(attempt)


def _make_ingest(
    settings: LoggerSettings,
    consumer: Consumer,
    table: IngestTable,
    head: Head,
    *,
    health: Health,
    registry: CollectorRegistry,
) -> Ingest:
    metrics = IngestMetrics(registry)
    dead_letters = DeadLetters(Path(settings.dead_letters))

    def make_shard(number: int, state: ShardState) -> Shard:
        return Shard(number, state, dead_letters=dead_letters, metrics=metrics)

    return Ingest(
        consumer=consumer,
        table=table,
        head=head,
        make_shard=make_shard,
        flush_seconds=settings.flush_seconds,
        flush_bytes=settings.flush_bytes,
        metrics=metrics,
        health=health,
    )


@contextlib.asynccontextmanager
async def _serve(
    settings: LoggerSettings, reader: LogReader, *, health: Health, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Listen on the addresses that are set."""
    apps = [(build_api(reader=reader, settings=settings, health=health, registry=registry), settings.listen)]
    if settings.deis_listen is not None:
        deis = build_deis_api(reader=reader, health=health, registry=registry)
        apps.append((deis, settings.deis_listen))
    async with contextlib.AsyncExitStack() as stack:
        for app, listen in apps:
            port = await stack.enter_async_context(listening(app, listen))
            log.info("logger listens", listen=listen, port=port)
        yield


async def _run_tasks(
    settings: LoggerSettings,
    stopping: asyncio.Event,
    ingest: Ingest,
    stores: _Stores,
    *,
    health: Health,
    registry: CollectorRegistry,
) -> None:
    retention = Retention(settings.retention_days * DAY_SECONDS, dict(settings.app_retention_seconds))
    async with asyncio.TaskGroup() as group:
        group.create_task(_ingest_bounded(ingest, stopping), name="ingest")
        group.create_task(
            run_upkeep(
                store_url=settings.store_url,
                queue_id=stores.reader.queue_id,
                tombstones=stores.tombstones,
                interval_seconds=settings.upkeep_seconds,
                retention=retention,
                health=health,
                registry=registry,
                stopping=stopping,
            ),
            name="upkeep",
        )


async def _ingest_bounded(ingest: Ingest, stopping: asyncio.Event) -> None:
    """Run ingest; once it is told to stop it has `STOP_SECONDS`."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(ingest.run(stopping), name="ingest loop")
        limit = group.create_task(_cut_off(running, stopping), name="ingest limit")
        await asyncio.wait({running})
        limit.cancel()


async def _cut_off(running: asyncio.Task[None], stopping: asyncio.Event) -> None:
    await stopping.wait()
    await asyncio.sleep(STOP_SECONDS)
    log.warning("last commit not finished in time; the next start repeats it")
    running.cancel()
