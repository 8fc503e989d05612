"""Real parts for tests: Kafka brokers and Kubernetes control planes, started once for each run and shared."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from demo import controlplane, kafka
from demo.controlplane import ControlPlane
from demo.stack import ServiceProcess, wait_until
from pipeline.queue import Consumer, GroupConsumer, Producer, open_consumer, open_group_consumer, open_producer

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module

T = TypeVar("T")

NODES = ("node-1", "node-2", "node-3")
"""Of `control_plane`."""


@pytest.fixture(scope="session")
def kafka_tools() -> None:
    """Skip, with the reason, where no broker can be started."""
    if missing := kafka.missing_tools():
        pytest.skip(f"real Kafka: {missing} on this machine")


@pytest.fixture(scope="session")
def broker(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    """One broker for the whole run. A test that harms it starts one of its own: see `own_broker`."""
    one = kafka.one_broker(tmp_path_factory.mktemp("kafka") / "one")
    yield from _running([one], one)


@pytest.fixture
def own_broker(kafka_tools: None, tmp_path: Path) -> Iterator[kafka.Broker]:
    """One broker for one test, which may do to it what it likes."""
    one = kafka.one_broker(tmp_path / "own")
    yield from _running([one], one)


@pytest.fixture
def cluster(kafka_tools: None, tmp_path: Path) -> Iterator[list[kafka.Broker]]:
    """Three brokers for one test: replication 3, two in sync needed."""
    three = kafka.three_brokers(tmp_path / "three")
    yield from _running(three, three)


def _running(brokers: list[kafka.Broker], value: T) -> Iterator[T]:
    try:
        for one in brokers:
            one.format()
        for one in brokers:
            one.start()
        for one in brokers:
            one.wait()
        yield value
    finally:
        for one in brokers:
            one.remove()


@pytest.fixture(scope="session")
def controlplane_tools() -> None:
    """Build the programs; skip, with the reason, where they cannot be. Minutes on a machine that never built them."""
    if missing := controlplane.missing_tools():
        pytest.skip(f"real Kubernetes: {missing} on this machine")
    controlplane.build()


@pytest.fixture(scope="session")
def control_plane(controlplane_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster for the whole run, with `NODES` that run every pod: use namespaces of your own, harm nothing."""
    folder = tmp_path_factory.mktemp("kubernetes")
    with ControlPlane(folder / "whole") as plane:
        arguments = ["-m", "demo.kubelet", str(plane.kubeconfig), *NODES]
        kubelets = ServiceProcess("kubelets", arguments, os.environ, folder / "kubelets.log")
        try:
            wait_until(lambda: _ready_nodes(plane) == len(NODES), seconds=60, what="nodes are ready", every_seconds=0.2)
            yield plane
        finally:
            kubelets.kill()


@pytest.fixture(scope="session")
def api_server(controlplane_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with its etcd for the whole run, no controllers, no nodes: use namespaces of your own."""
    with ControlPlane(tmp_path_factory.mktemp("kubernetes") / "bare", controllers=False) as plane:
        yield plane


@pytest.fixture
def own_api_server(controlplane_tools: None, tmp_path: Path) -> Iterator[ControlPlane]:
    """An API server, without a watch cache, and its etcd for one test, which may do to them what it likes."""
    with ControlPlane(tmp_path / "plane", controllers=False, flags=["--watch-cache=false"]) as plane:
        yield plane


def _ready_nodes(plane: ControlPlane) -> int:
    status = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    return plane.kubectl("get", "nodes", "-o", f"jsonpath={status}").split().count("True")


class OpenQueue:
    """One topic; opens producers and consumers, and closes them at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._topic = url.partition("?")[0].rpartition("/")[2]
        self._opened: list[Producer | Consumer] = []

    async def producer(self) -> Producer:
        """Open another producer."""
        producer = await open_producer(self.url)
        self._opened.append(producer)
        return producer

    async def consumer(self, group: str = "logger") -> Consumer:
        """Open another consumer, of a group of this topic's own."""
        consumer = await open_consumer(self.url, group=f"{group}-{self._topic}")
        self._opened.append(consumer)
        return consumer

    async def member(self, name: str, *, instance: str | None = None) -> GroupConsumer:
        """Join the group of this topic."""
        group = f"loggers-{self._topic}"
        member = await open_group_consumer(self.url, group=group, client_id=name, instance=instance)
        self._opened.append(member)
        return member

    async def close(self) -> None:
        """Close everything that is open."""
        while self._opened:
            await self._opened.pop().close()


@pytest.fixture
async def a_queue(broker: kafka.Broker) -> AsyncIterator[OpenQueue]:
    """A new topic with 4 partitions, on the shared broker."""
    topic = f"t-{uuid4().hex[:12]}"
    url = f"kafka://{broker.server}/{topic}?create=1&partitions=4&replication=1&min_insync=1"
    await (await open_producer(url)).close()  # makes the topic
    opened = OpenQueue(url)
    yield opened
    await opened.close()
