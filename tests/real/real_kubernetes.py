"""Pods at a real API server, made by hand, and the log files that they would have."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

from demo.containers import Container, ContainerLog
from demo.controlplane import ControlPlane, token

Json = dict[str, Any]


@dataclass
class Pods:
    """Makes, changes and deletes pods; knows their log files.

    Attributes:
        plane: Whose API server is asked.
        root: kubelet's folder of pod logs.
        node: Name of their node: another one for each test, since the API server is shared.
    """

    plane: ControlPlane
    root: Path
    node: str = field(default_factory=lambda: f"node-{uuid4().hex[:8]}")
    _logs: dict[str, ContainerLog] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Json | None = None, *, kind: str = "application/json") -> Json:
        """Ask the API server as admin."""
        context = ssl.create_default_context(cafile=str(self.plane.authority))
        host, _, port = self.plane.url.removeprefix("https://").partition(":")
        headers = {"Authorization": f"Bearer {token('admin')}", "Content-Type": kind}
        with closing(http.client.HTTPSConnection(host, int(port), context=context, timeout=60)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status < HTTPStatus.BAD_REQUEST, f"{method} {path}: {answer.status} {text[:500]!r}"
        found: Json = json.loads(text)
        return found

    def namespace(self, name: str = "") -> str:
        """Make a namespace."""
        name = name or f"t-{uuid4().hex[:8]}"
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def create(
        self,
        namespace: str,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        containers: tuple[str, ...] = ("web",),
    ) -> Container:
        """Make a pod on the node; its first container."""
        spec = {"nodeName": self.node, "containers": [{"name": each, "image": "none"} for each in containers]}
        facts = {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
        made = self.call("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": facts, "spec": spec})
        return Container(namespace, name, made["metadata"]["uid"], containers[0])

    def deis(self, app: str, name: str, *, process: str = "web", version: str = "v1", **more: Any) -> Container:
        """Make a pod as Deis's controller does, in the app's namespace."""
        labels = {"heritage": "deis", "app": app, "type": process, "version": version, **more.pop("labels", {})}
        return self.create(app, name, labels=labels, **more)

    def patch(self, pod: Container, **metadata: Mapping[str, str | None]) -> None:
        """Change labels or annotations; `None` takes one away."""
        body = {"metadata": {kind: dict(values) for kind, values in metadata.items()}}
        self.call("PATCH", self._path(pod), body, kind="application/merge-patch+json")

    def serve(self, pod: Container, ip: str, *, phase: str = "Running") -> None:
        """Let a pod have an address, since now, as its kubelet would say."""
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": began}
        status = {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]}
        self.call("PATCH", f"{self._path(pod)}/status", {"status": status}, kind="application/merge-patch+json")

    def delete(self, pod: Container) -> None:
        """Delete a pod at once."""
        self.call("DELETE", self._path(pod), {"gracePeriodSeconds": 0})

    def log(self, pod: Container) -> ContainerLog:
        """The pod's log files, opened."""
        key = f"{pod.uid}/{pod.name}"
        if key not in self._logs:
            self._logs[key] = ContainerLog(self.root, pod)
        return self._logs[key]

    def close(self) -> None:
        """Close all log files."""
        for log in self._logs.values():
            log.close()

    @staticmethod
    def _path(pod: Container) -> str:
        return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.pod}"


@contextmanager
def opened(plane: ControlPlane, root: Path) -> Iterator[Pods]:
    """Pods of a control plane, closed at the end."""
    root.mkdir(parents=True, exist_ok=True)
    pods = Pods(plane, root)
    yield pods
    pods.close()
