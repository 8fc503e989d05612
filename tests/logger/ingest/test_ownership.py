"""Several loggers over one queue and one table: shards come and go, and no row is lost or there twice."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard
from prometheus_client import CollectorRegistry

from logger import commands
from logger.head import Head
from logger.ingest import ownership
from logger.ingest.deadletters import DeadLetters
from logger.ingest.elsewhere import Elsewhere
from logger.ingest.lag import LagCollector
from logger.ingest.loop import Ingest
from logger.ingest.metrics import IngestMetrics
from logger.ingest.resume import ShardState, encode_state
from logger.ingest.shard import Shard
from logger.parts import flush_parts
from logger.settings import LoggerSettings
from logger.table.reader import TableReader
from logger.table.writer import IngestTable
from pipeline.cri import format_line, format_time
from pipeline.errors import FatalError, OffsetOutOfRangeError
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

    def __init__(self, member: Member, table: Slow, folder: Path, flush_seconds: float) -> None:
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
            shared=True,
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
    """The queue and the table."""

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/queue.db?partitions={PARTITIONS}"
        self.store_url = str(folder / "store")
        self._runs = [type(run)(uid=f"u{shard}") for shard in range(PARTITIONS)]

    async def open(self) -> None:
        self.producer: Producer = await open_producer(self.url)

    async def send(self, shard: int, low: int, high: int, *, heartbeat_ns: int = 0) -> None:
        """Send lines `[low, high)` of a shard's file as one record."""
        chunk = self._runs[shard].chunk(FILES[shard], ENDS[shard][low], ENDS[shard][high])
        pack = encode_pack([chunk], node="n1", heartbeat_ns=heartbeat_ns, compressor=zstandard.ZstdCompressor())
        await self.producer.send(shard, [pack])

    @contextlib.asynccontextmanager
    async def logger(self, *shards: int, flush_seconds: float = 60.0) -> AsyncIterator[Logger]:
        """A logger inside the block, ended there by a crash unless it was told to stop."""
        consumer = await open_consumer(self.url, group="logger")
        member = Member(consumer)
        member.assign(*shards)
        table = Slow(await asyncio.to_thread(IngestTable.open, self.store_url, queue_id=consumer.queue_id))
        logger = Logger(member, table, self.folder, flush_seconds)
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(logger.ingest.run(logger.stopping))
                await until(logger.begun(*shards))
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


def messages(*spans: tuple[int, int, int]) -> list[str]:
    """Messages of (shard, low, high), sorted."""
    return sorted(f"{line} of {shard}" for shard, low, high in spans for line in range(low, high))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - conditions are metrics, which signal nothing
            await asyncio.sleep(0.005)


