"""What the agent knows of pods while the API server refuses, forgets, and breaks off."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from real_kubernetes import Pods
from real_proxy import Proxy, proxied

from demo.containers import Container
from demo.controlplane import ControlPlane, token
from fluentd.files.discovery import Place
from fluentd.kubernetes.feed import PodFeed
from fluentd.kubernetes.naming import Naming
from fluentd.kubernetes.pods import KnownPods
from fluentd.lanes.statements import Statements
from fluentd.pods.gate import Standing
from fluentd.pods.names import NameRules
from fluentd.pods.selection import LabelSelector, Selection
from pipeline.apiserver import ACCOUNT, IN_CLUSTER, check_source, open_client

pytestmark = [pytest.mark.slow, pytest.mark.real]

SECONDS = 60.0


@dataclass
class Feed:
    """A feed that runs, what it knows, and the proxy that it asks."""

    pods: Pods
    proxy: Proxy
    known: KnownPods
    registry: CollectorRegistry
    feed: PodFeed

    def release(self, pod: Container) -> str:
        """Release of a pod, as far as is known."""
        told = self.known.origin(namespace=pod.namespace, pod=pod.pod, uid=pod.uid, container=pod.name, restart=0)
        return told.release

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"fluentd_kubernetes_{name}_total", labels) or 0.0

    async def cut(self, *, refusing: int = 0, **headers: str) -> None:
        """Break the watch off, once it is there, and refuse what comes then."""
        await until(lambda: self.proxy.watches > 0)
        self.proxy.refusing = refusing
        self.proxy.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.proxy.cut()

    async def call(self, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Ask the API server, past the proxy."""
        return await asyncio.to_thread(method, *arguments, **more)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - any condition, with a bound
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(
    plane: ControlPlane, folder: Path, pods: Pods | None = None, *, user: str = "admin", account: Path | None = None
) -> AsyncIterator[Feed]:
    pods, registry = pods or Pods(plane, folder), CollectorRegistry()
    known = KnownPods(
        naming=Naming(pods.node),
        selection=Selection(LabelSelector("heritage=deis")),
        fallback=NameRules(pods.node),
        wait_seconds=1.0,
        statements=Statements(registry=registry),
        changed=lambda: None,
        registry=registry,
    )
    async with proxied(plane) as proxy:
        config = str(plane.kubeconfig_of(f"proxied-{pods.node}", secret=token(user), url=proxy.url))
        opened = (config, ACCOUNT) if account is None else (IN_CLUSTER, account)
        feed = PodFeed(
            open_client=lambda: open_client(opened[0], account=opened[1]),
            node=pods.node,
            known=known,
            registry=registry,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(feed.run())
            yield Feed(pods, proxy, known, registry, feed)
            task.cancel()


async def test_a_watch_that_breaks_off_goes_on_where_it_was(api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(api_server, tmp_path) as feed:
        app = await feed.call(feed.pods.namespace)
        pod = await feed.call(feed.pods.deis, app, "web-1", version="v1")
        await until(lambda: feed.release(pod) == "v1")
        lists = feed.value("lists")
        await feed.cut()
        await feed.call(feed.pods.patch, pod, labels={"version": "v2"})
        await until(lambda: feed.release(pod) == "v2")
        assert feed.value("lists") == lists == 1
        assert feed.value("errors", reason="no-answer") >= 1


async def test_a_version_that_is_gone_is_listed_anew(own_api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(own_api_server, tmp_path) as feed:
        app = await feed.call(feed.pods.namespace)
        changed, deleted = [await feed.call(feed.pods.deis, app, name, version="v1") for name in ("changed", "deleted")]
        await until(lambda: feed.release(deleted) == "v1" == feed.release(changed))
        await feed.cut(refusing=503)
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
        await feed.cut(refusing=429, Retry_After="2")
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


async def test_a_service_account_whose_token_is_replaced_goes_on(
    api_server: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "ca.crt").write_bytes(api_server.authority.read_bytes())
    (account / "token").write_text("an old token")
    async with running(api_server, tmp_path, account=account) as feed:
        host, _, port = feed.proxy.url.removeprefix("https://").partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        check_source(IN_CLUSTER, variable="AGENT_KUBERNETES", account=account)
        app = await feed.call(feed.pods.namespace)
        pod = await feed.call(feed.pods.deis, app, "web-1", version="v1")
        await until(lambda: feed.value("errors", reason="401") >= 1)
        assert feed.release(pod) == ""
        (account / "token").write_text(token("admin"))
        await until(lambda: feed.release(pod) == "v1")


async def test_a_pod_that_waits_lets_the_server_be_asked_sooner(api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(api_server, tmp_path) as feed:
        app = await feed.call(feed.pods.namespace)
        await feed.cut()
        feed.feed._backoff_seconds = 10 * SECONDS
        await until(lambda: feed.value("errors", reason="no-answer") >= 1)
        pod = await feed.call(feed.pods.deis, app, "web-1", version="v1")
        place = Place("", pod.namespace, pod.pod, pod.uid, pod.name)
        assert feed.known.standing(place) is Standing.WAIT
        await until(lambda: feed.release(pod) == "v1")


async def test_what_is_not_allowed_is_tried_again_with_patience(api_server: ControlPlane, tmp_path: Path) -> None:
    async with running(api_server, tmp_path, user="nobody") as feed:
        await until(lambda: feed.value("errors", reason="403") >= 3)
        assert feed.known.snapshot() == {}
