"""The real autoscaler, fed by the lines of a router: up with requests, down without, and never by a pause."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from real_aggregation import aggregated, post
from real_kubernetes import Pods
from real_traffic import Traffic

from demo import kafka
from demo.certificates import Authority
from demo.controlplane import ControlPlane
from demo.stack import Stack, StackError, free_port, pause, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.real]

LONG = "HPA_PAUSE_SECONDS" in os.environ
"""The long form: pauses as long as that says, and one more of them."""

PAUSE_SECONDS = float(os.environ.get("HPA_PAUSE_SECONDS", "18"))
"""How long each part stands still: nine looks of the autoscaler, of which the last ones find nothing fresh."""

SECONDS = 150.0
NODE = "node-1"
PROCESSES = ("web", "api", "worker")
WANTED = 4
SETTINGS = {"MONITOR_HPA_WINDOW_SECONDS": "20", "MONITOR_STALE_SECONDS": "12", "MONITOR_STATE_SECONDS": "2"}

Json = dict[str, Any]


def deployment(namespace: str, process: str) -> Json:
    labels = {"heritage": "deis", "app": namespace, "type": process, "version": "v3"}
    pod = {"nodeSelector": {"kubernetes.io/hostname": NODE}, "containers": [{"name": "c", "image": "none"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{namespace}-{process}", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": namespace, "type": process}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def autoscaler(namespace: str, process: str, metric: Json) -> Json:
    fast = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 10, "periodSeconds": 1}]}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{namespace}-{process}"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": process, "namespace": namespace},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 1,
            "maxReplicas": 10,
            "metrics": [metric],
            "behavior": {"scaleUp": fast, "scaleDown": {**fast, "stabilizationWindowSeconds": 4}},
        },
    }


def metrics(namespace: str) -> dict[str, Json]:
    """One form for each process: 50 requests a second for each pod, in all of them."""
    target = {"type": "AverageValue", "averageValue": "50"}
    selector = {"matchLabels": {"app": namespace, "process": "web"}}
    described = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{namespace}-api"}
    metric = {"name": "requests_per_second"}
    return {
        "web": {"type": "External", "external": {"metric": {**metric, "selector": selector}, "target": target}},
        "api": {"type": "Object", "object": {"metric": metric, "describedObject": described, "target": target}},
        "worker": {"type": "Pods", "pods": {"metric": metric, "target": target}},
    }


@dataclass
class Shop:
    """An app of three processes with an autoscaler each, its router, and the services that measure it."""

    pods: Pods
    namespace: str
    stack: Stack
    traffic: Traffic
    history: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def replicas(self) -> dict[str, int]:
        """Wanted replicas by process, as the autoscalers have set them."""
        found = self.pods.call("GET", f"/apis/apps/v1/namespaces/{self.namespace}/deployments")
        return {one["metadata"]["labels"]["type"]: one["spec"]["replicas"] for one in found["items"]}

    def active(self) -> dict[str, bool]:
        """Whether each autoscaler has a value."""
        path = f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
        found = self.pods.call("GET", path)
        return {
            one["metadata"]["name"]: any(
                condition["type"] == "ScalingActive" and condition["status"] == "True"
                for condition in one.get("status", {}).get("conditions", ())
            )
            for one in found["items"]
        }

    def look_for_pods(self) -> None:
        """Let the router know the endpoints as they are now."""
        found = self.pods.call("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        for process in PROCESSES:
            self.traffic.pods[process] = [
                pod["status"]["podIP"]
                for pod in found["items"]
                if pod["metadata"]["labels"]["type"] == process
                and pod["status"].get("podIP")
                and "deletionTimestamp" not in pod["metadata"]
            ]

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait while the router goes on."""

        def look() -> bool:
            self.look_for_pods()
            self.history.append((time.monotonic(), self.replicas()))
            return condition()

        try:
            wait_until(look, seconds=SECONDS, what=what, every_seconds=0.5)
        except StackError as error:
            told = self.pods.plane.kubectl("-n", self.namespace, "describe", "hpa")[-6000:]
            raise StackError(f"{error}\n{self.history[-20:]}\n{told}\n{self.stack.last_words()}") from error

    def scaled_up(self) -> bool:
        return all(count >= WANTED for count in self.replicas().values())

    def holds(self, what: str) -> None:
        """Look at it for a while: no autoscaler may lower anything, and at the end none has a value."""
        until = time.monotonic() + PAUSE_SECONDS
        while time.monotonic() < until:
            self.look_for_pods()
            assert min(self.replicas().values()) >= WANTED, f"{what}: {self.replicas()}"
            pause(0.5)
        self.wait(lambda: not any(self.active().values()), f"{what}: no autoscaler has a value")
        assert min(self.replicas().values()) >= WANTED, what

    def recovers(self, what: str) -> None:
        """Values come again, and they are not those of a pause."""

        def good() -> bool:
            assert self.scaled_up(), f"{what}: {self.replicas()}"
            return all(self.active().values())

        self.wait(good, f"{what} is over")


