"""The monitor, put together.

::

    queue --> intake --> shards <--+--- owning: which are ours, loaded from the store
                           |       '--- writing: states to the store, then positions to the queue
                           |
                           +--> scrape ----------------------------> /metrics
                           '--> answering --> GroupReader --+------> /v1
                                   ^              |         '------> what else asks: metrics APIs, canaries
                                   '--- /peer/v1 -'-- other monitors

    stops: no more fetching --> last states --> out of the group --> listeners close
"""

import asyncio
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.answers.answering import Answering
from monitor.answers.api import build_api
from monitor.answers.overview import overview_route
from monitor.answers.peers import GroupReader
from monitor.canary import run as canaries
from monitor.canary.board import Board
from monitor.canary.trying import Trying
from monitor.canary.views import canary_routes
from monitor.hpa import server as hpa
from monitor.pods.nodes import GoneNodes
from monitor.rules.ruleset import RuleSet
from monitor.scraping.scrape import Scrape
from monitor.selfmetrics import SelfMetrics
from monitor.series.limits import Limits
from monitor.settings import MonitorSettings
from monitor.shards.intake import Intake
from monitor.shards.lag import Ends
from monitor.shards.owning import Owning
from monitor.shards.shard import ShardMetrics
from monitor.shards.states import States
from monitor.shards.suspects import suspects
from monitor.shards.writing import Writing
from pipeline.apiserver import check_source, open_client
from pipeline.errors import SettingsError
from pipeline.members import Members
from pipeline.names import MONITOR_DIRECTORY
from pipeline.queue import GroupConsumer, open_group_consumer, queue_collector
from pipeline.retry import once_answered
from pipeline.service import Health, listening
from pipeline.settings import split_listen
from pipeline.store import Store, open_store
from pipeline.threads import Threads

log = structlog.get_logger()

GROUP: Final = "monitor"
"""The consumer group: what it has not committed, the queue keeps."""

OFF: Final = "off"
"""Of a setting: nobody is asked."""

LEAVE_SECONDS: Final = 3.0
"""Most time to leave the group; after that, the group finds out by itself."""

STOP_SECONDS: Final = 15.0
"""Most time for the last states; what they do not reach, the next start repeats from the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What one monitor is made of.

    Attributes:
        shared: Whether several monitors share the queue.
        members: The others; `None` when they are not asked.
    """

    settings: MonitorSettings
    shared: bool
    consumer: GroupConsumer
    store: Store
    nodes: GoneNodes | None
    owning: Owning
    intake: Intake
    writing: Writing
    ends: Ends
    members: Members | None
    reader: GroupReader
    answering: Answering
    board: Board
    scrape: Scrape
    health: Health
    registry: CollectorRegistry


def is_shared(queue_url: str) -> bool:
    """Whether several monitors can share the queue: whether it is Kafka."""
    return queue_url.startswith("kafka:")


async def run(settings: MonitorSettings, stopping: asyncio.Event) -> None:
    """Run the monitor until `stopping` is set, or something fails for good.

    Raises:
        PipelineError: Alone or in a group; see `pipeline.errors`.
    """
    secret = settings.shared_secret.get_secret_value() if settings.shared_secret is not None else ""
    if is_shared(settings.queue_url):
        _check_reach(settings, secret)
    rules = RuleSet.load(settings.rules)
    join = partial(
        open_group_consumer,
        settings.queue_url,
        group=GROUP,
        client_id=settings.own_url,
        instance=settings.instance or None,
    )
    consumer = await once_answered(join, stopping)
    threads = Threads(2, "shards"), Threads(2, "answers")
    try:
        parts = await _build(settings, consumer, secret, rules=rules, threads=threads, stopping=stopping)
        await _serve(parts, secret, stopping)
    finally:
        for some in threads:
            some.close()
        await consumer.close()
    log.info("monitor stopped")


def _check_reach(settings: MonitorSettings, secret: str) -> None:
    """Monitors that share a queue must reach each other, or none of them can answer for all shards.

    Raises:
        SettingsError: Others would be told an address that is none.
    """
    if not secret:
        log.warning("without MONITOR_PEER_SECRET only a monitor that owns all shards can answer questions")
    elif not settings.url and split_listen(settings.listen)[0] in {"0.0.0.0", "::"}:
        raise SettingsError(f"MONITOR_URL: not set, and others cannot reach MONITOR_LISTEN={settings.listen}")


