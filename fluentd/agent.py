"""The agent as a whole.

::

    network --> inputs --.                                    tasks: reader, one for each lane, checkpoint, heartbeat,
    pod logs --> reader --> lane 0 .. lane n --> queue               inputs where settings ask for them
      ^  ^        |  ^        |   (packs)                     memory: one byte budget from the reader to the queue's
      |  |        |  |        '-- acknowledged --> sources            acknowledgement; when used up, the reader waits
      |  |        |  '-- budget -----'                |
      |  '- inotify, rescan                           v
      |                          checkpoint: at once for a new source, else every half second
      '-- heartbeat: when all was read up to T, T goes behind the data in every lane

Order of acts: read, send, durable, then checkpoint. A crash repeats; the logger trims what it has.
"""

import asyncio
import resource
import time
from collections.abc import Callable

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from fluentd.chunks.surroundings import RunKey, Surroundings
from fluentd.files.discovery import Discovery, FoundFile, Listing, Place
from fluentd.files.watch import DirectoryWatch
from fluentd.lanes.heartbeat import Heartbeat
from fluentd.lanes.sender import Budget, Lane, Packer, QueueTrouble, Sender
from fluentd.memory import give_back_after_bursts
from fluentd.metrics import AgentMetrics
from fluentd.network import open_copies, open_inputs
from fluentd.pods.metadata import open_metadata
from fluentd.pods.names import NameRules
from fluentd.pods.podrules import PodRules
from fluentd.rules.book import RuleBook
from fluentd.runs.checkpoint import Checkpoint, CheckpointFolder
from fluentd.runs.keeper import CheckpointKeeper
from fluentd.runs.reader import Reader
from fluentd.runs.restate import restate
from fluentd.runs.run import Run
from fluentd.runs.tree import Tree, choose_partition
from fluentd.runs.turns import Turns
from fluentd.settings import AgentSettings
from pipeline.chunk import Origin
from pipeline.errors import RetriableError
from pipeline.queue import Producer, open_producer
from pipeline.service import Health, health_routes, listening

log = structlog.get_logger()

_OPEN_RETRY_SECONDS = 1.0
_OLD_NS = 60_000_000_000


async def run(settings: AgentSettings, stopping: asyncio.Event) -> None:
    """Run one agent until `stopping` is set.

    Raises:
        FatalError: Another agent uses the folder, or it cannot be made; the checkpoint is damaged; the address
            cannot be listened on; or the queue is of no use.
    """
    _raise_file_limit()
    registry, health = CollectorRegistry(), Health()
    for part in ("queue", "checkpoint", "discovery"):
        health.broken(part, "starting")
    app = web.Application()
    app.add_routes(health_routes(health, registry))
    with CheckpointFolder(settings.state) as folder:
        checkpoint = await asyncio.to_thread(folder.load)
        async with listening(app, settings.listen) as port:
            producer = await _open_queue(settings.queue_url, stopping, health)
            if producer is None:
                return
            health.ready("queue")
            log.info("agent started", pod_logs=str(settings.pod_logs), port=port, queue=producer.queue_id)
            try:
                agent = Agent(settings, producer=producer, folder=folder, registry=registry, health=health)
                agent.restore(checkpoint)
                await agent.run(stopping)
            finally:
                await producer.close()


