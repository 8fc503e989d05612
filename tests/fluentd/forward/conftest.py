"""A Forward input on a real socket, with the lanes in memory; and what is made of a frame without one."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgpack
import pytest
from prometheus_client import CollectorRegistry

from fluentd.chunks.outgoing import Sendable
from fluentd.forward.batch import portions
from fluentd.forward.frame import entry_ends, inflated, parse_frame
from fluentd.forward.framing import Framer
from fluentd.forward.naming import Naming
from fluentd.forward.server import ForwardServer, open_forward
from fluentd.forward.settings import ForwardSettings
from fluentd.inputs.group import Inputs
from fluentd.inputs.intake import Intake
from fluentd.inputs.metrics import InputMetrics
from pipeline.cri import parse_header
from pipeline.limits import MIB

T = TypeVar("T")
NOW = 1_764_000_000_000_000_000
FRAME_BYTES = MIB


@dataclass(frozen=True)
class Got:
    """One line as it would be in a log."""

    app: str
    process: str
    time_ns: int
    message: bytes


def lines_in(app: str, process: str, data: bytes) -> Iterator[Got]:
    """Lines of a chunk, with pieces joined."""
    joined = b""
    for line in data[:-1].split(b"\n"):
        header = parse_header(line)
        assert header is not None, "every line is in the runtime's format"
        joined += line[header.content_start :]
        if not header.partial:
            yield Got(app, process, header.time_ns, joined)
            joined = b""


def at_once(steps: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing but its turn."""
    try:
        while True:
            steps.send(None)
    except StopIteration as done:
        result: T = done.value
        return result


@dataclass
class Decoded:
    """What came of some bytes."""

    lines: list[Got] = field(default_factory=list)
    odd: dict[str, int] = field(default_factory=dict)
    chunks: list[str | bytes | None] = field(default_factory=list)


def decode_bytes(data: bytes, *, naming: Naming | None = None, limit_bytes: int = FRAME_BYTES) -> Decoded:
    """Frame and decode all of `data`, as a connection does."""
    framer, decoded = Framer(limit_bytes=limit_bytes), Decoded()
    for start in range(0, len(data), 65536):
        framer.feed(data[start : start + 65536])
        while (one := framer.take()) is not None:
            frame = parse_frame(one)
            if frame is None:
                continue
            decoded.chunks.append(frame.chunk)
            frame = at_once(inflated(frame, limit_bytes=limit_bytes))
            for portion in portions(frame, entry_ends(frame), naming=naming or Naming(), now_ns=NOW):
                for reason, count in portion.odd.items():
                    decoded.odd[reason] = decoded.odd.get(reason, 0) + count
                for lines in portion.lines:
                    decoded.lines += lines_in(lines.app, lines.process, lines.data)
    return decoded


class Lanes:
    """Keeps what is put; acknowledges at once, or when told."""

    def __init__(self) -> None:
        self.chunks: list[Sendable] = []
        self.holding = False
        self._held: list[Sendable] = []

    def put(self, partition: int, chunk: Sendable) -> None:
        self.chunks.append(chunk)
        self._held.append(chunk)
        if not self.holding:
            asyncio.get_running_loop().call_soon(self.acknowledge)

    def acknowledge(self) -> None:
        """The queue has all."""
        held, self._held = self._held, []
        for one in held:
            one.acknowledge()

    def lines(self) -> list[Got]:
        """All lines put, in order."""
        by_source: dict[bytes, bytes] = {}
        for one in self.chunks:
            chunk = one.chunk
            assert chunk.start == chunk.prev_end == len(by_source.get(chunk.source, b""))
            by_source[chunk.source] = by_source.get(chunk.source, b"") + chunk.data
        origins = {one.chunk.source: one.chunk.origin for one in self.chunks}
        return [
            got
            for source, data in by_source.items()
            if data
            for got in lines_in(origins[source].app, origins[source].process, data)
        ]

    def messages(self) -> list[bytes]:
        """Their messages."""
        return [got.message for got in self.lines()]


class Client:
    """A client that does what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._unpacker = msgpack.Unpacker()

    async def send(self, *values: Any) -> None:
        """Send values as msgpack."""
        await self.send_bytes(b"".join(map(msgpack.packb, values)))

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> Any:
        """The next value; `None` when the other side has closed."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return self._unpacker.unpack()
                except msgpack.OutOfData:
                    try:
                        data = await self.reader.read(4096)
                    except ConnectionError:
                        return None
                    if not data:
                        return None
                    self._unpacker.feed(data)

    async def close(self) -> None:
        """Close."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Served:
    """An input that listens."""

    def __init__(self, settings: ForwardSettings, limit_bytes: int) -> None:
        self.registry, self.lanes = CollectorRegistry(), Lanes()
        counts = InputMetrics(self.registry)
        self.intake = Intake(node="n1", partitions=4, put=self.lanes.put, limit_bytes=limit_bytes, metrics=counts)
        self.server: ForwardServer = open_forward(
            settings, node="n1", intake=self.intake, counts=counts, registry=self.registry
        )
        self.inputs = Inputs(self.intake, (self.server,))
        self._clients: list[Client] = []

    async def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        """Connect a client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=tls)
        client = Client(reader, writer)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.close()

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, f"no metric {name} {labels}"
        return value

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`."""
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - any condition, with a bound
                await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def serving(limit_bytes: int = 4 * MIB, **settings: Any) -> AsyncIterator[Served]:
    """Serve inside the block, then stop in order. Times may be shorter than anybody may set them."""
    times = {name: settings.pop(name) for name in list(settings) if name.endswith("_seconds")}
    values = {"forward_listen": "127.0.0.1:0", "forward_frame_bytes": FRAME_BYTES, **settings}
    served = Served(ForwardSettings(**values).model_copy(update=times), limit_bytes)
    async with asyncio.TaskGroup() as group:
        served.inputs.start(group)
        await served.until(lambda: bool(served.server.port))
        try:
            yield served
        finally:
            await served.close()
            await served.inputs.stop(seconds=10)
            served.lanes.acknowledge()
            await served.inputs.farewell()


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractAsyncContextManager[Served]]:
    return serving


@pytest.fixture
def decode() -> Callable[..., Decoded]:
    return decode_bytes


@pytest.fixture
def now_ns() -> int:
    return NOW