@pytest.fixture
async def site(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(ownership, "FENCED_SECONDS", 0.05)
    monkeypatch.setattr(ownership, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(ownership, "_BLOCKED_SECONDS", 0.05)
    made = Site(tmp_path, run)
    await made.open()
    yield made
    await made.producer.close()


async def test_only_what_is_assigned_is_read_and_what_is_gone_is_dropped_uncommitted(site: Site) -> None:
    for shard in range(PARTITIONS):
        await site.send(shard, 0, 10)
    async with site.logger(0, 1) as logger:
        await until(lambda: logger.rows(0) == logger.rows(1) == 10)
        logger.member.assign(1, 2)
        await until(logger.begun(1, 2))
        await until(lambda: logger.rows(2) == 10)
        assert logger.rows(0) == 0
        assert logger.head.waiting_bytes == sum(b.memory_bytes for of in logger.head.waiting().values() for b in of)
        logger.stopping.set()
    assert site.stored() == messages((1, 0, 10), (2, 0, 10))
    assert logger.member.committed_positions == {1: 1, 2: 1}
    async with site.logger(0) as other:
        await until(lambda: other.rows(0) == 10)
        other.stopping.set()
    assert site.stored() == messages(*((shard, 0, 10) for shard in range(PARTITIONS)))


async def test_a_shard_that_another_has_committed_is_dropped_and_the_rest_of_the_commit_stands(site: Site) -> None:
    await site.send(0, 0, 10)
    await site.send(1, 0, 10)
    async with site.logger(0, 1) as frozen:
        await until(lambda: frozen.rows(0) == frozen.rows(1) == 10)
        async with site.logger(0) as owner:
            await until(lambda: owner.rows(0) == 10)
            await site.send(0, 10, 20)
            await until(lambda: owner.rows(0) == 20)
            owner.stopping.set()
        assert site.stored() == messages((0, 0, 20))
        # It still believes in its old assignment; what it holds of shard 0 must not be committed.
        frozen.stopping.set()
    assert frozen.count("logger_fenced_total") == 1
    assert site.stored() == messages((0, 0, 20), (1, 0, 10))


async def test_a_fenced_shard_that_is_still_assigned_is_taken_again_from_the_table(site: Site) -> None:
    await site.send(0, 0, 10)
    async with site.logger(0, flush_seconds=0.05) as frozen:
        await until(lambda: frozen.count("logger_commits_total") == 1)
        frozen.table.go.clear()
        frozen.table.held.clear()
        await site.send(0, 10, 20)
        await until(frozen.table.held.is_set)  # it is about to commit these lines
        async with site.logger(0) as owner:
            await until(lambda: owner.rows(0) == 10)
            await site.send(0, 20, 25)
            await until(lambda: owner.rows(0) == 15)
            owner.stopping.set()
        frozen.table.go.set()
        await until(lambda: frozen.count("logger_fenced_total") == 1)
        await until(frozen.begun(0))
        await site.send(0, 25, 30)
        await until(lambda: frozen.count("logger_commits_total") == 2)
        frozen.stopping.set()
    assert site.stored() == messages((0, 0, 30))


async def test_files_of_a_commit_that_was_fenced_are_not_used_for_a_later_one_to_the_same_position(site: Site) -> None:
    async with site.logger(0) as frozen:
        await site.send(0, 0, 10)
        await until(lambda: frozen.rows(0) == 10)
        first = flush_parts(list(frozen.head.batches(0, 0)))
        state = encode_state(frozen.ingest.owned.shards[0].state())
        await site.send(0, 10, 20)
        await until(lambda: frozen.rows(0) == 20)
        other = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
        await asyncio.to_thread(lambda: other.commit(parts=first, positions={0: 1}, states={0: state}))
        await frozen.ingest._flush.flush(frozen.stopping)
        assert frozen.count("logger_fenced_total") == 1
        await until(lambda: frozen.rows(0) == 10)  # the second record, which is now read for the second time
        frozen.stopping.set()
    assert site.stored() == messages((0, 0, 20))


async def test_a_shard_that_goes_and_comes_back_during_a_commit_is_loaded_after_it(site: Site) -> None:
    await site.send(0, 0, 10)
    async with site.logger(0) as logger:
        await until(lambda: logger.rows(0) == 10)
        logger.table.go.clear()
        flush = asyncio.ensure_future(logger.ingest._flush.flush(logger.stopping))
        await until(logger.table.held.is_set)
        logger.member.assign()
        await until(logger.begun())
        logger.member.assign(0)
        await asyncio.sleep(0.2)  # time enough to load it from the version before the commit
        assert logger.begun()()
        logger.table.go.set()
        await flush
        assert logger.member.committed_positions == {}  # it was not ours to tell when that commit was done
        await until(logger.begun(0))
        assert logger.head.ends() == {0: 1}
        await site.send(0, 10, 20)
        await until(lambda: logger.rows(0) == 10)
        logger.stopping.set()
    assert logger.count("logger_fenced_total") == 0
    assert site.stored() == messages((0, 0, 20))


async def test_records_fetched_before_a_shard_was_taken_anew_are_not_taken(site: Site) -> None:
    await site.send(0, 0, 10)
    async with site.logger(0) as logger:
        await until(lambda: logger.rows(0) == 10)
        old = logger.ingest.owned.shards[0]
        logger.member.assign()
        await until(logger.begun())
        await site.send(0, 10, 20)
        records = await logger.member._consumer.fetch({0: 1}, max_bytes=1000, wait_seconds=5)
        assert records[0].offset == old.next_offset
        logger.member.assign(0)
        await until(logger.begun(0))
        await until(lambda: logger.rows(0) == 20)
        await logger.ingest._take(old, 0, records)
        assert logger.rows(0) == 20
        logger.stopping.set()
    assert site.stored() == messages((0, 0, 20))


async def test_a_position_that_the_queue_lost_stops_one_shard_until_an_operator_skips_it(site: Site) -> None:
    await site.send(0, 0, 5)
    await site.send(1, 0, 5)
    async with site.logger(0, 1) as logger:
        await until(lambda: logger.rows(0) == logger.rows(1) == 5)
        logger.member.gone_before = {0: 3}
        await until(lambda: 0 in logger.ingest.owned.blocked)
        for low in (5, 10, 15):
            await site.send(0, low, low + 5)
        await site.send(1, 5, 10)
        await until(lambda: "python -m logger skip" in logger.health.problems().get("shards", ""))
        assert logger.count("logger_blocked_records", shard="0") == 2
        await until(lambda: logger.rows(1) == 10)
        # What was read before is not lost with the position.
        await logger.ingest._flush.flush(logger.stopping)
        assert site.stored() == messages((0, 0, 5), (1, 0, 10))
        table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
        told = await asyncio.to_thread(commands._skip, table, 0, 3, 4)
        assert "2 records are lost, from 1 on; it goes on at 3" in told
        await until(lambda: logger.rows(0) == 5 and logger.head.ends()[0] == 4)
        assert logger.count("logger_lost_records_total") == 2
        assert logger.count("logger_gap_bytes_total") == ENDS[0][15] - ENDS[0][5]
        await until(lambda: not logger.health.problems())
        logger.stopping.set()
    assert site.stored() == messages((0, 0, 5), (0, 15, 20), (1, 0, 10))


async def test_skip_refuses_what_is_no_loss(site: Site) -> None:
    await site.send(0, 0, 5)
    async with site.logger(0) as logger:
        await until(lambda: logger.rows(0) == 5)
        logger.stopping.set()
    settings = LoggerSettings(queue_url=site.url, store_url=site.store_url)
    assert "nothing to skip" in await commands.skip(settings, 0)
    assert "no position yet" in await commands.skip(settings, 1)
    with pytest.raises(FatalError, match="shards 0 to 2"):
        await commands.skip(settings, 3)
    table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
    with pytest.raises(FatalError, match="needs a new topic"):
        await asyncio.to_thread(commands._skip, table, 0, 0, 0)


async def test_replay_sends_what_can_be_read_now_and_leaves_the_rest(site: Site) -> None:
    folder = site.folder / "letters"
    folder.mkdir()
    good = encode_pack([], node="n1", heartbeat_ns=T0, compressor=zstandard.ZstdCompressor())
    (folder / "1-7.record").write_bytes(good)
    (folder / "2-9.record").write_bytes(b"rubbish")
    settings = LoggerSettings(queue_url=site.url, dead_letters=str(folder))
    assert "1 records sent back into the queue; 1 cannot" in await commands.replay(settings)
    assert [path.name for path in folder.iterdir()] == ["2-9.record"]
    consumer = await open_consumer(site.url, group="logger")
    assert await consumer.ends() == {0: 0, 1: 1, 2: 0}
    await consumer.close()


async def test_the_watermark_covers_shards_of_other_loggers_as_far_as_they_are_committed(site: Site) -> None:
    async with site.logger(0) as one, site.logger(1, 2) as other:
        elsewhere = Elsewhere(table=one.table.table, head=one.head, shards=range(PARTITIONS))
        for shard in range(PARTITIONS):
            await site.send(shard, 0, 10, heartbeat_ns=T0 + shard)
        await until(lambda: one.rows(0) == other.rows(1) == other.rows(2) == 10)
        await elsewhere.look()
        assert one.head.watermark() is None  # nothing of it is durable yet
        other.stopping.set()
        await until(lambda: other.count("logger_commits_total") == 1)
        await elsewhere.look()
        assert one.head.shard_watermark(2) == T0 + 2
        assert one.head.watermark() == T0
        one.head.resume(2, 9, {})
        await elsewhere.look()
        one.head.drop(2)
        await elsewhere.look()  # what it says is no news, but has to be heard again
        assert one.head.shard_watermark(2) == T0 + 2
        one.stopping.set()


async def test_lag_is_what_the_queue_has_and_the_shard_has_not(site: Site) -> None:
    async with site.logger(0) as logger:
        lag = LagCollector(shards=logger.ingest.owned.shards, ends=logger.member.ends)
        logger.registry.register(lag)
        stopping = asyncio.Event()
        stopping.set()
        await site.send(0, 0, 10)
        await until(lambda: logger.rows(0) == 10)
        logger.member.assign()  # it is not fetched any more, but still shown: the test holds on to it
        shard = logger.ingest.owned.shards[0]
        lag._shards, lag._ends = {0: shard}, {0: 3}
        assert logger.count("logger_lag_records", shard="0") == 2
        assert logger.count("logger_lag_bytes", shard="0") == 2 * shard.mean_bytes > 0
        assert 0 < logger.count("logger_lag_seconds", shard="0") < 60
        lag._ends = {0: 1}
        assert logger.count("logger_lag_records", shard="0") == logger.count("logger_lag_seconds", shard="0") == 0


async def test_a_logger_that_is_alone_asks_only_for_its_own_group(site: Site) -> None:
    settings = LoggerSettings(listen="127.0.0.1:9", url="http://other:8088/")
    assert settings.own_url == "http://other:8088"
    assert LoggerSettings(listen="127.0.0.1:9").own_url == "http://127.0.0.1:9"
