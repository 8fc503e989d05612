"""Loggers that share one queue and one table, in this process; which shards each owns is set by the test."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard
from prometheus_client import CollectorRegistry

from logger.head import Head
from logger.ingest import ownership
from logger.ingest.deadletters import DeadLetters
from logger.ingest.loop import Ingest
from logger.ingest.metrics import IngestMetrics
from logger.ingest.shard import Shard
from logger.table.reader import TableReader
from logger.table.writer import IngestTable
from pipeline.chunk import Chunk
from pipeline.cri import format_line, format_time
from pipeline.errors import OffsetOutOfRangeError
from pipeline.lines.resume import ShardState
from pipeline.pack import encode_pack
from pipeline.queue import Assignment, Consumer, Producer, Record, open_consumer, open_producer
from pipeline.service import Health

T0 = 1_790_000_000_000_000_000
PARTITIONS = 3
LINES = 30
FILES = [
    b"".join(format_line(format_time(T0 + i), 0, b"%d of %d" % (i, shard)) for i in range(LINES))
    for shard in range(PARTITIONS)
]
ENDS = [[0, *(at + 1 for at, byte in enumerate(file) if byte == 10)] for file in FILES]


class Member:
    """A member of a group whose assignment is set by the test; the records are the real queue's."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._assignment = Assignment(0, frozenset())
        self._changed = asyncio.Event()
        self.gone_before: dict[int, int] = {}
        self.committed_positions: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    @property
    def assignment(self) -> Assignment:
        return self._assignment

    def assign(self, *shards: int) -> None:
        self._assignment = Assignment(self._assignment.generation + 1, frozenset(shards))
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, generation: int) -> Assignment:
        while self._assignment.generation == generation:
            await self._changed.wait()
        return self._assignment

    async def starts(self) -> dict[int, int]:
        return {**await self._consumer.starts(), **self.gone_before}

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        wanted = {shard: at for shard, at in positions.items() if shard in self._assignment.partitions}
        for shard, at in wanted.items():
            if at < self.gone_before.get(shard, 0):
                raise OffsetOutOfRangeError(shard, at, self.gone_before[shard], 100)
        return await self._consumer.fetch(wanted, max_bytes=max_bytes, wait_seconds=min(wait_seconds, 0.05))

    async def commit(self, positions: Mapping[int, int]) -> None:
        self.committed_positions |= positions


class Slow:
    """A table whose commits wait, in their thread, until the test lets them through."""

    def __init__(self, table: IngestTable) -> None:
        self.table = table
        self.held = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)

    def commit(self, **what: Any) -> Any:
        self.held.set()
        assert self.go.wait(20)
        return self.table.commit(**what)


class Logger:
    """One logger, running."""

    def __init__(self, member: Member, table: Slow, folder: Path, *, flush_seconds: float, shared: bool) -> None:
        self.member, self.table = member, table
        self.registry, self.health, self.stopping = CollectorRegistry(), Health(), asyncio.Event()
        self.metrics = IngestMetrics(self.registry)
        self.head = Head(limit_bytes=10**8, shards=range(PARTITIONS))
        dead_letters = DeadLetters(folder / "dead")

        def make_shard(number: int, state: ShardState) -> Shard:
            return Shard(number, state, dead_letters=dead_letters, metrics=self.metrics)

        self.ingest = Ingest(
            consumer=member,
            table=table,
            head=self.head,
            make_shard=make_shard,
            dead_letters=dead_letters,
            shared=shared,
            flush_seconds=flush_seconds,
            flush_bytes=10**7,
            metrics=self.metrics,
            health=self.health,
        )

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def rows(self, shard: int) -> int:
        return sum(batch.rows for batch in self.head.batches(shard, 0))

    def begun(self, *shards: int) -> Callable[[], bool]:
        return lambda: self.head.shards() == set(shards)


class Site:
    """The queue and the table.

    Attributes:
        partitions: How many shards there are.
        ends: Of each shard's file: where each line starts, and its end.
    """

    partitions = PARTITIONS
    ends = ENDS

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/queue.db?partitions={PARTITIONS}"
        self.store_url = str(folder / "store")
        self._runs = [type(run)(uid=f"u{shard}") for shard in range(PARTITIONS)]

    async def open(self) -> None:
        self.producer: Producer = await open_producer(self.url)

    def chunk(self, shard: int, low: int, high: int) -> Chunk:
        """Lines `[low, high)` of a shard's file."""
        made: Chunk = self._runs[shard].chunk(FILES[shard], ENDS[shard][low], ENDS[shard][high])
        return made

    @staticmethod
    def metrics() -> IngestMetrics:
        """Some that nobody looks at."""
        return IngestMetrics(CollectorRegistry())

    async def send(self, shard: int, low: int, high: int, *, heartbeat_ns: int = 0) -> None:
        """Send lines `[low, high)` of a shard's file as one record."""
        pack = encode_pack(
            [self.chunk(shard, low, high)], node="n1", heartbeat_ns=heartbeat_ns, compressor=zstandard.ZstdCompressor()
        )
        await self.producer.send(shard, [pack])

    @contextlib.asynccontextmanager
    async def logger(self, *shards: int, flush_seconds: float = 60.0, shared: bool = True) -> AsyncIterator[Logger]:
        """A logger inside the block, ended there by a crash unless it was told to stop."""
        consumer = await open_consumer(self.url, group="logger")
        member = Member(consumer)
        member.assign(*shards)
        table = Slow(await asyncio.to_thread(IngestTable.open, self.store_url, queue_id=consumer.queue_id))
        logger = Logger(member, table, self.folder, flush_seconds=flush_seconds, shared=shared)
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(logger.ingest.run(logger.stopping))
                await self.until(logger.begun(*shards))
                yield logger
                if logger.stopping.is_set():
                    await asyncio.wait({task}, timeout=10)
                task.cancel()
        finally:
            await consumer.close()

    def stored(self) -> list[str]:
        """Messages in the table, sorted."""
        reader = TableReader.open(self.store_url, queue_id=self.producer.queue_id)
        found: list[str] = []
        for entry in reader.snapshot.files.values():
            table = reader.read(entry, start=0, count=entry.rows, columns=["message"])
            found += table.column(0).to_pylist()
        return sorted(found)

    @staticmethod
    def messages(*spans: tuple[int, int, int]) -> list[str]:
        """Messages of (shard, low, high), sorted."""
        return sorted(f"{line} of {shard}" for shard, low, high in spans for line in range(low, high))

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        """Wait for `condition`, at most 10 s."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - conditions are metrics, which signal nothing
                await asyncio.sleep(0.005)


@pytest.fixture
async def site(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(ownership, "FENCED_SECONDS", 0.05)
    monkeypatch.setattr(ownership, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(ownership, "_COMMANDS_SECONDS", 0.05)
    made = Site(tmp_path, run)
    await made.open()
    yield made
    await made.producer.close()