async def _build(
    settings: MonitorSettings,
    consumer: GroupConsumer,
    secret: str,
    *,
    rules: RuleSet,
    threads: tuple[Threads, Threads],
    stopping: asyncio.Event,
) -> _Parts:
    health, registry = Health(), CollectorRegistry()
    registry.register(queue_collector(settings.queue_url))
    for part in ("queue", "store"):
        health.broken(part, "starting")
    metrics, shared = SelfMetrics(registry), is_shared(settings.queue_url)
    store = await once_answered(partial(_open_store, settings), stopping)
    states = States(store, queue_id=consumer.queue_id, rules=rules.digest)
    limits = Limits(apps=settings.apps, app_sets=settings.app_sets)

    def make_shard(number: int, state: bytes | None) -> ShardMetrics:
        return ShardMetrics(number, state, rules=rules, limits=limits)

    owning = Owning(
        consumer=consumer,
        states=states,
        make_shard=make_shard,
        shared=shared,
        named=bool(settings.instance),
        metrics=metrics,
        health=health,
        threads=threads[0],
    )
    answering = Answering(owning=owning, queue_id=consumer.queue_id, rules=rules.digest, threads=threads[1])
    members = Members(url=settings.own_url, secret=secret, owners=consumer.owners) if shared and secret else None
    nodes = _make_nodes(settings, owning, registry)
    gone = partial(_gone, settings.gone_node_names, nodes)
    ends = Ends(consumer.ends)
    return _Parts(
        settings=settings,
        shared=shared,
        consumer=consumer,
        store=store,
        nodes=nodes,
        owning=owning,
        intake=Intake(
            consumer=consumer, owning=owning, fetch_bytes=settings.fetch_bytes, health=health, threads=threads[0]
        ),
        writing=Writing(
            consumer=consumer,
            owning=owning,
            states=states,
            seconds=settings.state_seconds,
            metrics=metrics,
            health=health,
            threads=threads[0],
        ),
        ends=ends,
        members=members,
        reader=GroupReader(
            answering=answering, members=members, partitions=consumer.partitions, gone=gone, metrics=metrics
        ),
        answering=answering,
        board=Board(store),
        scrape=Scrape(owning=owning, ends=ends, gone=gone, registry=registry, metrics=metrics),
        health=health,
        registry=registry,
    )


def _make_nodes(settings: MonitorSettings, owning: Owning, registry: CollectorRegistry) -> GoneNodes | None:
    """Who asks the API server which nodes exist; `None` when nobody does.

    Raises:
        SettingsError: There is no way to it.
    """
    if not settings.ask_nodes:
        return None
    check_source(settings.kubernetes, variable="MONITOR_KUBERNETES")
    return GoneNodes(
        open_client=partial(open_client, settings.kubernetes),
        suspects=partial(suspects, owning),
        registry=registry,
    )


def _gone(named: AbstractSet[str], nodes: GoneNodes | None) -> AbstractSet[str]:
    """Nodes that are not waited for: those that an operator names, and those that do not exist any more."""
    return named if nodes is None else named | nodes.gone()


async def _open_store(settings: MonitorSettings) -> Store:
    return await asyncio.to_thread(partial(open_store, settings.store_url, directory=MONITOR_DIRECTORY))


async def _serve(parts: _Parts, secret: str, stopping: asyncio.Event) -> None:
    """Listen while the tasks run."""
    api = build_api(
        settings=parts.settings,
        answering=parts.answering,
        routes=[
            web.get("/metrics", parts.scrape.get),
            overview_route(parts.reader),
            *canary_routes(parts.board),
            *Trying().routes(),
        ],
        health=parts.health,
        registry=parts.registry,
        peer_secret=secret if parts.members is not None else "",
    )
    async with listening(api, parts.settings.listen) as port:
        log.info("monitor listens", listen=parts.settings.listen, port=port)
        async with asyncio.TaskGroup() as beside:
            helpers = [beside.create_task(parts.owning.run(), name="owning")]
            if parts.members is not None:
                helpers.append(beside.create_task(parts.members.run(), name="members"))
            if parts.nodes is not None:
                helpers.append(beside.create_task(parts.nodes.run(), name="nodes"))
            async with asyncio.TaskGroup() as group:
                group.create_task(_measure(parts, stopping), name="measure")
                group.create_task(parts.ends.run(stopping), name="ends")
                _start_askers(group, parts, stopping)
            for helper in helpers:
                helper.cancel()


def _start_askers(group: asyncio.TaskGroup, parts: _Parts, stopping: asyncio.Event) -> None:
    """Start what decides by the answers; each ends when `stopping` is set."""
    settings, reader, registry, board = parts.settings, parts.reader, parts.registry, parts.board
    group.create_task(hpa.run(settings, reader, stopping, health=parts.health, registry=registry), name="metrics APIs")
    if settings.canary != OFF:
        judging = canaries.run(settings, reader, parts.store, stopping, registry=registry, board=board)
        group.create_task(judging, name="canaries")
    elif settings.canaries is not None:
        judging = canaries.judge_folder(settings, reader, parts.store, stopping, registry=registry, board=board)
        group.create_task(judging, name="canaries of files")


async def _measure(parts: _Parts, stopping: asyncio.Event) -> None:
    """Take records in until told to stop; then write the last states, and leave the group, so that others take over."""
    fetched_last = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(parts.writing.run(fetched_last), name="writing")
        await parts.intake.run(stopping)
        # Said after an orderly end only: after an error in the middle of a batch its state must not be written.
        fetched_last.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.wait({writing})
        if not writing.done():
            log.warning("last states not written in time; the next start repeats what they lack")
            writing.cancel()
    if parts.shared:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await parts.consumer.leave()
