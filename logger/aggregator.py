"""The logger, put together.

::

                     other loggers' heads <--> Peers --.
                                                       v
    queue --> ingest --------> head (memory) --+--> LogReader --> HTTP: /v1, follow, the contract of deis/logger
                |                              |
                '--> IngestTable --> Delta table --> TableReader
                                         ^
                upkeep (merge, retention, deletion) with a handle of its own, at the owner of shard 0

    tasks: ingest (ownership, fetch, flush), upkeep, lag, peers, elsewhere; HTTP listens inside the group
    stops: no more fetching --> last commit --> out of the group --> others have taken over --> listeners close
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from logger.api import build_api, build_deis_api
from logger.head import Head
from logger.ingest.deadletters import DeadLetters, KeepsBadRecords
from logger.ingest.deadtopic import DeadTopic
from logger.ingest.elsewhere import Elsewhere
from logger.ingest.lag import LagCollector
from logger.ingest.loop import Ingest
from logger.ingest.metrics import HeadCollector, IngestMetrics
from logger.ingest.shard import Shard
from logger.reading.peers import Peers
from logger.reading.query import LogReader
from logger.settings import DAY_SECONDS, LoggerSettings
from logger.table.reader import TableReader
from logger.table.retention import Retention
from logger.table.tombstones import Tombstones
from logger.table.upkeep import run_upkeep
from logger.table.writer import IngestTable
from pipeline.errors import QueueUnavailableError, SettingsError
from pipeline.lines.resume import ShardState
from pipeline.queue import GroupConsumer, open_group_consumer
from pipeline.retry import once_answered
from pipeline.service import Health, listening
from pipeline.settings import split_listen

log = structlog.get_logger()

GROUP: Final = "logger"
"""The consumer group: what it has not committed, the queue keeps."""

STOP_SECONDS: Final = 20.0
"""Most time for the last commit; what it does not reach, the next start repeats from the queue."""

HANDOVER_SECONDS: Final = 5.0
"""Most time to leave the group, and that a logger that has left goes on answering: by then it would be behind."""

_LOOK_SECONDS: Final = 0.1

_UPKEEP_SHARD: Final = 0
"""Who owns this shard looks after the table."""


@dataclass(frozen=True, slots=True)
class _Stores:
    """The table's handles."""

    ingest: IngestTable
    reader: TableReader
    tombstones: Tombstones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What one logger is made of.

    Attributes:
        shared: Whether several loggers share the queue.
        peers: The others; `None` when they are not asked.
    """

    settings: LoggerSettings
    shared: bool
    consumer: GroupConsumer
    stores: _Stores
    head: Head
    ingest: Ingest
    dead_letters: KeepsBadRecords
    lag: LagCollector
    peers: Peers | None
    health: Health
    registry: CollectorRegistry


def is_shared(queue_url: str) -> bool:
    """Whether several loggers can share the queue: whether it is Kafka."""
    return queue_url.startswith("kafka:")


async def run(settings: LoggerSettings, stopping: asyncio.Event) -> None:
    """Run the logger until `stopping` is set, or something fails for good.

    Raises:
        PipelineError: Alone or in a group; see `pipeline.errors`.
    """
    secret = settings.shared_secret.get_secret_value() if settings.shared_secret is not None else ""
    if is_shared(settings.queue_url):
        _check_reach(settings, secret)
    join = functools.partial(
        open_group_consumer,
        settings.queue_url,
        group=GROUP,
        client_id=settings.own_url,
        instance=settings.instance or None,
    )
    consumer = await once_answered(join, stopping)
    try:
        parts = await _build(settings, consumer, secret, stopping)
        try:
            if not parts.shared:  # else the group may take its time, and others answer until then
                await once_answered(parts.ingest.resume, stopping)
            async with _serve(parts, secret):
                await _run_tasks(parts, stopping)
        finally:
            await parts.dead_letters.close()
    finally:
        await consumer.close()
    log.info("logger stopped")


def _check_reach(settings: LoggerSettings, secret: str) -> None:
    """Loggers that share a queue must reach each other, or each answers with its own shards' newest rows only.

    Raises:
        SettingsError: Others would be told an address that is none.
    """
    if not secret:
        log.warning("without LOGGER_PEER_SECRET this logger knows the newest rows of its own shards only")
    elif not settings.url and split_listen(settings.listen)[0] in {"0.0.0.0", "::"}:
        raise SettingsError(f"LOGGER_URL: not set, and others cannot reach LOGGER_LISTEN={settings.listen}")


async def _build(settings: LoggerSettings, consumer: GroupConsumer, secret: str, stopping: asyncio.Event) -> _Parts:
    health, registry = Health(), CollectorRegistry()
    stores = await once_answered(functools.partial(_open_stores, settings, consumer.queue_id), stopping)
    head = Head(
        limit_bytes=settings.head_bytes,
        keep_seconds=settings.head_keep_seconds,
        shards=range(consumer.partitions),
        gone_nodes=settings.gone_node_names,
    )
    registry.register(HeadCollector(head))
    shared = is_shared(settings.queue_url)
    metrics = IngestMetrics(registry)
    dead_letters: KeepsBadRecords = DeadLetters(Path(settings.dead_letters))
    if shared:
        dead_letters = DeadTopic(settings.queue_url, queue_id=consumer.queue_id, metrics=metrics)
    ingest = _make_ingest(settings, consumer, stores.ingest, head, dead_letters, metrics=metrics, health=health)
    lag = LagCollector(shards=ingest.owned.shards, ends=consumer.ends)
    registry.register(lag)
    return _Parts(
        settings=settings,
        shared=shared,
        consumer=consumer,
        stores=stores,
        head=head,
        ingest=ingest,
        dead_letters=dead_letters,
        lag=lag,
        peers=_make_peers(settings, consumer, secret, registry) if shared and secret else None,
        health=health,
        registry=registry,
    )


def _make_peers(settings: LoggerSettings, consumer: GroupConsumer, secret: str, registry: CollectorRegistry) -> Peers:
    return Peers(
        url=settings.own_url,
        secret=secret,
        partitions=consumer.partitions,
        queue_id=consumer.queue_id,
        owners=consumer.owners,
        registry=registry,
    )


async def _open_stores(settings: LoggerSettings, queue_id: str) -> _Stores:
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


def _make_ingest(
    settings: LoggerSettings,
    consumer: GroupConsumer,
    table: IngestTable,
    head: Head,
    dead_letters: KeepsBadRecords,
    *,
    metrics: IngestMetrics,
    health: Health,
) -> Ingest:
    def make_shard(number: int, state: ShardState) -> Shard:
        return Shard(number, state, dead_letters=dead_letters, metrics=metrics)

    return Ingest(
        consumer=consumer,
        table=table,
        head=head,
        make_shard=make_shard,
        dead_letters=dead_letters,
        shared=is_shared(settings.queue_url),
        flush_seconds=settings.flush_seconds,
        flush_bytes=settings.flush_bytes,
        metrics=metrics,
        health=health,
    )


@contextlib.asynccontextmanager
async def _serve(parts: _Parts, secret: str) -> AsyncIterator[None]:
    """Listen on the addresses that are set."""
    settings, health, registry = parts.settings, parts.health, parts.registry
    reader = LogReader(
        head=parts.head,
        table=parts.stores.reader,
        tombstones=parts.stores.tombstones,
        ends=parts.consumer.ends,
        peers=parts.peers,
    )
    api = build_api(
        reader=reader,
        settings=settings,
        health=health,
        registry=registry,
        peer_secret=secret if parts.peers is not None else "",
    )
    apps = [(api, settings.listen)]
    if settings.deis_listen is not None:
        deis = build_deis_api(reader=reader, health=health, registry=registry)
        apps.append((deis, settings.deis_listen))
    async with contextlib.AsyncExitStack() as stack:
        for app, listen in apps:
            port = await stack.enter_async_context(listening(app, listen))
            log.info("logger listens", listen=listen, port=port)
        yield


async def _run_tasks(parts: _Parts, stopping: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as beside:
        peers = beside.create_task(parts.peers.run(), name="peers") if parts.peers is not None else None
        async with asyncio.TaskGroup() as group:
            group.create_task(_ingest(parts, stopping), name="ingest")
            group.create_task(_upkeep(parts, stopping), name="upkeep")
            group.create_task(parts.lag.run(stopping), name="lag")
            if parts.shared:
                shards = range(parts.consumer.partitions)
                elsewhere = Elsewhere(table=parts.stores.ingest, head=parts.head, shards=shards)
                group.create_task(elsewhere.run(stopping), name="elsewhere")
        if peers is not None:
            peers.cancel()


async def _ingest(parts: _Parts, stopping: asyncio.Event) -> None:
    """Ingest until told to stop; then leave the group at once, so that others take over before all else has ended."""
    await _ingest_bounded(parts.ingest, stopping)
    if parts.shared:
        await _hand_over(parts.consumer)


async def _hand_over(consumer: GroupConsumer) -> None:
    """Leave, and answer for what was owned until it has other owners, or nobody is left to have it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HANDOVER_SECONDS):
            await consumer.leave()
            while not await _is_taken_over(consumer):  # noqa: ASYNC110 - nobody tells those who have left
                await asyncio.sleep(_LOOK_SECONDS)


async def _is_taken_over(consumer: GroupConsumer) -> bool:
    try:
        owners = await consumer.owners()
    except QueueUnavailableError:  # mostly the rebalance that is waited for
        return False
    return not owners or len(owners) == consumer.partitions


async def _upkeep(parts: _Parts, stopping: asyncio.Event) -> None:
    settings = parts.settings
    await run_upkeep(
        store_url=settings.store_url,
        queue_id=parts.stores.reader.queue_id,
        tombstones=parts.stores.tombstones,
        interval_seconds=settings.upkeep_seconds,
        retention=Retention(settings.retention_days * DAY_SECONDS, dict(settings.app_retention_seconds)),
        health=parts.health,
        registry=parts.registry,
        stopping=stopping,
        # One of the loggers is enough. That there never are two is not needed: each swap is fenced.
        is_ours=lambda: not parts.shared or _UPKEEP_SHARD in parts.head.shards(),
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
