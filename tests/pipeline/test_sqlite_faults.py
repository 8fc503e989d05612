"""The SQLite queue when something is wrong: no space, a lock held, a damaged, replaced or foreign file, no inotify."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pipeline import failpoints
from pipeline.errors import FatalError, FormatError, QueueUnavailableError, SettingsError
from pipeline.queue.sqlite import SqliteConsumer, SqliteOptions, SqliteProducer, bell, database, room

KILLED_PRODUCER = Path(__file__).with_name("killed_producer.py")
ALL = {0: 0, 1: 0, 2: 0, 3: 0}
OpenProducer = Callable[[], Coroutine[Any, Any, SqliteProducer]]
OpenConsumer = Callable[[], Coroutine[Any, Any, SqliteConsumer]]


@pytest.fixture
def options(tmp_path: Path) -> SqliteOptions:
    """Options of a new queue."""
    return SqliteOptions(path=tmp_path / "queue.db")


@pytest.fixture
async def producer(options: SqliteOptions) -> AsyncIterator[SqliteProducer]:
    """A producer, closed after the test."""
    opened = await SqliteProducer.open(options)
    yield opened
    await opened.close()


@pytest.fixture
async def consumer(options: SqliteOptions, producer: SqliteProducer) -> AsyncIterator[SqliteConsumer]:
    """A consumer, closed after the test."""
    opened = await SqliteConsumer.open(options, group="logger")
    yield opened
    await opened.close()


async def stored(consumer: SqliteConsumer) -> list[bytes]:
    records = await consumer.fetch(ALL, max_bytes=10**9, wait_seconds=0)
    return [record.value for record in records if record.partition == 0]


async def test_a_full_disk_is_unavailable_and_the_next_send_after_it_works(
    producer: SqliteProducer, consumer: SqliteConsumer
) -> None:
    await producer.send(0, [b"before"])
    writing = producer._writer._database
    assert writing is not None
    pages = writing.connection.execute("PRAGMA page_count").fetchone()[0]
    writing.connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(QueueUnavailableError, match="full"):
        await producer.send(0, [b"x" * 1_000_000])
    assert await producer.send(0, [b"y" * 1_000_000]) == 1  # over a new connection, which has no such limit
    assert await stored(consumer) == [b"before", b"y" * 1_000_000]


async def test_a_disk_that_is_almost_full_gets_no_records_but_positions_and_deletes(
    options: SqliteOptions, consumer: SqliteConsumer, producer: SqliteProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await producer.send(0, [b"x" * 100_000] * 10)
    monkeypatch.setattr(room, "free_bytes", lambda _: room.MARGIN_BYTES + 199_999)
    with pytest.raises(QueueUnavailableError, match="the disk lacks 1 bytes"):
        await producer.send(0, [b"x" * 100_000])
    assert await producer.send(0, [b"x" * 99_999]) == 10
    await consumer.commit({0: 11})
    wal = options.path.with_name("queue.db-wal")
    sizes = []
    for _ in range(200):  # until the WAL is copied, and a commit starts it anew
        sizes.append(wal.stat().st_size)
        if sizes[-1:] == sizes[-2:-1]:
            break
        await asyncio.sleep(0.01)
        await consumer.commit({0: 10})
    assert len(sizes) < 200


async def test_sends_that_fit_one_by_one_are_not_refused_together(
    producer: SqliteProducer, consumer: SqliteConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _: room.MARGIN_BYTES + 500_000)
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(producer.send(0, [b"x" * 200_000]), name=f"send {number}")
    assert len(await stored(consumer)) == 10


async def test_a_mistake_in_the_writer_is_told_and_ends_nothing(
    producer: SqliteProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.queue.sqlite.writer.append", lambda *_, **__: 1 // 0)
        with pytest.raises(FatalError, match="ZeroDivisionError"):
            await producer.send(0, [b"a"])
    assert await producer.send(0, [b"a"]) == 0


async def test_sends_at_once_all_hear_of_a_failure(producer: SqliteProducer) -> None:
    writing = producer._writer._database
    assert writing is not None
    writing.connection.execute("PRAGMA max_page_count=1")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(producer, partition), name=f"{partition}") for partition in range(4)]
    assert "unavailable" in {task.result() for task in tasks}
    assert await producer.send(0, [b"a"]) >= 0


async def _outcome(producer: SqliteProducer, partition: int) -> str:
    try:
        await producer.send(partition, [b"x" * 1_000_000])
    except QueueUnavailableError:
        return "unavailable"
    return "sent"


async def test_a_send_waits_for_another_process_that_writes(
    options: SqliteOptions, producer: SqliteProducer, consumer: SqliteConsumer
) -> None:
    other = sqlite3.connect(options.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, other.execute, ["COMMIT"])
    timer.start()
    assert await producer.send(0, [b"a"]) == 0
    timer.join()
    other.close()


async def test_a_lock_that_is_held_too_long_is_unavailable_and_then_works(
    options: SqliteOptions, producer: SqliteProducer, consumer: SqliteConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(options.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(QueueUnavailableError, match="locked"):
        await producer.send(0, [b"a"])
    with pytest.raises(QueueUnavailableError, match="locked"):
        await consumer.commit({0: 0})
    assert await stored(consumer) == []
    other.execute("ROLLBACK")
    other.close()
    assert await producer.send(0, [b"b"]) == 0
    await consumer.commit({0: 1})


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
async def test_a_file_that_is_removed_or_replaced_stops_producer_and_consumer(
    options: SqliteOptions, producer: SqliteProducer, consumer: SqliteConsumer, tmp_path: Path, replaced: bool
) -> None:
    await producer.send(0, [b"a"])
    options.path.rename(tmp_path / "away.db")
    if replaced:
        other = await SqliteProducer.open(SqliteOptions(path=tmp_path / "other.db"))
        assert other.queue_id != producer.queue_id
        await other.close()
        (tmp_path / "other.db").rename(options.path)
    with pytest.raises(FatalError, match=r"queue\.db was removed or replaced"):
        await producer.send(0, [b"never acknowledged"])
    with pytest.raises(FatalError, match=r"queue\.db was removed or replaced"):
        await consumer.fetch(ALL, max_bytes=1, wait_seconds=0)


async def test_a_replaced_file_has_another_identity(options: SqliteOptions) -> None:
    first = await SqliteProducer.open(options)
    await first.close()
    for path in options.path.parent.glob("queue.db*"):
        path.unlink()
    second = await SqliteProducer.open(options)
    await second.close()
    assert first.queue_id != second.queue_id


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough " * 100, b"SQLite format 3\x00" + b"\xff" * 5000]
)
async def test_a_damaged_file_is_fatal_and_named(options: SqliteOptions, content: bytes) -> None:
    options.path.write_bytes(content)
    with pytest.raises(FatalError, match=r"queue\.db is damaged"):
        await SqliteProducer.open(options)
    with pytest.raises(FatalError, match=r"queue\.db is damaged"):
        await SqliteConsumer.open(options, group="logger")
    assert options.path.read_bytes() == content


async def test_damage_in_the_middle_is_fatal_and_named(options: SqliteOptions) -> None:
    producer = await SqliteProducer.open(options)
    await producer.send(0, [b"x" * 300_000] * 3)
    await producer.close()
    size = options.path.stat().st_size
    with options.path.open("r+b") as file:
        file.seek(database.PAGE_BYTES * 2)
        file.write(b"\xff" * (size - database.PAGE_BYTES * 2))
    with pytest.raises(FatalError, match=r"queue\.db is damaged"):
        await _read_all(options)


async def _read_all(options: SqliteOptions) -> None:
    consumer = await SqliteConsumer.open(options, group="logger")
    try:
        await consumer.fetch(ALL, max_bytes=10**9, wait_seconds=0)
    finally:
        await consumer.close()


async def test_another_applications_database_is_left_alone(options: SqliteOptions) -> None:
    with sqlite3.connect(options.path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(FatalError, match="no queue"):
        await SqliteProducer.open(options)


async def test_a_queue_of_another_format_is_refused(options: SqliteOptions, producer: SqliteProducer) -> None:
    with sqlite3.connect(options.path) as other:
        other.execute("UPDATE meta SET value = 2 WHERE name = 'format'")
    other.close()
    with pytest.raises(FormatError, match="format 2; known here is 1"):
        await SqliteProducer.open(options)


async def test_the_number_of_partitions_is_fixed_when_the_file_is_made(
    options: SqliteOptions, producer: SqliteProducer
) -> None:
    with pytest.raises(SettingsError, match="partitions=8, but"):
        await SqliteProducer.open(SqliteOptions(path=options.path, partitions=8))
    same = await SqliteProducer.open(SqliteOptions(path=options.path, partitions=4))
    await same.close()


async def test_a_fetch_of_tiny_records_is_bounded_too(producer: SqliteProducer, consumer: SqliteConsumer) -> None:
    await producer.send(0, [b""] * 10_001)
    records = await consumer.fetch(ALL, max_bytes=10**9, wait_seconds=0)
    assert len(records) == 10_000
    assert len(await consumer.fetch({0: 10_000}, max_bytes=10**9, wait_seconds=0)) == 1


async def test_a_path_that_is_a_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(QueueUnavailableError, match="unable to open"):
        await SqliteProducer.open(SqliteOptions(path=tmp_path))


async def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    producer = await SqliteProducer.open(SqliteOptions(path=tmp_path / "a" / "b" / "queue.db"))
    await producer.close()


async def test_many_open_a_new_queue_at_once(options: SqliteOptions) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(SqliteProducer.open(options), name=f"{number}") for number in range(6)]
    opened = [task.result() for task in tasks]
    assert len({producer.queue_id for producer in opened}) == 1
    for producer in opened:
        await producer.close()


async def test_the_bell_wakes_a_fetch_that_waits(
    producer: SqliteProducer, consumer: SqliteConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "RECHECK_SECONDS", 60)
    for _ in range(3):
        await _fetch_while_sending(producer, consumer)


async def test_a_bell_that_does_not_ring_only_delays(
    producer: SqliteProducer, consumer: SqliteConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "RECHECK_SECONDS", 0.02)
    monkeypatch.setattr("pipeline.queue.sqlite.writer.ring", lambda _: None)
    await _fetch_while_sending(producer, consumer)


async def test_without_inotify_the_queue_is_polled(
    options: SqliteOptions, producer: SqliteProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_inotify() -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(bell, "Inotify", no_inotify)
    consumer = await SqliteConsumer.open(options, group="logger")
    await _fetch_while_sending(producer, consumer)
    await consumer.close()


async def _fetch_while_sending(producer: SqliteProducer, consumer: SqliteConsumer) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        ends = await consumer.ends()
        waiting = group.create_task(consumer.fetch(ends, max_bytes=1, wait_seconds=60), name="fetch")
        await asyncio.sleep(0.01)
        await producer.send(0, [b"a"])
    assert len(waiting.result()) == 1


async def test_a_send_after_close_is_refused_and_a_second_close_does_nothing(options: SqliteOptions) -> None:
    producer = await SqliteProducer.open(options)
    consumer = await SqliteConsumer.open(options, group="logger")
    for _ in range(2):
        await producer.close()
        await consumer.close()
    with pytest.raises(QueueUnavailableError, match="closed"):
        await producer.send(0, [b"a"])
    assert [path.name for path in options.path.parent.iterdir()] == ["queue.db"]


@pytest.mark.parametrize(
    ("values", "said"),
    [([], "0 records"), ([b"x" * (16 * 1024 * 1024 + 1)], "over the limit")],
    ids=["no record", "too long a record"],
)
async def test_a_send_that_could_never_work_is_refused_and_harms_no_other(
    producer: SqliteProducer, values: list[bytes], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        await producer.send(0, values)
    assert await producer.send(0, [b"a"]) == 0


@pytest.mark.parametrize(("point", "kept"), [("queue-before-commit", 1), ("queue-after-commit", 2)])
async def test_a_crash_around_the_commit_keeps_what_was_acknowledged(
    options: SqliteOptions, producer: SqliteProducer, point: str, kept: int
) -> None:
    await producer.send(0, [b"first"])
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(KILLED_PRODUCER), f"sqlite:///{options.path}", point, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == failpoints.EXIT_STATUS
    consumer = await SqliteConsumer.open(options, group="logger")
    assert len(await stored(consumer)) == kept
    assert await producer.send(0, [b"later"]) == kept
    await consumer.close()
