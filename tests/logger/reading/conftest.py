"""Rows made up for reading tests, in a real head and a real table."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from logger.api import build_api
from logger.head import Head
from logger.parts import flush_parts
from logger.reading.peers import Peers
from logger.reading.query import LogReader
from logger.settings import LoggerSettings
from logger.table.reader import TableReader
from logger.table.tombstones import Tombstones
from logger.table.writer import IngestTable
from pipeline.lines.batch import Batch, ChunkFacts
from pipeline.service import Health, listening

DAY_NS = 1_795_478_400_000_000_000  # 2026-11-24T00:00:00Z


@dataclass(frozen=True)
class Row:
    """One row, as tests think of it."""

    app: str = "demo"
    order_ns: int = DAY_NS
    message: bytes = b"hello"
    source: bytes = b"s" * 16
    offset: int = 0
    ordinal: int = 0
    continuation: int = 0
    process: str = "web"
    release: str = "v3"
    pod: str = "demo-web-5c8f-x7k2p"
    container: str = "demo-web"
    stream: int = 0
    time_ns: int | None = None

    def text(self) -> str:
        """The message as `message` has it."""
        return self.message.decode(errors="replace")


def make_batch(shard: int, first_offset: int, records: Sequence[Sequence[Row]]) -> Batch:
    """A batch of records, one list of rows each; their bytes have a gap between them, as headers leave one."""
    rows = [(number, row) for number, record in enumerate(records) for row in record]
    facts: dict[ChunkFacts, int] = {}
    buffer = bytearray()
    starts, stops, index = [], [], []
    for _, row in rows:
        buffer += b"\xffheader "
        starts.append(len(buffer))
        buffer += row.message
        stops.append(len(buffer))
        buffer += b"\n"
        of_row = ChunkFacts(row.app, row.process, row.release, row.pod, row.container, "n1", row.source, row.ordinal)
        index.append(facts.setdefault(of_row, len(facts)))
    return Batch(
        shard=shard,
        first_offset=first_offset,
        next_offset=first_offset + len(records),
        buffer=bytes(buffer),
        starts=np.array(starts, np.int64),
        stops=np.array(stops, np.int64),
        time_ns=np.array([row.order_ns if row.time_ns is None else row.time_ns for _, row in rows], np.int64),
        order_ns=np.array([row.order_ns for _, row in rows], np.int64),
        stream=np.array([row.stream for _, row in rows], np.uint8),
        offset=np.array([row.offset for _, row in rows], np.int64),
        continuation=np.array([row.continuation for _, row in rows], np.int32),
        facts_index=np.array(index, np.int32),
        queue_offset=np.array([first_offset + number for number, _ in rows], np.int64),
        facts=list(facts),
        heartbeats={},
        arrived_ns=DAY_NS,
    )


@dataclass
class Pipeline:
    """A head, a table, and what ingest does with them."""

    store: Path
    shards: int = 2
    queue_id: str = "q"

    def __post_init__(self) -> None:
        self.seconds = 0.0
        self.head = Head(limit_bytes=1 << 30, keep_seconds=60.0, shards=range(self.shards), clock=lambda: self.seconds)
        for shard in range(self.shards):
            self.head.resume(shard, 0, {})
        self.ingest = IngestTable.open(str(self.store), queue_id=self.queue_id)
        self.ingest.load_states()
        self.reader_table = TableReader.open(str(self.store), queue_id=self.queue_id)
        self.tombstones = Tombstones.open(str(self.store), queue_id=self.queue_id)
        self.reader = LogReader(head=self.head, table=self.reader_table, tombstones=self.tombstones, ends=self.ends)

    async def ends(self) -> Mapping[int, int]:
        """Ends of the queue: everything in it has been fetched."""
        return self.head.ends()

    def append(self, *records: Sequence[Row], shard: int = 0) -> Batch:
        """Let records arrive, as one fetch."""
        batch = make_batch(shard, self.head.ends()[shard], records)
        self.head.append(batch)
        return batch

    def commit(self, *, evict: bool = False) -> None:
        """Commit what waits; `evict` lets an hour pass, after which the head has forgotten it."""
        waiting = self.head.waiting()
        batches = [batch for of_shard in waiting.values() for batch in of_shard]
        positions = {shard: of_shard[-1].next_offset for shard, of_shard in waiting.items()}
        if positions:
            self.ingest.commit(
                parts=flush_parts(batches), positions=positions, states=dict.fromkeys(positions, b"state")
            )
            self.head.committed(positions)
        if evict:
            self.seconds += 3600
            self.head.committed({})


def numbered(app: str, count: int, *, start: int = 0, pods: int = 3, seed: int = 0) -> list[Row]:
    """Lines of a few containers with a step of about a millisecond, in the order of writing."""
    chosen = random.Random(seed)
    return [
        Row(
            app=app,
            order_ns=DAY_NS + (start + number) * 1_000_000,
            message=f"{app} line {start + number} {'x' * chosen.randrange(40)}".encode(),
            source=bytes([pod]) * 16,
            offset=(start + number) * 100,
            pod=f"{app}-web-5c8f-p{pod}",
        )
        for number in range(count)
        for pod in [chosen.randrange(pods)]
    ]


def reading_order(rows: Iterable[Row]) -> list[Row]:
    """The oracle: rows in reading order."""
    return sorted(rows, key=lambda row: (row.order_ns, row.ordinal, row.source, row.offset, row.continuation))


SECRET = "a secret of loggers"  # noqa: S105 - of these tests


class Member:
    """One logger of a `Cluster`, over a real socket.

    Args:
        cluster: Where it belongs.
    """

    def __init__(self, cluster: "Cluster") -> None:
        self.seconds = 0.0
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.url = f"http://127.0.0.1:{found.getsockname()[1]}"
        self.registry = CollectorRegistry()
        self.head = Head(
            limit_bytes=1 << 30, keep_seconds=60.0, shards=range(cluster.shards), clock=lambda: self.seconds
        )
        self.table = TableReader.open(str(cluster.store), queue_id="q")
        self.tombstones = Tombstones.open(str(cluster.store), queue_id="q")
        self._cluster = cluster
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Listen."""
        port = int(self.url.rpartition(":")[2])
        self.peers = Peers(
            url=self.url,
            secret=SECRET,
            partitions=self._cluster.shards,
            queue_id="q",
            owners=self._cluster.owners,
            registry=self.registry,
        )
        self.reader = LogReader(
            head=self.head,
            table=self.table,
            tombstones=self.tombstones,
            ends=self._cluster.ends,
            peers=self.peers,
        )
        app = build_api(
            reader=self.reader,
            settings=LoggerSettings(),
            health=Health(),
            registry=self.registry,
            peer_secret=SECRET,
        )
        await self._stack.enter_async_context(self._running())
        await self._stack.enter_async_context(listening(app, f"127.0.0.1:{port}"))
        self.client = await self._stack.enter_async_context(aiohttp.ClientSession(self.url))

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.peers.run())
            yield
            task.cancel()

    async def stop(self) -> None:
        """Answer no more."""
        await self._stack.aclose()

    def is_loading(self) -> bool:
        """Whether one of its shards is not read up to the end."""
        return any(self.reader.takeover.is_loading(shard) for shard in self.head.shards())


