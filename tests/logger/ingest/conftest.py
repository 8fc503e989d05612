"""A shard fed by hand: files are cut into chunks, chunks put into packs, packs taken as records. And a whole loop."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import zstandard
from prometheus_client import CollectorRegistry

from logger.columns import messages_of
from logger.head import Head
from logger.ingest.deadletters import DeadLetters
from logger.ingest.loop import Ingest
from logger.ingest.metrics import HeadCollector, IngestMetrics
from logger.ingest.shard import Shard
from logger.table.reader import TableReader
from logger.table.writer import IngestTable
from pipeline.chunk import Chunk, Flag, Origin
from pipeline.cri import STDOUT, parse_header
from pipeline.limits import LINE_BYTES
from pipeline.lines.batch import Batch
from pipeline.lines.resume import ShardState, decode_state, encode_state
from pipeline.pack import encode_pack
from pipeline.queue import GroupConsumer, Producer, Record, open_group_consumer, open_producer
from pipeline.service import Health

NOW_NS = 1_790_000_000_000_000_000


class Row(NamedTuple):
    """A row as tests compare it."""

    ordinal: int
    offset: int
    continuation: int
    time_ns: int
    stream: int
    message: bytes


@dataclass
class Run:
    """A container's run: makes chunks of its files."""

    uid: str = "u1"
    app: str = "app"
    node: str = "n1"
    release: str = "v1"

    def origin(self) -> Origin:
        return Origin(self.node, "ns", f"{self.app}-web", self.uid, "web", 0, self.app, "web", self.release)

    def source(self, ordinal: int = 0) -> bytes:
        return hashlib.blake2b(f"{self.uid}/{ordinal}".encode(), digest_size=16).digest()

    def chunk(
        self,
        file: bytes,
        start: int,
        end: int,
        *,
        ordinal: int = 0,
        prev_end: int | None = None,
        flags: Flag = Flag.NONE,
        line_offsets: bytes = b"",
    ) -> Chunk:
        """The bytes `[start, end)` of `file`, with `MID_LINE` where they begin inside a line."""
        if start and file[start - 1 : start] != b"\n":
            flags |= Flag.MID_LINE
        return Chunk(
            self.origin(),
            self.source(ordinal),
            ordinal,
            start,
            end,
            start if prev_end is None else prev_end,
            file[start:end],
            flags,
            line_offsets,
        )

    def chunks(self, file: bytes, cuts: Iterable[int], *, ordinal: int = 0) -> list[Chunk]:
        """The whole file, cut at `cuts`."""
        bounds = sorted({0, len(file), *(cut for cut in cuts if cut <= len(file))})
        return [self.chunk(file, a, b, ordinal=ordinal) for a, b in pairwise(bounds)]


@dataclass
class Feed:
    """One shard, its records so far, and what became of them."""

    folder: Path
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    next_offset: int = 0
    batches: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = IngestMetrics(self.registry)
        self.shard = self.new_shard(ShardState(0))

    def new_shard(self, state: ShardState) -> Shard:
        return Shard(
            3, state, dead_letters=DeadLetters(self.folder), metrics=self.metrics, now_ns=lambda: NOW_NS + 10**12
        )

    def restart(self) -> None:
        """Go on from the resume state as it would be on disk."""
        self.shard = self.new_shard(decode_state(encode_state(self.shard.state())))

    def record(self, chunks: Sequence[Chunk], *, heartbeat_ns: int = 0, node: str = "n1") -> Record:
        value = encode_pack(chunks, node=node, heartbeat_ns=heartbeat_ns, compressor=zstandard.ZstdCompressor(level=1))
        self.next_offset += 1
        return Record(3, self.next_offset - 1, value, NOW_NS)

    def take(self, records: Sequence[Record]) -> list[Batch]:
        made = []
        rest = list(records)
        while rest:
            count, batch = self.shard.take(rest)
            made.append(batch)
            rest = rest[count:]
        self.batches += made
        return made

    def send(self, *chunks: Chunk, heartbeat_ns: int = 0, node: str = "n1") -> list[Row]:
        """Take one record; returns its rows."""
        return rows_of(self.take([self.record(chunks, heartbeat_ns=heartbeat_ns, node=node)]))

    def rows(self) -> list[Row]:
        """All rows, by place in their run."""
        return sorted(rows_of(self.batches))

    def orders(self) -> list[int]:
        """`order_ns` of all rows, by place in their run."""
        places = [
            (batch.facts[index].ordinal, offset, continuation, order_ns)
            for batch in self.batches
            for index, offset, continuation, order_ns in zip(
                batch.facts_index.tolist(),
                batch.offset.tolist(),
                batch.continuation.tolist(),
                batch.order_ns.tolist(),
                strict=True,
            )
        ]
        return [order_ns for *_, order_ns in sorted(places)]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def rows_of(batches: Iterable[Batch]) -> list[Row]:
    """Rows in arrival order; checks what a batch promises on the way."""
    rows: list[Row] = []
    for batch in batches:
        check_batch(batch)
        messages = messages_of(batch, np.arange(batch.rows)).to_pylist()
        for index, message in enumerate(messages):
            assert message == batch.buffer[batch.starts[index] : batch.stops[index]]
            rows.append(
                Row(
                    batch.facts[batch.facts_index[index]].ordinal,
                    int(batch.offset[index]),
                    int(batch.continuation[index]),
                    int(batch.time_ns[index]),
                    int(batch.stream[index]),
                    message,
                )
            )
    return rows


