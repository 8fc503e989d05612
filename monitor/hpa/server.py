"""The metrics APIs' tasks.

::

    API server --TLS--> listener --> api --> reader, another adapter
        ^                  |          `----> reviews, pods, objects: at the API server
        |                  '-- certificates, and the front proxy's authority, looked at every few seconds
        '--------------------------------------'
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from prometheus_client import CollectorRegistry, Counter

from monitor.hpa.api import MetricsApi
from monitor.hpa.callers import Callers
from monitor.hpa.catalog import Catalog
from monitor.hpa.cluster import Cluster
from monitor.hpa.custom import CustomMetrics
from monitor.hpa.external import ExternalMetrics
from monitor.hpa.fallback import open_fallback
from monitor.hpa.fronted import front_proxy_of
from monitor.hpa.rights import Rights
from monitor.hpa.settings import HpaSettings
from monitor.hpa.source import Source
from monitor.hpa.tls import Certificates
from monitor.reading import Reader
from pipeline.apiserver import check_source, open_client
from pipeline.errors import FatalError, KubernetesUnavailableError, SettingsError
from pipeline.service import Health
from pipeline.settings import split_listen

log = structlog.get_logger()

PART: Final = "metrics apis"
"""What it is called in `/readyz`."""

LOOK_SECONDS: Final = 10.0
"""How often certificates, and what the API server says of itself, are looked at."""

_AGAIN_SECONDS: Final = 1.0
_HEADER_BYTES: Final = 16 * 1024


async def run(
    settings: HpaSettings,
    reader: Reader,
    stopping: asyncio.Event,
    *,
    health: Health,
    registry: CollectorRegistry,
) -> None:
    """Serve the metrics APIs until `stopping` is set, if they are to be served.

    Raises:
        FatalError: The address is in use, a setting is wrong, or the certificate cannot be read.
    """
    if settings.hpa_listen is None:
        return
    check_source(settings.kubernetes, variable="MONITOR_KUBERNETES")
    health.broken(PART, "the API server has not said yet how it calls")
    async with contextlib.AsyncExitStack() as opened:
        try:
            client = await opened.enter_async_context(open_client(settings.kubernetes))
        except KubernetesUnavailableError as error:
            raise SettingsError(f"MONITOR_KUBERNETES={settings.kubernetes}: {error}") from error
        await _Server(settings, reader, client, health=health, registry=registry).run(stopping)


class _Server:
    def __init__(
        self,
        settings: HpaSettings,
        reader: Reader,
        client: ApiClient,
        *,
        health: Health,
        registry: CollectorRegistry,
    ) -> None:
        self._settings, self._health = settings, health
        self._cluster = Cluster(client)
        self._callers = Callers(self._cluster)
        self._certificates = Certificates(settings.hpa_cert, settings.hpa_key)
        self._source = Source(reader, time.time_ns, settings.hpa_window_seconds, settings.stale_seconds)
        self._registry = registry
        self._failures = Counter(
            "monitor_hpa_reload_failures",
            "Times that a certificate, or how the API server calls, could not be read; what was known holds.",
            ["what"],
            registry=registry,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """See `run`."""
        await self._begin(stopping)
        if stopping.is_set():
            return
        settings = self._settings
        async with open_fallback(settings.fallback_apiservice, settings.fallback_ca, self._cluster) as fallback:
            api = MetricsApi(
                callers=self._callers,
                rights=Rights(self._cluster),
                custom=CustomMetrics(self._source, self._cluster),
                external=ExternalMetrics(self._source),
                catalog=Catalog(self._source.reader),
                fallback=fallback,
                is_newest=self._certificates.is_newest,
                registry=self._registry,
            )
            async with _listening(api, str(settings.hpa_listen), self._certificates.context):
                self._health.ready(PART)
                while not await _stops_within(LOOK_SECONDS, stopping):
                    await self._look()

    async def _begin(self, stopping: asyncio.Event) -> None:
        """Wait until the API server has said how it calls: before that, nobody could be believed.

        Raises:
            SettingsError: The certificate cannot be read.
        """
        while not await self._learn():
            if await _stops_within(_AGAIN_SECONDS, stopping):
                return
        try:
            await self._renew()
        except OSError as error:
            raise SettingsError(f"MONITOR_HPA_CERT, MONITOR_HPA_KEY: {error}") from error

    async def _look(self) -> None:
        """What cannot be read now stays as it was."""
        await self._learn()
        try:
            if await self._renew():
                log.info("certificates of the metrics APIs read again")
        except OSError as error:
            self._failures.labels("certificate").inc()
            log.warning("certificate not read again, the one before stays", error=str(error))

    async def _learn(self) -> bool:
        try:
            self._callers.front_proxy = front_proxy_of(await self._cluster.authentication())
        except (KubernetesUnavailableError, ValueError) as error:
            self._failures.labels("front-proxy").inc()
            self._complain(str(error))
            return False
        return True

    def _complain(self, error: str) -> None:
        if self._callers.front_proxy is None:
            self._health.broken(PART, error)
        log.warning("how the API server calls is not known anew", error=error)

    async def _renew(self) -> bool:
        front_proxy = self._callers.front_proxy
        if front_proxy is None:
            return False
        return await asyncio.to_thread(self._certificates.renew, front_proxy.authority)


@contextlib.asynccontextmanager
async def _listening(api: MetricsApi, listen: str, context: ssl.SSLContext) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=2.0, max_field_size=_HEADER_BYTES
    )
    await runner.setup()
    try:
        host, port = split_listen(listen)
        try:
            await web.TCPSite(runner, host, port, ssl_context=context).start()
        except OSError as error:
            raise FatalError(f"cannot listen on {listen}: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()


async def _stops_within(seconds: float, stopping: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
    return stopping.is_set()