class Cluster:
    """Loggers that share the shards of one queue and one table; the queue is a list of records for each shard.

    Args:
        store: Folder of the table.
        shards: How many shards.
        members: How many loggers.
    """

    def __init__(self, store: Path, *, shards: int = 4, members: int = 3) -> None:
        self.store = store
        self.shards = shards
        self.records: dict[int, list[list[Row]]] = {shard: [] for shard in range(shards)}
        self.ingest = IngestTable.open(str(store), queue_id="q")
        self.ingest.load_states()
        self.members = [Member(self) for _ in range(members)]
        self.owner: dict[int, Member] = {}
        for shard in range(shards):
            self.give(shard, shard % members)

    async def ends(self) -> Mapping[int, int]:
        """Ends of the queue."""
        return {shard: len(records) for shard, records in self.records.items()}

    async def owners(self) -> Mapping[int, str]:
        """What the group's description says."""
        return {shard: member.url for shard, member in self.owner.items()}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Cluster"]:
        """Have all loggers answer inside the block."""
        try:
            for member in self.members:
                await member.start()
            await Makers.until(lambda: all(len(member.peers.owners()) == self.shards for member in self.members))
            yield self
        finally:
            for member in self.members:
                await member.stop()

    def give(self, shard: int, name: int) -> None:
        """Let a logger own a shard: it begins where the table ends."""
        self.take(shard)
        self.owner[shard] = self.members[name]
        self.owner[shard].head.resume(shard, self.ingest.standing.positions.get(shard, 0), {})

    def take(self, shard: int) -> None:
        """Let nobody own a shard."""
        before = self.owner.pop(shard, None)
        if before is not None:
            before.head.drop(shard)

    def append(self, shard: int, *records: list[Row]) -> None:
        """Let records arrive in the queue."""
        self.records[shard].extend(records)

    def fetch(self, shard: int, *, most: int = 1 << 30) -> None:
        """Let the owner fetch some records, as one batch."""
        member = self.owner.get(shard)
        if member is not None:
            position = member.head.ends()[shard]
            records = self.records[shard][position : position + most]
            if records:
                member.head.append(make_batch(shard, position, records))

    def commit(self, shard: int, *, evict: bool = False) -> None:
        """Let the owner commit what waits; `evict` lets it forget that at once."""
        member = self.owner.get(shard)
        waiting = [] if member is None else member.head.waiting().get(shard, [])
        if waiting:
            positions = {shard: waiting[-1].next_offset}
            self.ingest.commit(parts=flush_parts(waiting), positions=positions, states={shard: b"state"})
            member.head.committed(positions)
        if evict and member is not None:
            member.seconds += 3600
            member.head.committed({})

    async def settled(self) -> None:
        """Wait until every owner knows that it has read everything."""
        for shard in range(self.shards):
            self.fetch(shard)
        await Makers.until(lambda: not any(member.is_loading() for member in self.members))


