"""Keeps what is known of the node's pods up to date: lists them, watches them, and begins again, with patience.

::

    list --> watch --+--> ends in order: watch on from the last version heard of
     ^      ^       +--> fails: wait, longer each time and as long as the server asks for; connect anew; watch on
     |      '-------+
     |              +--> the version is gone (410)
     '--------------+--> ten minutes have passed: an event that never came is made good

What was known holds all the while: see `KnownPods`. Up to when pods are known moves on with the clock while a watch is
open, but for its first moment, in which the server tells what came before; else it stands still.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Final

import structlog
from kubernetes.aio.client.api_client import ApiClient
from prometheus_client import CollectorRegistry, Counter, Gauge

from fluentd.kubernetes.api import OPEN, PodApi
from fluentd.kubernetes.facts import Pod
from fluentd.kubernetes.pods import KnownPods
from pipeline.apiserver import MALFORMED, GoneError
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

RESYNC_SECONDS: Final = 600.0
WATCH_SECONDS: Final = 300
_FIRST_BACKOFF_SECONDS: Final = 0.2
_LAST_BACKOFF_SECONDS: Final = 30.0
_WANTED_BACKOFF_SECONDS: Final = 1.0  # more often than this nobody asks, whoever waits
_LEAST_WATCH_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.5

OpenClient = Callable[[], AbstractAsyncContextManager[ApiClient]]


class PodFeed:
    """See the module.

    Args:
        open_client: Opens a connection; again after each failure, so that a new token or authority counts.
        node: Name of the node.
        known: Takes what was heard.
        registry: For the metrics.
    """

    def __init__(self, *, open_client: OpenClient, node: str, known: KnownPods, registry: CollectorRegistry) -> None:
        self._open_client, self._node, self._known = open_client, node, known
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        self._version = ""
        self._newest = False
        self._just_listed = False
        self._resync_at = 0.0
        self._heard_at = time.monotonic()
        self._troubled = False
        self._open_at: float | None = None
        self._known_ns = 0
        self._errors = Counter(
            "fluentd_kubernetes_errors", "Answers of the API server that were none.", ["reason"], registry=registry
        )
        self._lists = Counter(
            "fluentd_kubernetes_lists", "Times that all pods of the node were listed.", registry=registry
        )
        self._relists = Counter(
            "fluentd_kubernetes_gone", "Watches whose version the API server no longer had.", registry=registry
        )
        self._events = Counter(
            "fluentd_kubernetes_events", "Changes of pods of this node that were heard of.", registry=registry
        )
        Gauge(
            "fluentd_kubernetes_silent_seconds",
            "How long nothing was heard from the API server; a quiet watch says something each minute.",
            registry=registry,
        ).set_function(lambda: time.monotonic() - self._heard_at)
        Gauge(
            "fluentd_pods_known_seconds",
            "Up to when everything that happened to this node's pods is known.",
            registry=registry,
        ).set_function(lambda: self.known_ns() / 1e9)

    def known_ns(self) -> int:
        """Up to when everything that happened to the node's pods was heard, nanoseconds since the epoch; 0 at first."""
        if self._open_at is not None and time.monotonic() - self._open_at >= _SETTLE_SECONDS:
            self._known_ns = max(self._known_ns, time.time_ns())
        return self._known_ns

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._known.wanted.clear()
            try:
                async with self._open_client() as client:
                    await self._listen(PodApi(client, self._node))
            except KubernetesUnavailableError as error:
                await self._pause(error)

    async def _listen(self, api: PodApi) -> None:
        while True:
            if not self._version or time.monotonic() >= self._resync_at:
                await self._list(api)
            try:
                await self._watch(api)
            except GoneError as error:
                self._relists.inc()
                self._version, self._newest = "", True
                if self._just_listed:
                    raise KubernetesUnavailableError("the version just listed is gone", reason="410") from error

    async def _list(self, api: PodApi) -> None:
        try:
            pods, self._version = await api.list_pods(newest=self._newest)
        except GoneError as error:
            raise KubernetesUnavailableError("the list changes too fast", reason="410") from error
        self._lists.inc()
        self._known.replace(pods)
        self._hear()
        self._just_listed, self._newest = True, False
        self._resync_at = time.monotonic() + RESYNC_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load

    async def _watch(self, api: PodApi) -> None:
        """Take in what happens until the server ends the watch."""
        began = time.monotonic()
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
        try:
            async with aclosing(api.watch_pods(self._version, seconds=seconds)) as events:
                async for kind, pod, version in events:
                    if kind == OPEN:
                        self._open_at = time.monotonic()
                    else:
                        self._take(pod, version, deleted=kind == "DELETED")
        finally:
            self._open_at = None
        if time.monotonic() - began < _LEAST_WATCH_SECONDS:
            raise KubernetesUnavailableError("the watch ended at once", reason="short-watch")

    def _take(self, pod: Pod | None, version: str, *, deleted: bool) -> None:
        """Take in one event."""
        if pod is not None:
            self._known.apply(pod, deleted=deleted)
            self._events.inc()
        self._version = version or self._version
        self._hear()
        self._just_listed, self._backoff_seconds = False, _FIRST_BACKOFF_SECONDS

    def _hear(self) -> None:
        self._heard_at = time.monotonic()
        if self._troubled:
            self._troubled = False
            log.info("the API server answers again")

    async def _pause(self, error: KubernetesUnavailableError) -> None:
        """Wait before the next try, but not long while a new pod waits. Logged once for each time of trouble."""
        self._errors.labels(error.reason).inc()
        if error.reason == MALFORMED:
            self._version = ""  # it would come again: a list goes past it
        if not self._troubled:
            self._troubled = True
            log.warning("no word from the API server, what was known of pods holds", error=str(error))
        seconds = self._backoff_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
        self._backoff_seconds = min(self._backoff_seconds * 2, _LAST_BACKOFF_SECONDS)
        await asyncio.sleep(error.retry_after_seconds + min(seconds, _WANTED_BACKOFF_SECONDS))
        if self._known.waiting:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - _WANTED_BACKOFF_SECONDS):
                await self._known.wanted.wait()
