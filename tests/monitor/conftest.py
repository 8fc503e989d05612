"""What the monitor's tests share."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import zstandard
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor import monitor
from monitor.rules.ruleset import RuleSet
from monitor.selfmetrics import SelfMetrics
from monitor.series.limits import Limits
from monitor.settings import MonitorSettings
from monitor.shards import intake
from monitor.shards.owning import Owning
from monitor.shards.shard import ShardMetrics
from monitor.shards.states import States
from pipeline.chunk import Chunk, Origin
from pipeline.cri import format_time
from pipeline.pack import encode_pack
from pipeline.podstatement import PodNews
from pipeline.queue import Assignment, Record
from pipeline.service import Health
from pipeline.store import Store, open_store
from pipeline.threads import Threads

Ask = Callable[..., Awaitable[tuple[int, str]]]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that stops at once."""
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 0.02)


@pytest.fixture
def unused_ports() -> Callable[[int], list[int]]:
    """Ports that nobody listens on now."""

    def some(count: int) -> list[int]:
        with ExitStack() as stack:
            bound = [stack.enter_context(socket.socket()) for _ in range(count)]
            for one in bound:
                one.bind(("127.0.0.1", 0))
            return [one.getsockname()[1] for one in bound]

    return some


@pytest.fixture
def unused_port(unused_ports: Callable[[int], list[int]]) -> int:
    """One such port."""
    return unused_ports(1)[0]


class Writer:
    """One container's file, as an agent sends it: each pack goes on where the last one ended."""

    def __init__(self, app: str = "demo", *, node: str = "n", time_ns: int | None = None) -> None:
        self.app = app
        self.node = node
        self.time_ns = time.time_ns() if time_ns is None else time_ns
        self.lines = 0
        self._end = 0

    def pack(self, *messages: bytes, heartbeat: bool = True, pods_ns: int = 0) -> bytes:
        """The next lines, a microsecond apart, and a heartbeat after them; `pods_ns` says that its pods are known."""
        data = b""
        for message in messages:
            self.time_ns += 1000
            data += format_time(self.time_ns) + b" stdout F " + message + b"\n"
        self.lines += len(messages)
        start, self._end = self._end, self._end + len(data)
        origin = Origin(self.node, self.app, f"{self.app}-pod", f"uid-{self.app}", "c", 0, self.app)
        source = self.app.encode()[:16].ljust(16, b"s")
        chunk = Chunk(origin, source, 0, start, self._end, start, data)
        heartbeat_ns = self.time_ns + 1000 if heartbeat else 0
        return encode_pack(
            [chunk] if data else [],
            node=self.node,
            heartbeat_ns=heartbeat_ns,
            news=PodNews((), complete=False, known_ns=pods_ns),
            compressor=zstandard.ZstdCompressor(),
        )


@pytest.fixture
def writer() -> type[Writer]:
    """Makes packs."""
    return Writer


@pytest.fixture
def url(tmp_path: Path) -> str:
    """URL of a queue that is not there yet."""
    return f"sqlite:///{tmp_path}/queue.db"


Running = Callable[..., AbstractAsyncContextManager[Ask]]


@pytest.fixture
def running(tmp_path: Path, unused_port: int) -> Running:
    """A monitor that runs inside a block, with its store below the test's folder; yields how to ask it."""

    @asynccontextmanager
    async def block(queue_url: str, **more: object) -> AsyncIterator[Ask]:
        values = {"store_url": str(tmp_path / "store"), "listen": f"127.0.0.1:{unused_port}", "state_seconds": 0.05}
        settings = MonitorSettings.model_validate({"queue_url": queue_url, **values, **more})
        stopping = asyncio.Event()
        async with asyncio.timeout(40), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            group.create_task(monitor.run(settings, stopping), name="monitor")

            async def ask(path: str, accept: str = OPENMETRICS) -> tuple[int, str]:
                address = f"http://127.0.0.1:{unused_port}{path}"
                while True:
                    try:
                        async with session.get(address, headers={"Accept": accept}) as response:
                            return response.status, await response.text()
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.01)  # it does not listen yet

            try:
                yield ask
            finally:
                stopping.set()

    return block


def samples(text: str) -> dict[str, float]:
    """Values by name and label values, `name,value,value`; labels in order of their names."""
    return {
        sample.name + "".join(f",{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def scraped() -> Callable[[Ask, Callable[[dict[str, float]], bool]], Awaitable[dict[str, float]]]:
    """Scrapes again and again until a condition holds; the test's own bound ends the wait."""

    async def until(ask: Ask, is_so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        while True:
            status, text = await ask("/metrics")
            if status == 200 and is_so(found := samples(text)):
                return found
            await asyncio.sleep(0.01)

    return until


class Group:
    """A group consumer whose group does what the test says: no broker rebalances at an exact moment."""

    queue_id = "queue.1"
    partitions = 4

    def __init__(self) -> None:
        self.assignment = Assignment(0, frozenset())
        self.sure_until = float("inf")
        self.now = 100.0
        self.start: dict[int, int] = dict.fromkeys(range(4), 0)
        self.end: dict[int, int] = dict.fromkeys(range(4), 0)

    def assign(self, *partitions: int, kept: frozenset[int] = frozenset()) -> None:
        self.assignment = Assignment(self.assignment.generation + 1, frozenset(partitions), kept)

    async def starts(self) -> Mapping[int, int]:
        return dict(self.start)

    async def ends(self) -> Mapping[int, int]:
        return dict(self.end)


class Bench:
    """An `Owning` and what is around it."""

    def __init__(self, store: Store, *, shared: bool = True, named: bool = False) -> None:
        self.group = Group()
        self.rules = RuleSet()
        self.states = States(store, queue_id=self.group.queue_id, rules=self.rules.digest)
        self.health = Health()
        self.threads = Threads(1, "test")
        self.registry = CollectorRegistry()
        self.metrics = SelfMetrics(self.registry)
        self.owning = Owning(
            consumer=self.group,  # type: ignore[arg-type] - what ownership needs of one
            states=self.states,
            make_shard=self.make,
            shared=shared,
            named=named,
            metrics=self.metrics,
            health=self.health,
            threads=self.threads,
            clock=lambda: self.group.now,
        )

    def make(self, number: int, state: bytes | None) -> ShardMetrics:
        return ShardMetrics(number, state, rules=self.rules, limits=Limits())

    def take(self, number: int, record: bytes) -> None:
        held = self.owning.shards[number]
        held.metrics.take([Record(number, held.position, record, time.time_ns())])
        held.position = held.metrics.next_offset

    def shown(self) -> list[int]:
        """In a scrape that comes now."""
        return list(self.owning.shown(self.group.now))

    async def assigned(self, *partitions: int, kept: frozenset[int] = frozenset()) -> None:
        self.group.assign(*partitions, kept=kept)
        await self.owning.follow()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where states lie."""
    return open_store(str(tmp_path), directory="monitor")


@pytest.fixture
def make_bench(store: Store) -> Iterator[Callable[..., Bench]]:
    """Makes `Bench`es over one store."""
    made: list[Bench] = []

    def make(**more: bool) -> Bench:
        made.append(Bench(store, **more))
        return made[-1]

    yield make
    for one in made:
        one.threads.close()


@pytest.fixture
async def bench(make_bench: Callable[..., Bench]) -> Bench:
    """One of them."""
    return make_bench()