@contextmanager
def watched(shop: Shop) -> Iterator[list[int]]:
    """The least replicas of any process while the block runs, looked at all the time."""
    least = [min(shop.replicas().values())]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            least[0] = min(least[0], *shop.replicas().values())

    thread = threading.Thread(target=look, name="watched")
    thread.start()
    try:
        yield least
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def shop(control_plane: ControlPlane, own_broker: kafka.Broker, tmp_path: Path) -> Iterator[Shop]:
    plane, folder = control_plane, tmp_path / "shop"
    folder.mkdir()
    pods = Pods(plane, folder / "pods", node=NODE)
    namespace = pods.namespace(f"shop-{uuid4().hex[:8]}")
    post(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ingress-nginx"}})
    router = pods.create("ingress-nginx", f"router-{uuid4().hex[:8]}", containers=("controller",))
    authority = Authority(folder, "adapter-ca")
    authority.issue("tls", subject="/CN=adapter", usage="serverAuth", names=["DNS:adapter.metrics-apis.svc"])
    port = free_port()
    settings = {
        "QUEUE_URL": f"kafka://{own_broker.server}/lines?create=1&partitions=3&replication=1&min_insync=1",
        "AGENT_KUBERNETES": str(plane.kubeconfig),
        "AGENT_NODE": NODE,
        "AGENT_POD_SELECTOR": "",
        "AGENT_NAMESPACES": f"{namespace},ingress-nginx",
        "MONITOR_HPA_LISTEN": f"127.0.0.1:{port}",
        "MONITOR_HPA_CERT": str(folder / "tls.crt"),
        "MONITOR_HPA_KEY": str(folder / "tls.key"),
        "MONITOR_KUBERNETES": str(plane.kubeconfig),
        **SETTINGS,
    }
    with Stack(folder, pod_logs=folder / "pods", settings=settings) as stack:
        stack.start("agent")
        stack.start("monitor")
        stack.wait_ready("agent", "monitor", seconds=SECONDS)
        with aggregated(plane, port=port, authority=authority.certificate):
            post(plane, *(deployment(namespace, process) for process in PROCESSES))
            post(plane, *(autoscaler(namespace, name, metric) for name, metric in metrics(namespace).items()))
            yield Shop(pods, namespace, stack, Traffic(pods.log(router), {}))
            plane.kubectl("delete", "namespace", namespace, "--timeout=90s")
            pods.delete(router)
    pods.close()


def test_the_autoscaler_goes_up_and_down_with_requests_and_holds_in_every_pause(
    shop: Shop, own_broker: kafka.Broker
) -> None:
    agent, monitor = shop.stack.processes["agent"], shop.stack.processes["monitor"]
    with shop.traffic:
        begun = time.monotonic()
        shop.wait(shop.scaled_up, "scaled up")
        up_seconds = time.monotonic() - begun
        shop.wait(lambda: all(shop.active().values()), "values for all")
        with watched(shop) as least:
            os.kill(agent.pid, signal.SIGSTOP)
            shop.holds("the agent stands still")
            os.kill(agent.pid, signal.SIGCONT)
            shop.recovers("the agent's pause")

            own_broker.pause()
            shop.holds("the broker stands still")
            own_broker.resume()
            shop.recovers("the broker's pause")

            if LONG:
                os.kill(monitor.pid, signal.SIGSTOP)
                shop.holds("the monitor stands still")
                os.kill(monitor.pid, signal.SIGCONT)
                shop.recovers("the monitor's pause")

            monitor.kill()
            shop.holds("the monitor is gone")
            shop.stack.start("monitor")
            shop.recovers("the monitor's absence")
        assert least[0] >= WANTED, "not even for a moment"
        most = max(max(counts.values()) for _, counts in shop.history)
        assert most <= WANTED + 1, f"no spike: {most}"
    assert shop.traffic.written > 0
    begun = time.monotonic()
    shop.wait(lambda: set(shop.replicas().values()) == {1}, "scaled down")
    figures = {"written": shop.traffic.written, "most": most, "up": up_seconds, "down": time.monotonic() - begun}
    print(json.dumps(figures))  # noqa: T201 - for who runs it by hand
