"""A node as a real API server knows it: pods, their log files under both of kubelet's names, a real broker.

::

    etcd <-- API server <-- demo.kubelet, which lets every pod run
    broker
    pods/<namespace>_<pod>_<uid>/<container>/0.log           read by our agent
    containers/<pod>_<namespace>_<container>-<id>.log        links to them, read by others
"""

import http.client
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from bench import vlagent
from bench.material import LONG_SECONDS, LOOK_SECONDS, Material
from demo import controlplane, kafka
from demo.containers import Container
from demo.controlplane import ControlPlane, token
from demo.stack import ServiceProcess, StackError, wait_until

NAME: Final = "node-1"
PARTITIONS: Final = 8


@dataclass(slots=True)
class Node:
    """One node.

    Attributes:
        folder: Holds everything of it.
        plane: The API server that knows its pods.
        broker: The queue's.
        pods: How many were made.
    """

    folder: Path
    plane: ControlPlane
    broker: kafka.Broker
    pods: int = 0
    _namespaces: set[str] = field(default_factory=set)

    @property
    def pod_logs(self) -> Path:
        """Kubelet's folder of pod logs."""
        return self.folder / "pods"

    @property
    def containers(self) -> Path:
        """Kubelet's folder of links to them."""
        return self.folder / "containers"

    def settings(self, topic: str) -> dict[str, str]:
        """Settings of our services, with a queue of their own."""
        options = f"create=1&partitions={PARTITIONS}&replication=1&min_insync=1"
        return {
            "QUEUE_URL": f"kafka://{self.broker.server}/{topic}?{options}",
            "AGENT_KUBERNETES": str(self.plane.kubeconfig),
            "AGENT_NODE": NAME,
        }

    def create(self, pod: Container) -> Container:
        """Make a pod as Deis's controller does; the API server gives it another uid.

        Args:
            pod: Its namespace names the app, its container `<app>-<process>`.

        Raises:
            StackError: The API server refused.
        """
        with closing(self._connect()) as connection:
            return self._create(connection, pod)

    def adopt(self, logs: Path) -> None:
        """Make the pods whose logs lie below a folder, of one file each, let them run, and link their files.

        Raises:
            StackError: They do not run.
        """
        with closing(self._connect()) as connection:
            for file in sorted(logs.glob("*/*/0.log")):
                namespace, pod, uid = file.parent.parent.name.split("_")
                made = self._create(connection, Container(namespace, pod, uid, file.parent.name))
                self.link(made)
                made.folder(self.pod_logs).mkdir(parents=True)
                (made.folder(self.pod_logs) / file.name).hardlink_to(file)
        wait_until(
            lambda: self.running() == self.pods, seconds=LONG_SECONDS, what="pods run", every_seconds=LOOK_SECONDS
        )

    def link(self, pod: Container) -> None:
        """Link a container's log file as kubelet does; `demo.kubelet` takes the pod's uid for the container's id."""
        name = f"{pod.pod}_{pod.namespace}_{pod.name}-{pod.uid}.log"
        (self.containers / name).symlink_to(pod.folder(self.pod_logs) / "0.log")

    def running(self) -> int:
        """How many pods run."""
        with closing(self._connect()) as connection:
            found = _call(connection, "GET", "/api/v1/pods?fieldSelector=status.phase%3DRunning")
        return len(found["items"])

    def _create(self, connection: http.client.HTTPSConnection, pod: Container) -> Container:
        if pod.namespace not in self._namespaces:
            _call(connection, "POST", "/api/v1/namespaces", {"metadata": {"name": pod.namespace}})
            self._namespaces.add(pod.namespace)
        process = pod.name.removeprefix(f"{pod.namespace}-")
        labels = {"heritage": "deis", "app": pod.namespace, "type": process, "version": "v1"}
        body = {
            "metadata": {"name": pod.pod, "labels": labels},
            "spec": {"nodeName": NAME, "containers": [{"name": pod.name, "image": "none"}]},
        }
        made = _call(connection, "POST", f"/api/v1/namespaces/{pod.namespace}/pods", body)
        self.pods += 1
        return Container(pod.namespace, pod.pod, made["metadata"]["uid"], pod.name)

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.plane.authority))
        host, _, port = self.plane.url.removeprefix("https://").partition(":")
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=60)


def _call(connection: http.client.HTTPSConnection, method: str, path: str, body: object = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token('admin')}", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise StackError(f"{method} {path}: {answer.status} {text[:500]!r}")
    found: dict[str, Any] = json.loads(text)
    return found


@contextmanager
def a_node(material: Material, name: str) -> Iterator[Node]:
    """A node without pods; everything of it is gone afterwards.

    Raises:
        StackError: This machine lacks what builds or runs its parts.
    """
    if missing := ", ".join(
        filter(None, (kafka.missing_tools(), controlplane.missing_tools(), vlagent.missing_tools()))
    ):
        raise StackError(f"no node: {missing} on this machine")
    controlplane.build()
    folder = material.run / name
    with ExitStack() as ending:
        broker = kafka.one_broker(folder / "broker")
        ending.callback(broker.remove)
        broker.format()
        broker.start()
        plane = ending.enter_context(ControlPlane(folder / "plane", controllers=False))
        node = Node(folder, plane, broker)
        node.pod_logs.mkdir()
        node.containers.mkdir()
        output = folder / "kubelet.log"
        kubelet = ServiceProcess("kubelet", ["-m", "demo.kubelet", str(plane.kubeconfig), NAME], os.environ, output)
        ending.callback(kubelet.kill)
        wait_until(lambda: _is_there(node), seconds=60, what="the node is there", every_seconds=0.2)
        broker.wait()
        yield node


def _is_there(node: Node) -> bool:
    return NAME in node.plane.kubectl("get", "nodes", "-o", "name")