class Agent:
    """The parts of one agent, wired.

    Args:
        settings: Of the agent.
        producer: The queue.
        folder: Of the checkpoint.
        registry: For the metrics.
        health: Parts `queue`, `checkpoint`, `discovery`.
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        producer: Producer,
        folder: CheckpointFolder,
        registry: CollectorRegistry,
        health: Health,
    ) -> None:
        self._settings, self._producer = settings, producer
        self._metrics = metrics = AgentMetrics(registry)
        self._wake = asyncio.Event()
        self._metadata = open_metadata(settings, changed=self._wake.set, registry=registry)
        self._pods = self._metadata.pods
        root = str(settings.pod_logs.absolute())
        self._discovery = Discovery(root, [part for part in settings.link_targets.split(":") if part])
        book = RuleBook(settings.rules, pod_rules=self._pod_rules, registry=registry)
        around = Surroundings(
            self._origin, self._siblings, metrics, settings.close_seconds, settings.platform_namespace, book
        )
        self._tree = Tree(around=around, choose=self._choose, gate=self._metadata.gate)
        self._budget = Budget(settings.inflight_bytes)
        self._trouble = QueueTrouble(health)
        self._is_new_queue = False
        self._keeper = CheckpointKeeper(
            folder=folder,
            tree=self._tree,
            queue_id=producer.queue_id,
            interval_seconds=settings.checkpoint_seconds,
            metrics=metrics,
            health=health,
        )
        self._copies = open_copies(settings, registry=registry)
        self._sender = self._make_sender()
        self._watch = DirectoryWatch(wake=self._wake.set, overflowed=metrics.overflows.inc)
        self._reader = Reader(
            discovery=self._discovery,
            tree=self._tree,
            watch=self._watch,
            sender=self._sender,
            budget=self._budget,
            keeper=self._keeper,
            metrics=metrics,
            health=health,
            wake=self._wake,
            rescan_seconds=settings.rescan_seconds,
            turns=Turns(is_old=_written_before(time.time_ns()) if settings.backlog == "newest" else None),
        )
        self._inputs = open_inputs(
            settings,
            sender=self._sender,
            partitions=producer.partitions,
            registry=registry,
            rules=book if settings.rules is not None else None,
            besides=() if self._copies is None else (self._copies,),
        )
        self._heartbeat = Heartbeat(
            complete_ns=self._complete_ns,
            send=self._sender.heartbeat,
            interval_seconds=settings.heartbeat_seconds,
        )
        self._make_gauges()

    def _make_sender(self) -> Sender:
        packer = Packer(node=self._settings.node, level=self._settings.zstd_level)
        statements = self._metadata.statements
        return Sender(
            [
                Lane(
                    partition,
                    producer=self._producer,
                    packer=packer,
                    budget=self._budget,
                    metrics=self._metrics,
                    trouble=self._trouble,
                    acknowledged=self._keeper.touch,
                    voice=None if statements is None else statements.voice(),
                )
                for partition in range(self._producer.partitions)
            ],
            copy=None if self._copies is None else self._copies.offer,
        )

    def _make_gauges(self) -> None:
        for name, text, value in (
            ("fluentd_inflight_bytes", "Bytes read and not acknowledged.", lambda: self._budget.used_bytes),
            ("fluentd_open_files", "Log files held open.", lambda: sum(len(run.open_files) for run in self._tree)),
            ("fluentd_oldest_unsent_seconds", "Age of the oldest unacknowledged chunk.", self._sender.oldest_seconds),
            ("fluentd_checkpoint_age_seconds", "How long changes wait to be written.", self._keeper.age_seconds),
            ("fluentd_complete_seconds", "Time before which all is sent.", lambda: self._heartbeat.last_ns / 1e9),
        ):
            self._metrics.gauge(name, text, value)

    def _complete_ns(self) -> int:
        """Before this time everything written was handed to the lanes, and what happened to pods is known."""
        read_ns = min(self._tree.complete_ns, self._inputs.complete_ns)
        statements = self._metadata.statements
        return read_ns if statements is None else min(read_ns, statements.complete_ns())

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Go on from a checkpoint."""
        if checkpoint is None:
            return
        self._is_new_queue = checkpoint.queue_id != self._producer.queue_id
        for known in checkpoint.runs:
            self._tree.restore(known, root=self._discovery.root, partitions=self._producer.partitions)

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until told to stop; then send what was read, for a bounded time, and write the checkpoint."""
        try:
            if self._is_new_queue and not await self._restate(stopping):
                return
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._sender.run(), name="sender")
                background = [
                    group.create_task(self._keeper.run(), name="checkpoint"),
                    group.create_task(self._heartbeat.run(), name="heartbeat"),
                    group.create_task(self._trim(), name="memory"),
                    group.create_task(self._stop_waiting(stopping), name="stop"),
                ]
                background += [group.create_task(run(), name=name) for name, run in self._metadata.tasks.items()]
                self._inputs.start(group)
                await self._reader.run(stopping)
                clock = asyncio.get_running_loop().time
                until = clock() + self._settings.drain_seconds
                await self._inputs.stop(seconds=self._settings.drain_seconds)
                self._sender.close()
                await asyncio.wait({sending}, timeout=max(0.0, until - clock()))
                await self._inputs.farewell()
                for task in (sending, *background):
                    task.cancel()
            await self._keeper.save(always=True)
        finally:
            self._watch.close()
            self._tree.close()

    async def _restate(self, stopping: asyncio.Event) -> bool:
        return await restate(
            self._tree,
            origin=self._origin,
            producer=self._producer,
            node=self._settings.node,
            trouble=self._trouble,
            stopping=stopping,
        )

    async def _trim(self) -> None:
        budget = self._budget
        await give_back_after_bursts(taken_bytes=lambda: budget.taken_bytes, used_bytes=lambda: budget.used_bytes)

    async def _stop_waiting(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._wake.set()
        self._budget.give(0)

    def _origin(self, place: Place, restart: int) -> Origin:
        return self._pods.origin(
            namespace=place.namespace, pod=place.pod, uid=place.uid, container=place.container, restart=restart
        )

    def _pod_rules(self, place: Place) -> PodRules:
        return self._pods.rules(namespace=place.namespace, pod=place.pod, uid=place.uid)

    def _choose(self, place: Place, restart: int) -> int:
        """By what the path says, not by labels, which change: after a lost checkpoint it must be the same again."""
        named = NameRules(self._settings.node).origin(
            namespace=place.namespace, pod=place.pod, uid=place.uid, container=place.container, restart=restart
        )
        key = RunKey(place.uid, place.container, restart)
        spread = self._pods.spread(self._origin(place, restart).app)
        workload = f"{named.app}/{named.process}"
        return choose_partition(workload, key, spread=spread, partitions=self._producer.partitions)

    def _siblings(self, place: Place, restart: int) -> list[FoundFile]:
        listing = Listing(0, {}, {}, [], [])
        self._discovery.look(place, listing)
        return [one for one in listing.changed.get(place.path, ()) if one.restart == restart]


async def _open_queue(url: str, stopping: asyncio.Event, health: Health) -> Producer | None:
    """Open the queue, as soon as it answers; `None` when told to stop before."""
    while not stopping.is_set():
        try:
            return await open_producer(url)
        except RetriableError as error:
            health.broken("queue", str(error))
            log.warning("the queue does not answer, trying on", error=str(error))
        try:
            async with asyncio.timeout(_OPEN_RETRY_SECONDS):
                await stopping.wait()
        except TimeoutError:
            continue
    return None


def _written_before(start_ns: int) -> Callable[[Run], bool]:
    """Tells runs to which nobody had written for a while when the agent started."""
    return lambda run: run.written_ns < start_ns - _OLD_NS


def _raise_file_limit() -> None:
    """Every file that is read stays open, so that its deletion loses nothing: take all descriptors there are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