class Makers:
    """Helpers that tests cannot import, since test folders are no packages."""

    row = staticmethod(Row)
    numbered = staticmethod(numbered)
    reading_order = staticmethod(reading_order)
    batch = staticmethod(make_batch)
    pipeline = staticmethod(Pipeline)
    cluster = staticmethod(Cluster)

    @staticmethod
    async def until(condition: Callable[[], object]) -> None:
        """Wait until a condition holds, at most ten seconds."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0.001)


@pytest.fixture(scope="session")
def make() -> Makers:
    """Makers of rows, batches and pipelines."""
    return Makers()


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """An empty head and an empty table."""
    return Pipeline(tmp_path / "store")


class Served:
    """The API of one pipeline over a real socket.

    Args:
        port: Where it listens.
        client: A client of it.
        registry: Its metrics.
    """

    def __init__(self, port: int, client: aiohttp.ClientSession, registry: CollectorRegistry) -> None:
        self.port = port
        self.client = client
        self.registry = registry

    async def get(self, path: str, **options: object) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one GET."""
        async with self.client.get(path, **options) as answer:
            return answer.status, answer.headers, await answer.read()

    async def error(self, path: str, **options: object) -> tuple[int, str]:
        """Status and error message of one GET that is refused."""
        status, _, body = await self.get(path, **options)
        return status, json.loads(body)["error"]

    async def lines(self, path: str, **options: object) -> list[dict[str, object]]:
        """The objects of an ndjson answer."""
        status, _, body = await self.get(path, **options)
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines()]


@contextlib.asynccontextmanager
async def serving(pipeline: Pipeline, **settings: object) -> AsyncIterator[Served]:
    """Serve the API of a pipeline."""
    registry = CollectorRegistry()
    chosen = LoggerSettings(**settings)
    app = build_api(reader=pipeline.reader, settings=chosen, health=Health(), registry=registry)
    async with listening(app, "127.0.0.1:0") as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        yield Served(port, client, registry)


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractAsyncContextManager[Served]]:
    """Serve a pipeline's API inside an `async with` block; keywords are settings."""
    return serving
