"""A syslog input on ports of its own, with the lanes in memory."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fluentd.chunks.outgoing import Sendable
from fluentd.inputs.intake import Intake
from fluentd.inputs.metrics import InputMetrics
from fluentd.syslog.server import SyslogServer, open_syslog
from fluentd.syslog.settings import SyslogSettings


@dataclass
class Lanes:
    """Keeps what is put; acknowledges at once unless held."""

    held: bool = False
    chunks: list[Sendable] = field(default_factory=list)

    def put(self, partition: int, chunk: Sendable) -> None:
        self.chunks.append(chunk)
        if not self.held:
            chunk.acknowledge()

    def release(self) -> None:
        """Acknowledge all, and from now on at once."""
        self.held = False
        for chunk in self.chunks:
            chunk.acknowledge()


@dataclass
class Listening:
    """The input while it runs."""

    server: SyslogServer
    intake: Intake
    lanes: Lanes
    registry: CollectorRegistry

    def lines(self) -> list[tuple[str, str, str]]:
        """App, process and text after the time of each line, in the order of arrival."""
        return [
            (str(one.chunk.origin.app), one.chunk.origin.process, line.split(b" ", 1)[1].decode(errors="replace"))
            for one in self.lanes.chunks
            for line in one.chunk.data.split(b"\n")[:-1]
        ]

    def texts(self) -> list[str]:
        """The text of each line, without stream and tag."""
        return [line.split(" ", 2)[2] for _, _, line in self.lines()]

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.registry.get_sample_value(name, labels) or 0.0


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for `condition`, no longer than `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, with a bound
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def _listen(*, held: bool = False, limit_bytes: int = 2**22, **settings: object) -> AsyncIterator[Listening]:
    times = {name: settings.pop(name) for name in list(settings) if name.endswith("_seconds")}  # shorter than allowed
    values = {"syslog_listen": "127.0.0.1:0", "syslog_udp_listen": "127.0.0.1:0", **settings}
    registry, lanes = CollectorRegistry(), Lanes(held)
    counts = InputMetrics(registry)
    intake = Intake(node="n1", partitions=8, put=lanes.put, limit_bytes=limit_bytes, metrics=counts)
    server = open_syslog(
        SyslogSettings(**values).model_copy(update=times), intake=intake, counts=counts, registry=registry
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await until(lambda: bool(server.udp_port) or running.done())
        yield Listening(server, intake, lanes, registry)
        await server.stop()


@pytest.fixture
def listen() -> Callable[..., contextlib.AbstractAsyncContextManager[Listening]]:
    return _listen


@pytest.fixture
def wait_until() -> Callable[..., object]:
    return until


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that has signed itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))