def check_batch(batch: Batch) -> None:
    """Rows are in arrival order, lines ascend and do not overlap, no row is longer than allowed."""
    keys = [
        (int(batch.queue_offset[i]), facts.ordinal, facts.source, int(batch.offset[i]), int(batch.continuation[i]))
        for i in range(batch.rows)
        for facts in [batch.facts[batch.facts_index[i]]]
    ]
    assert keys == sorted(set(keys))
    assert (batch.starts <= batch.stops).all()
    assert (batch.stops[:-1] <= batch.starts[1:]).all()
    assert (batch.stops - batch.starts <= LINE_BYTES).all()
    assert (batch.queue_offset >= batch.first_offset).all()
    assert (batch.queue_offset < batch.next_offset).all()
    lengths = {
        len(getattr(batch, name))
        for name in ("starts", "stops", "time_ns", "order_ns", "stream", "offset", "continuation", "facts_index")
    }
    assert lengths == {batch.rows}


def expected_rows(files: Sequence[bytes]) -> list[Row]:
    """The rows of a run's files, line by line in the plainest way: the model that ingest is held against."""
    rows: list[Row] = []
    pending: dict[int, Row] = {}
    time_ns = next(
        (header.time_ns for file in files for line in file.split(b"\n") if (header := parse_header(line))), NOW_NS
    )
    for ordinal, file in enumerate(files):
        offset = 0
        for line in file.splitlines(keepends=True) if b"\r" not in file else _split(file):
            header = parse_header(line.removesuffix(b"\n"))
            if header is None:
                rows.append(Row(ordinal, offset, 0, time_ns, STDOUT, line.removesuffix(b"\n")))
            else:
                time_ns = header.time_ns
                content = line.removesuffix(b"\n")[header.content_start :]
                first = pending.pop(header.stream, Row(ordinal, offset, 0, time_ns, header.stream, b""))
                joined = first._replace(message=first.message + content)
                if header.partial:
                    pending[header.stream] = joined
                else:
                    rows.append(joined)
            offset += len(line)
    return sorted(rows)


def _split(file: bytes) -> list[bytes]:
    lines = file.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


@pytest.fixture(scope="session")
def make_feed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Feed]:
    """Makes a fresh shard at each call: property tests need one for each example."""
    folder = tmp_path_factory.mktemp("dead-letters")
    return lambda: Feed(folder)


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path / "dead-letters")


@pytest.fixture(scope="session")
def make_run() -> type[Run]:
    return Run


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture(scope="session")
def model() -> Callable[[Sequence[bytes]], list[Row]]:
    return expected_rows


@pytest.fixture(scope="session")
def row() -> type[Row]:
    return Row


class Rig:
    """A queue, a store, and loggers that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/queue.db"
        self.store_url = str(folder / "store")
        self.registry = CollectorRegistry()
        self.health = Health()
        self.stopping = asyncio.Event()

    async def open(self) -> None:
        self.producer: Producer = await open_producer(self.url)

    async def send(self, chunks: list[Any], *, partition: int = 0, heartbeat_ns: int = 0) -> None:
        await self.producer.send(
            partition,
            [encode_pack(chunks, node="n1", heartbeat_ns=heartbeat_ns, compressor=zstandard.ZstdCompressor())],
        )

    @contextlib.asynccontextmanager
    async def logger(
        self,
        *,
        flush_seconds: float = 60.0,
        head_bytes: int = 10**8,
        flush_bytes: int = 10**7,
        wrap: Callable[[IngestTable], Any] = lambda table: table,
        wrap_queue: Callable[[GroupConsumer], Any] = lambda consumer: consumer,
        shared: bool = False,
    ) -> AsyncIterator["Rig"]:
        """Run a logger inside the block; leaving it is a crash unless `stop` was called."""
        self.registry, self.health, self.stopping = CollectorRegistry(), Health(), asyncio.Event()
        consumer = await open_group_consumer(self.url, group="logger")
        metrics = IngestMetrics(self.registry)
        table = await asyncio.to_thread(IngestTable.open, self.store_url, queue_id=consumer.queue_id)
        self.head = Head(limit_bytes=head_bytes, shards=range(consumer.partitions))
        self.registry.register(HeadCollector(self.head))

        dead_letters = DeadLetters(self.folder / "dead")

        def make_shard(number: int, state: ShardState) -> Shard:
            return Shard(number, state, dead_letters=dead_letters, metrics=metrics)

        ingest = Ingest(
            consumer=wrap_queue(consumer),
            table=wrap(table),
            head=self.head,
            make_shard=make_shard,
            dead_letters=dead_letters,
            shared=shared,
            flush_seconds=flush_seconds,
            flush_bytes=flush_bytes,
            metrics=metrics,
            health=self.health,
        )
        try:
            async with asyncio.TaskGroup() as group:
                self.task = group.create_task(ingest.run(self.stopping))
                yield self
                self.task.cancel()
        finally:
            await consumer.close()

    async def stop(self) -> None:
        self.stopping.set()
        async with asyncio.timeout(10):
            await asyncio.wait({self.task})

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def in_head(self) -> int:
        return sum(batch.rows for shard in self.head.ends() for batch in self.head.batches(shard, 0))

    async def stored(self) -> list[str]:
        """Messages in the table, sorted."""
        return await asyncio.to_thread(self._stored)

    def _stored(self) -> list[str]:
        reader = TableReader.open(self.store_url, queue_id=self.producer.queue_id)
        messages: list[str] = []
        for entry in reader.snapshot.files.values():
            for index in range(len(reader.row_group_ends(entry))):
                ends = [0, *reader.row_group_ends(entry)]
                start, count = ends[index], ends[index + 1] - ends[index]
                messages += reader.read(entry, start=start, count=count, columns=["message"]).column(0).to_pylist()
        return sorted(messages)

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        """Wait for `condition`, at most 60 s."""
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - conditions are metrics, which signal nothing
                await asyncio.sleep(0.005)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    await made.open()
    yield made
    await made.producer.close()
