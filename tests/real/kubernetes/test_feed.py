"""What the agent knows of pods while the API server refuses, forgets, and breaks off."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from real_kubernetes import Pods
from real_proxy import Proxy, proxied

from demo.containers import Container
from demo.controlplane import ControlPlane, token
from fluentd.kubernetes.api import open_client
from fluentd.kubernetes.feed import PodFeed
from fluentd.kubernetes.naming import Naming
from fluentd.kubernetes.pods import KnownPods
from fluentd.pods import NameRules
from fluentd.selection import LabelSelector, Selection

pytestmark = [pytest.mark.slow, pytest.mark.real]

SECONDS = 60.0


@dataclass
class Feed:
    """A feed that runs, what it knows, and the proxy that it asks."""

    pods: Pods
    proxy: Proxy
    known: KnownPods
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def release(self, pod: Container) -> str:
        """Release of a pod, as far as is known."""
        told = self.known.origin(namespace=pod.namespace, pod=pod.pod, uid=pod.uid, container=pod.name, restart=0)
        return told.release

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"fluentd_kubernetes_{name}_total", labels) or 0.0

    async def call(self, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Ask the API server, past the proxy."""
        return await asyncio.to_thread(method, *arguments, **more)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - any condition, with a bound
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(plane: ControlPlane, folder: Path, pods: Pods | None = None) -> AsyncIterator[Feed]:
    pods, registry = pods or Pods(plane, folder), CollectorRegistry()
    known = KnownPods(
        naming=Naming(pods.node),
        selection=Selection(LabelSelector("heritage=deis")),
        fallback=NameRules(pods.node),
        wait_seconds=1.0,
        changed=lambda: None,
        registry=registry,
    )
    async with proxied(plane) as proxy:
        config = plane.kubeconfig_of(f"proxied-{pods.node}", secret=token("admin"), url=proxy.url)
        feed = PodFeed(open_client=lambda: open_client(str(config)), node=pods.node, known=known, registry=registry)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(feed.run())
            yield Feed(pods, proxy, known, registry)
            task.cancel()


async def test_a_watch_that_breaks_off_goes_on_where_it_was(api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(api_server, tmp_path) as feed:
        app = await feed.call(feed.pods.namespace)
        pod = await feed.call(feed.pods.deis, app, "web-1", version="v1")
        await until(lambda: feed.release(pod) == "v1")
        lists = feed.value("lists")
        feed.proxy.cut()
        await feed.call(feed.pods.patch, pod, labels={"version": "v2"})
        await until(lambda: feed.release(pod) == "v2")
        assert feed.value("lists") == lists == 1
        assert feed.value("errors", reason="no-answer") >= 1


async def test_a_version_that_is_gone_is_listed_anew(own_api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(own_api_server, tmp_path) as feed:
        app = await feed.call(feed.pods.namespace)
        changed, deleted = [await feed.call(feed.pods.deis, app, name, version="v1") for name in ("changed", "deleted")]
        await until(lambda: feed.release(deleted) == "v1" == feed.release(changed))
        feed.proxy.refusing = 503
        feed.proxy.cut()
        await until(lambda: feed.value("errors", reason="503") >= 1)
        await feed.call(feed.pods.patch, changed, labels={"version": "v2"})
        await feed.call(feed.pods.delete, deleted)
        created = await feed.call(feed.pods.deis, app, "created", version="v3")
        await feed.call(own_api_server.compact)
        assert feed.release(changed) == "v1", "what was known holds"
        feed.proxy.refusing = 0
        await until(lambda: feed.release(changed) == "v2" and feed.release(created) == "v3")
        assert feed.value("gone") == 1
        assert feed.value("lists") == 2
        assert feed.release(deleted) == "v1", "it may have files still"


async def test_a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    async with running(api_server, tmp_path) as feed:
        app = await feed.call(feed.pods.namespace)
        pod = await feed.call(feed.pods.deis, app, "web-1", version="v1")
        await until(lambda: feed.release(pod) == "v1")
        feed.proxy.refusing, feed.proxy.headers = 429, {"Retry-After": "2"}
        feed.proxy.cut()
        asked = len(feed.proxy.asked)
        await until(lambda: feed.value("errors", reason="429") >= 2)
        assert len(feed.proxy.asked) - asked <= 3
        await feed.call(feed.pods.patch, pod, labels={"version": "v2"})
        feed.proxy.refusing = 0
        await until(lambda: feed.release(pod) == "v2")


async def test_the_list_is_asked_of_the_cache_and_of_the_node_alone(api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(api_server, tmp_path) as feed:
        await until(lambda: feed.value("lists") == 1 and len(feed.proxy.asked) == 2)
        listed, watched = feed.proxy.asked
        assert listed == {"fieldSelector": f"spec.nodeName={feed.pods.node}", "limit": "100", "resourceVersion": "0"}
        assert watched["allowWatchBookmarks"] == "true"
        assert watched["resourceVersion"] not in {"", "0"}


async def test_more_pods_than_fit_on_a_page_are_all_known(own_api_server: ControlPlane, tmp_path: Path) -> None:
    pods = Pods(own_api_server, tmp_path)
    app = await asyncio.to_thread(pods.namespace)
    made = [await asyncio.to_thread(pods.deis, app, f"web-{number}", version="v1") for number in range(205)]
    async with running(own_api_server, tmp_path, pods) as feed:
        await until(lambda: all(feed.release(pod) == "v1" for pod in made))
        assert feed.value("lists") == 1
        assert sum("continue" in query for query in feed.proxy.asked) == 2
