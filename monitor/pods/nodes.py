"""Which of the nodes that have fallen silent do not exist any more: their lines are not waited for.

A node is gone when the API server has just answered that there is neither such a Node object nor a pod on it. While the
server is away, nobody is gone: a time-out alone would leave a node out that is merely slow, and sums would dip.

Only nodes that are suspected are asked about, so that in health nothing is asked. A suspect whose agent never spoke of
pods is none: what is no node of the cluster has no Node object, and is not gone by that.
"""

import asyncio
import re
import time
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
import structlog
from kubernetes.aio.client.api_client import ApiClient
from prometheus_client import CollectorRegistry, Counter, Gauge

from pipeline.apiserver import METADATA_LIST, GoneError, asked, read_answer
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

ASK_SECONDS: Final = 30.0
"""Between two rounds of questions."""

HOLDS_SECONDS: Final = 90.0
"""An answer that is older does not count any more."""

_MOST_SUSPECTS: Final = 200  # in one round; the others wait for theirs
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # Source: Kubernetes, DNS subdomain names

OpenClient = Callable[[], AbstractAsyncContextManager[ApiClient]]


class _Pods(msgspec.Struct, frozen=True):
    """Of a list, whether there is anything in it."""

    items: tuple[msgspec.Raw, ...] | None = None


class GoneNodes:
    """See the module.

    Args:
        open_client: Opens a connection; anew for each round, so that a new token or authority counts.
        suspects: Names of nodes whose agents spoke of pods once, and have sent no heartbeat for a while.
        registry: For the metrics.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        open_client: OpenClient,
        suspects: Callable[[], Collection[str]],
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_client, self._suspects, self._clock = open_client, suspects, clock
        self._gone_at: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._troubled = False
        self._errors = Counter(
            "monitor_kubernetes_errors", "Answers of the API server that were none.", ["reason"], registry=registry
        )
        Gauge(
            "monitor_nodes_gone", "Nodes that are not waited for, since they do not exist any more.", registry=registry
        ).set_function(lambda: len(self.gone()))

    def gone(self) -> frozenset[str]:
        """The nodes that are gone, by answers that still hold. One that is heard of again is not."""
        until = self._clock() - HOLDS_SECONDS
        suspects = set(self._suspects())
        return frozenset(node for node, at in self._gone_at.items() if at >= until and node in suspects)

    async def run(self) -> None:
        """Ask from time to time, until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(ASK_SECONDS)

    async def ask(self) -> None:
        """Ask about all suspects once; those that were not asked about for the longest time come first."""
        suspects = sorted(
            (node for node in set(self._suspects()) if _NAME.fullmatch(node)),
            key=lambda node: (self._asked_at.get(node, 0.0), node),
        )
        self._forget(suspects)
        if not suspects:
            return
        try:
            async with self._open_client() as client:
                for node in suspects[:_MOST_SUSPECTS]:
                    self._asked_at[node] = self._clock()
                    await self._ask_about(client, node)
        except (KubernetesUnavailableError, GoneError) as error:
            self._errors.labels(getattr(error, "reason", "410")).inc()
            if not self._troubled:
                log.warning("no word from the API server, all nodes are waited for", error=str(error))
            self._troubled = True
        else:
            self._troubled = False

    async def _ask_about(self, client: ApiClient, node: str) -> None:
        at = self._clock()
        if await _exists(client, node) or await _has_pods(client, node):
            self._gone_at.pop(node, None)
            return
        if node not in self._gone_at:
            log.info("a node does not exist any more, and is not waited for", node=node)
        self._gone_at[node] = at

    def _forget(self, suspects: Collection[str]) -> None:
        for kept in (self._gone_at, self._asked_at):
            for node in kept.keys() - set(suspects):
                del kept[node]


async def _exists(client: ApiClient, node: str) -> bool:
    try:
        async with asked(client, f"/api/v1/nodes/{node}") as answer:
            await answer.read()
    except KubernetesUnavailableError as error:
        if error.reason == "404":
            return False
        raise
    return True


async def _has_pods(client: ApiClient, node: str) -> bool:
    query = [("fieldSelector", f"spec.nodeName={node}"), ("limit", "1")]
    async with asked(client, "/api/v1/pods", query=query, accept=METADATA_LIST) as answer:
        return bool(read_answer(await answer.read(), _Pods).items)
