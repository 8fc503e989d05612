"""Retention of the SQLite queue: what goes, what stays, and that unread records which go are counted to the byte."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import OffsetOutOfRangeError
from pipeline.limits import MIB
from pipeline.queue.sqlite import SqliteConsumer, SqliteOptions, SqliteProducer, retention
from pipeline.queue.sqlite.append import Append, append
from pipeline.queue.sqlite.database import Bounds, Database, bounds, open_database, register
from pipeline.queue.sqlite.lag import Loss, read_losses
from pipeline.queue.sqlite.retention import Cut, Kept, plan, step

SECOND = 1_000_000_000
NOW = 1_000_000 * SECOND
RECORD = b"x" * 100_000


@pytest.fixture
def make_queue(tmp_path: Path) -> Iterator[Callable[..., tuple[Database, SqliteOptions]]]:
    """Makes a queue with 2 partitions and the given groups, open for retention without a thread of its own."""
    opened: list[Database] = []

    def make(*groups: str, **bounds: int) -> tuple[Database, SqliteOptions]:
        options = SqliteOptions(path=tmp_path / "queue.db", partitions=2, groups=groups, **bounds)
        opened.append(open_database(options, durable=False))
        return opened[-1], options

    yield make
    for database in opened:
        database.close()


def send(database: Database, partition: int, count: int, *, now_ns: int = NOW, value: bytes = RECORD) -> None:
    with database.write() as connection:
        append(connection, [Append(partition, [value] * count)], now_ns=now_ns)


def commit(database: Database, group: str, partition: int, position: int) -> None:
    with database.write() as connection:
        connection.execute("REPLACE INTO positions VALUES (?, ?, ?)", (group, partition, position))


def retain(database: Database, options: SqliteOptions, *, now_ns: int = NOW) -> None:
    while step(database, options, now_ns=now_ns, step_bytes=MIB):
        pass


def starts(database: Database) -> list[int]:
    return [part.start for part in bounds(database.connection).values()]


MakeQueue = Callable[..., tuple[Database, SqliteOptions]]


def test_records_go_only_when_every_group_has_committed_them_and_they_are_old(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", "b", keep_seconds=600)
    send(database, 0, 10)
    commit(database, "a", 0, 8)
    commit(database, "b", 0, 5)
    retain(database, options, now_ns=NOW + 599 * SECOND)
    assert starts(database) == [0, 0]
    retain(database, options, now_ns=NOW + 600 * SECOND)
    assert starts(database) == [5, 0]
    assert read_losses(database.connection) == {}


def test_a_queue_without_groups_keeps_everything_within_the_budget(make_queue: MakeQueue) -> None:
    database, options = make_queue(keep_seconds=0, max_age_seconds=100)
    send(database, 0, 3)
    retain(database, options, now_ns=NOW + 99 * SECOND)
    assert starts(database) == [0, 0]
    retain(database, options, now_ns=NOW + 100 * SECOND)
    assert starts(database) == [3, 0]
    assert read_losses(database.connection) == {("", 0): Loss(3, 300_000)}


def test_unread_records_beyond_the_bytes_go_oldest_first_and_are_counted_by_group(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", "b", max_bytes=2 * MIB)
    send(database, 1, 5, now_ns=NOW)
    send(database, 0, 10, now_ns=NOW + 1)
    send(database, 1, 12, now_ns=NOW + 2)
    commit(database, "a", 1, 3)
    retain(database, options, now_ns=NOW + 3)
    # 27 records are 2.7 MB; 7 must go: the 5 oldest of partition 1, then 2 of partition 0.
    assert starts(database) == [2, 5]
    assert read_losses(database.connection) == {
        ("a", 0): Loss(2, 200_000),
        ("a", 1): Loss(2, 200_000),
        ("b", 0): Loss(2, 200_000),
        ("b", 1): Loss(5, 500_000),
    }
    retain(database, options, now_ns=NOW + 4)
    assert starts(database) == [2, 5]


def test_read_records_make_room_before_unread_ones(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", max_bytes=MIB)
    send(database, 0, 5, now_ns=NOW)
    send(database, 1, 9, now_ns=NOW + 1)
    commit(database, "a", 1, 9)
    retain(database, options, now_ns=NOW + 2)
    assert starts(database) == [0, 4]
    assert read_losses(database.connection) == {}


def test_losses_add_up_over_many_steps_to_what_was_sent(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", max_bytes=MIB)
    for number in range(60):
        send(database, number % 2, 1, now_ns=NOW + number)
        step(database, options, now_ns=NOW + number, step_bytes=MIB)
    kept = sum(part.next - part.start for part in bounds(database.connection).values())
    losses = read_losses(database.connection).values()
    assert sum(loss.records for loss in losses) + kept == 60
    assert sum(loss.bytes for loss in losses) + kept * len(RECORD) == 60 * len(RECORD)
    assert kept == 10


def test_one_step_stays_small(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", max_age_seconds=1)
    send(database, 0, 50)
    assert step(database, options, now_ns=NOW + 9 * SECOND, step_bytes=MIB)
    assert starts(database) == [11, 0]


def test_many_tiny_records_go_too(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", max_age_seconds=1)
    send(database, 0, 1000, value=b"")
    retain(database, options, now_ns=NOW + 9 * SECOND)
    assert starts(database) == [1000, 0]
    assert read_losses(database.connection) == {("a", 0): Loss(1000, 0)}


def test_freed_space_is_used_again_and_what_is_not_needed_is_given_back(
    make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLACK_BYTES", MIB)
    database, options = make_queue("a", max_bytes=4 * MIB)
    sizes = []
    for number in range(20):
        send(database, 0, 20, now_ns=NOW + number)
        retain(database, options, now_ns=NOW + number)
        database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append(options.path.stat().st_size)
    assert max(sizes) < 8 * MIB
    commit(database, "a", 0, 400)
    retain(database, options, now_ns=NOW + 601 * SECOND)
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert options.path.stat().st_size < 2 * MIB


def test_a_group_that_registers_late_starts_at_the_oldest_record_and_lost_nothing(make_queue: MakeQueue) -> None:
    database, options = make_queue("a", max_age_seconds=10)
    send(database, 0, 2)
    retain(database, options, now_ns=NOW + 10 * SECOND)
    with database.write() as connection:
        register(connection, "late")
    assert retention.positions(database.connection)["late"] == {0: 2, 1: 0}
    assert set(read_losses(database.connection)) == {("a", 0)}


def test_a_plan_cuts_no_further_than_the_step() -> None:
    parts = {0: Bounds(0, 5, 9, 50, 90)}
    heads = {0: [Kept(offset, NOW, (offset + 1) * 10) for offset in range(5, 9)]}
    options = SqliteOptions(path=Path("q.db"), keep_seconds=0)
    assert plan(parts, {"a": {0: 8}}, heads, options, now_ns=NOW, step_bytes=15) == {0: Cut(7, 70)}
    assert plan(parts, {"a": {0: 8}}, heads, options, now_ns=NOW, step_bytes=1000) == {0: Cut(8, 80)}
    assert plan(parts, {"a": {0: 0}}, heads, options, now_ns=NOW, step_bytes=1000) == {}


async def test_a_producer_retains_by_itself_and_a_reader_left_behind_is_told(tmp_path: Path) -> None:
    options = SqliteOptions(path=tmp_path / "queue.db", partitions=1, max_bytes=MIB)
    producer = await SqliteProducer.open(options)
    consumer = await SqliteConsumer.open(options, group="logger")
    try:
        for _ in range(5):
            await producer.send(0, [RECORD] * 8)
        async with asyncio.timeout(10):
            while (await consumer.starts())[0] < 30:  # noqa: ASYNC110 - the thread has no event to wait for
                await asyncio.sleep(0.01)
        assert await consumer.lost() == {("logger", 0): Loss(30, 3_000_000)}
        with pytest.raises(OffsetOutOfRangeError) as caught:
            await consumer.fetch({0: 29}, max_bytes=1, wait_seconds=0)
        assert (caught.value.start, caught.value.end) == (30, 40)
        assert await consumer.committed() == {0: 30}
    finally:
        await consumer.close()
        await producer.close()


def test_deleted_records_are_not_written_once_more(make_queue: MakeQueue) -> None:
    database, _ = make_queue()
    assert database.connection.execute("PRAGMA secure_delete").fetchone() == (0,)
    assert database.connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert isinstance(database.connection, sqlite3.Connection)
