"""The canaries' tasks, as the monitor starts them.

::

    Lease --> controller: every few seconds, each canary --> Deployments, Deis
          '-> starter:    every minute, Deployments with our annotation --> canaries
          '-> historian:  every ten minutes, the noise of each stable release --> store
    notifier: messages --> webhook
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import uuid4

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.canary.acting import Actor
from monitor.canary.board import Board
from monitor.canary.controller import Controller
from monitor.canary.deis import Deis
from monitor.canary.folder import FolderJudge
from monitor.canary.hooks import DeployHook, start, wanted
from monitor.canary.kube import Kube, RefusedError
from monitor.canary.lease import Lease, while_leading
from monitor.canary.looking import selected
from monitor.canary.notify import Notifier
from monitor.canary.observe.historian import Historian
from monitor.canary.observe.journal import sweep
from monitor.canary.observe.observer import Observer
from monitor.canary.observe.promql import Prometheus
from monitor.canary.observe.rows import ns_of
from monitor.canary.orphans import restore
from monitor.canary.resource.canary import Canary, InvalidCanaryError, canary_of
from monitor.canary.resource.names import JUDGE
from monitor.canary.selfmetrics import CanaryMetrics
from monitor.canary.settings import CanarySettings
from monitor.reading import Reader
from pipeline.apiserver import check_source, open_client
from pipeline.errors import KubernetesUnavailableError, StoreUnavailableError
from pipeline.retry import pause
from pipeline.service import listening
from pipeline.store import Store

log = structlog.get_logger()

LEASE: Final = "deis-telemetry-canary"
_STARTER_SECONDS: Final = 60.0
_SWEEP_SECONDS: Final = 3600.0
HOOK_BYTES: Final = 4096
"""Most bytes of a hook's body: it has none."""


async def run(
    settings: CanarySettings,
    reader: Reader,
    store: Store,
    stopping: asyncio.Event,
    *,
    registry: CollectorRegistry,
    board: Board,
) -> None:
    """Judge canaries until `stopping` is set. While the API server is away, it is tried again.

    Args:
        settings: See there.
        reader: Answers for windows over all shards.
        store: Keeps the analyses' minutes.
        stopping: Ends it.
        registry: For the metrics.
        board: Shows them.

    Raises:
        SettingsError: There is no way to the API server.
    """
    check_source(settings.kubernetes, variable="MONITOR_KUBERNETES")
    failures = 0
    while not stopping.is_set():
        try:
            async with open_client(settings.kubernetes) as client, aiohttp.ClientSession() as session:
                kube = Kube(client)
                parts = Parts(settings, kube, session, reader=reader, store=store, registry=registry)
                with board.showing(partial(_there, kube)):
                    await parts.run(stopping)
                return
        except KubernetesUnavailableError as error:  # of the way there; an answer that fails ends no look but its own
            log.warning("no way to the API server", error=str(error))
            failures += 1
            await pause(failures, stopping)


async def _there(kube: Kube) -> list[Canary]:
    """All that make sense; of one that makes none its conditions say so."""
    found = []
    for thing in await kube.canaries():
        with suppress(InvalidCanaryError):
            found.append(canary_of(thing))
    return found


class Parts:
    """What judges canaries, put together.

    Args:
        settings: See there.
        kube: The API server.
        session: For everything else.
        reader: Answers for windows.
        store: Keeps minutes.
        registry: For the metrics.
        now: The time.
    """

    def __init__(
        self,
        settings: CanarySettings,
        kube: Kube,
        session: aiohttp.ClientSession,
        *,
        reader: Reader,
        store: Store,
        registry: CollectorRegistry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self.kube, self._store = settings, kube, store
        token = settings.deis_token.get_secret_value()
        deis = Deis(session, settings.deis_url, token) if settings.deis_url else None
        prometheus = Prometheus(session, settings.canary_prometheus) if settings.canary_prometheus else None
        self.notifier = Notifier(
            kube=kube, session=session, webhook=settings.canary_webhook.get_secret_value(), registry=registry
        )
        observer = Observer(
            reader=reader,
            store=store,
            prometheus=prometheus,
            registry=registry,
            clock_ns=lambda: ns_of(now()),
        )
        self.historian = Historian(reader=reader, store=store, registry=registry)
        self.controller = Controller(
            kube=kube,
            deis=deis,
            reader=reader,
            observer=observer,
            historian=self.historian,
            actor=Actor(kube=kube, deis=deis, registry=registry),
            notifier=self.notifier,
            registry=registry,
            now=now,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set."""
        identity = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        lease = Lease(self.kube, namespace=self._settings.canary_namespace, name=LEASE, identity=identity)
        async with self._hook(), asyncio.TaskGroup() as group:
            notifier = group.create_task(self.notifier.run(), name="canary webhook")
            await while_leading(lease, self._lead, stopping)
            notifier.cancel()

    @asynccontextmanager
    async def _hook(self) -> AsyncIterator[None]:
        """Serve the deploy hook, where there is a key for it; whether we lead does not matter."""
        settings = self._settings
        if settings.deis_hook_listen is None or not settings.deis_hook_key.get_secret_value():
            yield
            return
        app = web.Application(client_max_size=HOOK_BYTES)
        app.add_routes(DeployHook(self.kube, key=settings.deis_hook_key, url=settings.deis_hook_url).routes())
        async with listening(app, settings.deis_hook_listen):
            yield

    async def _lead(self) -> None:
        with self.controller.metrics.showing(lambda: list(self.controller.canaries.values())):
            await self._judge()

    async def _judge(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.controller.run(every_seconds=self._settings.canary_seconds), name="canaries")
            group.create_task(self.historian.run(self.controller.targets), name="histories")
            group.create_task(self._start_annotated(), name="annotated Deployments")
            group.create_task(self._sweep(), name="old analyses")

    async def _sweep(self) -> None:
        """Delete what is too old, from time to time."""
        while True:
            try:
                await asyncio.to_thread(sweep, self._store, now_ns=ns_of(self.controller.now()))
            except StoreUnavailableError as error:
                log.warning("old analyses cannot be deleted", error=str(error))
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _start_annotated(self) -> None:
        """Make canaries for Deployments that ask for one."""
        while True:
            try:
                deployments = await self.kube.annotated_deployments()
                await restore(self.kube, deployments)
                for each in selected(deployments, JUDGE):
                    body = wanted(each)
                    if body is not None:
                        await start(self.kube, body)
            except (KubernetesUnavailableError, RefusedError) as error:
                log.warning("Deployments cannot be listed", error=str(error))
            await asyncio.sleep(_STARTER_SECONDS)


async def judge_folder(
    settings: CanarySettings,
    reader: Reader,
    store: Store,
    stopping: asyncio.Event,
    *,
    registry: CollectorRegistry,
    board: Board,
) -> None:
    """Judge the canaries of `MONITOR_CANARIES` until `stopping` is set; the arguments are those of `run`."""
    if settings.canaries is None:
        return
    observer = Observer(reader=reader, store=store, prometheus=None, registry=registry, clock_ns=time.time_ns)
    metrics = CanaryMetrics(registry)
    judge = FolderJudge(settings.canaries, reader=reader, observer=observer, metrics=metrics)
    with suppress(StoreUnavailableError):  # the next start does it
        await asyncio.to_thread(sweep, store, now_ns=time.time_ns())
    with board.showing(judge.canaries), metrics.showing(judge.known):
        await judge.run(stopping, every_seconds=settings.canary_seconds)
