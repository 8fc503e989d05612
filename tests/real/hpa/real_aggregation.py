"""Our metrics APIs behind a real API server's aggregation layer."""

import asyncio
import base64
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry, generate_latest

from demo.certificates import Authority
from demo.controlplane import ControlPlane, token
from demo.stack import StackError, free_port, wait_until
from monitor.hpa import server
from monitor.hpa.settings import HpaSettings
from monitor.reading import Reader
from pipeline.service import Health

SECONDS = 60.0
NAMESPACE = "metrics-apis"
SERVICE = "adapter"
VERSIONS = {"custom.metrics.k8s.io": ("v1beta1", "v1beta2"), "external.metrics.k8s.io": ("v1beta1",)}

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """An answer over HTTP."""

    status: int
    text: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.text)
        return found

    @property
    def items(self) -> list[Json]:
        """Of a list of values."""
        found: list[Json] = self.json["items"]
        return found


def ask(
    port: int,
    path: str,
    *,
    authority: Path,
    certificate: Path | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Said:
    """Ask a server on the loopback over TLS.

    Args:
        port: Its port.
        path: With a query.
        authority: Whom to trust.
        certificate: PEM file of the caller's, its key beside it as `.key`.
        headers: Of the request.
        method: Of the request.
    """
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with closing(http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)) as connection:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Said(answer.status, answer.read(), dict(answer.headers))


@dataclass
class Adapter:
    """One server of metrics APIs, ours, on a thread.

    Attributes:
        plane: Whose API server calls it.
        folder: Of its certificates.
        reader: What it reads.
        settings: More of them, by field.
        port: Where it listens.
    """

    plane: ControlPlane
    folder: Path
    reader: Reader
    settings: Mapping[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    health: Health = field(default_factory=Health)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.new_authority()

    def new_authority(self) -> None:
        """Give it a certificate of a new authority."""
        self.authority = Authority(self.folder, "adapter-ca")
        names = [f"DNS:{SERVICE}.{NAMESPACE}.svc", "IP:127.0.0.1"]
        self.authority.issue("tls", subject="/CN=adapter", usage="serverAuth", names=names)

    @contextmanager
    def running(self) -> Iterator["Adapter"]:
        """Run it inside the block."""
        begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        failed: list[BaseException] = []

        async def serve() -> None:
            stopping = asyncio.Event()
            begun.append((asyncio.get_running_loop(), stopping))
            settings = HpaSettings(
                hpa_listen=f"127.0.0.1:{self.port}",
                hpa_cert=self.folder / "tls.crt",
                hpa_key=self.folder / "tls.key",
                **{"kubernetes": str(self.plane.kubeconfig), **self.settings},
            )
            await server.run(settings, self.reader, stopping, health=self.health, registry=self.registry)

        def body() -> None:
            try:
                uvloop.run(serve())
            except BaseException as error:  # noqa: BLE001 - shown by who waits
                failed.append(error)

        thread = threading.Thread(target=body, name="adapter")
        thread.start()
        try:
            wait_until(lambda: bool(failed) or self.is_ready(), seconds=SECONDS, what="the adapter is ready")
            if failed:
                raise StackError(f"the adapter ended: {failed[0]!r}")
            yield self
        finally:
            if begun:
                loop, stopping = begun[0]
                loop.call_soon_threadsafe(stopping.set)
            thread.join(SECONDS)
            assert not thread.is_alive()

    def is_ready(self) -> bool:
        return bool(self.health._reasons) and not self.health.problems()

    def metric(self, name: str) -> float:
        """Sum of one of its own metrics."""
        lines = generate_latest(self.registry).decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def ask(self, path: str, *, certificate: Path | None = None, **headers: str) -> Said:
        """Ask it directly."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.port, path, authority=self.authority.certificate, certificate=certificate, headers=named)


def through(plane: ControlPlane, path: str, *, user: str = "admin", method: str = "GET", **headers: str) -> Said:
    """Ask the API server, as one of `demo.controlplane.USERS`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named["Authorization"] = f"Bearer {token(user)}"
    port = plane.parts["kube-apiserver"].port
    return ask(port, path, authority=plane.authority, headers=named, method=method)


def post(plane: ControlPlane, *objects: Json) -> None:
    """Make or change objects."""
    plane.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


@contextmanager
def aggregated(plane: ControlPlane, *, port: int, authority: Path) -> Iterator[None]:
    """Let the API server pass the metrics APIs on to a port of this machine, inside the block.

    They go at its end: while they are registered and nobody serves them, no namespace can be deleted.
    """
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1", "ports": [{"port": port}]},
    }
    bundle = base64.b64encode(authority.read_bytes()).decode()
    names = [f"{version}.{group}" for group, versions in VERSIONS.items() for version in versions]
    services = [_api_service(name, port=port, bundle=bundle) for name in names]
    post(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, service, *services)
    try:
        for name in names:
            plane.kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s")
        yield
    finally:
        plane.kubectl("delete", "apiservice", *names, "--ignore-not-found")


def _api_service(name: str, *, port: int, bundle: str) -> Json:
    version, _, group = name.partition(".")
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "version": version,
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
            "caBundle": bundle,
            "groupPriorityMinimum": 100,
            "versionPriority": 100 + int(version[-1]),
        },
    }


def eventually(check: Callable[[], bool], what: str) -> None:
    """Wait for what another process does."""
    wait_until(check, seconds=SECONDS, what=what, every_seconds=0.2)
