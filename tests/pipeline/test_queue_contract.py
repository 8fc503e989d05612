"""What every queue does, whatever implements it. An implementation is added as a parameter of `a_queue`."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Protocol

import pytest

from pipeline.errors import OffsetOutOfRangeError, SettingsError
from pipeline.queue import Consumer, Producer, Record, open_consumer, open_producer

ALL = {0: 0, 1: 0, 2: 0, 3: 0}
KILLED_PRODUCER = Path(__file__).with_name("killed_producer.py")


class AQueue(Protocol):
    """The fixture `a_queue`; see `conftest.OpenQueue`."""

    url: str

    async def producer(self) -> Producer:
        """Open another producer."""

    async def consumer(self, group: str = "logger") -> Consumer:
        """Open another consumer."""

    async def close(self) -> None:
        """Close everything that is open."""


async def fetch_all(
    consumer: Consumer, positions: dict[int, int] | None = None, *, max_bytes: int = 1000
) -> list[Record]:
    """Everything from `positions` on, over as many fetches as it takes."""
    positions = dict(positions or ALL)
    found: list[Record] = []
    while records := await consumer.fetch(positions, max_bytes=max_bytes, wait_seconds=0):
        found += records
        positions.update((record.partition, record.offset + 1) for record in records)
    return found


def values(records: list[Record], partition: int) -> list[bytes]:
    return [record.value for record in records if record.partition == partition]


async def test_offsets_start_at_zero_and_leave_no_gap(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    assert [await producer.send(2, [b"a", b"b"]), await producer.send(2, [b"c"]), await producer.send(0, [b"d"])] == [
        0,
        2,
        0,
    ]
    records = await fetch_all(consumer)
    assert [(record.partition, record.offset, record.value) for record in records if record.partition == 2] == [
        (2, 0, b"a"),
        (2, 1, b"b"),
        (2, 2, b"c"),
    ]
    assert values(records, 0) == [b"d"]
    assert (await consumer.starts(), await consumer.ends()) == (ALL, {0: 1, 1: 0, 2: 3, 3: 0})


async def test_values_come_back_as_they_were_sent(a_queue: AQueue) -> None:
    sent = [b"", b"\x00", bytes(range(256)) * 2000, b"'); DROP TABLE records; --"]
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(1, sent)
    assert values(await fetch_all(consumer), 1) == sent


async def test_sends_at_once_keep_their_order_within_a_partition(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(producer.send(number % 4, [b"%d" % number]), name=f"send {number}")
    records = await fetch_all(consumer)
    for partition in range(4):
        assert values(records, partition) == [b"%d" % number for number in range(partition, 200, 4)]


async def test_a_fetch_starts_in_the_middle(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(0, [b"%d" % number for number in range(10)])
    assert values(await fetch_all(consumer, {0: 7}), 0) == [b"7", b"8", b"9"]


async def test_a_fetch_stops_after_the_record_that_reaches_the_limit(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(0, [b"x" * 100] * 10)
    assert len(await consumer.fetch({0: 0}, max_bytes=250, wait_seconds=0)) == 3
    assert len(await consumer.fetch({0: 0}, max_bytes=200, wait_seconds=0)) == 2
    assert len(await consumer.fetch({0: 0}, max_bytes=1, wait_seconds=0)) == 1


async def test_a_quiet_partition_is_not_starved_by_loud_ones(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    for partition in (0, 1, 3):
        await producer.send(partition, [b"x" * 100] * 20)
    await producer.send(2, [b"quiet"])
    positions = dict(ALL)
    for _ in range(4):
        for record in await consumer.fetch(positions, max_bytes=200, wait_seconds=0):
            positions[record.partition] = record.offset + 1
    assert positions[2] == 1


async def test_only_the_partitions_asked_for_are_read(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(0, [b"a"])
    await producer.send(1, [b"b"])
    assert {record.partition for record in await consumer.fetch({1: 0}, max_bytes=1000, wait_seconds=0)} == {1}


async def test_a_waiting_fetch_returns_when_a_record_arrives(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(consumer.fetch(ALL, max_bytes=1000, wait_seconds=60), name="fetch")
        await asyncio.sleep(0)  # the fetch is under way; whether it waits yet does not matter
        await producer.send(3, [b"late"])
    assert values(waiting.result(), 3) == [b"late"]


async def test_a_fetch_returns_nothing_after_its_wait(a_queue: AQueue) -> None:
    consumer = await a_queue.consumer()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await consumer.fetch(ALL, max_bytes=1000, wait_seconds=0.05) == []
    assert 0.05 <= loop.time() - began < 5


async def test_a_cancelled_fetch_leaves_the_consumer_usable(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await consumer.fetch(ALL, max_bytes=1000, wait_seconds=60)
    await producer.send(0, [b"a"])
    assert len(await consumer.fetch(ALL, max_bytes=1000, wait_seconds=5)) == 1


@pytest.mark.parametrize("offset", [-1, 3, 2**62], ids=["before the start", "after the end", "far after the end"])
async def test_a_position_out_of_range_is_refused(a_queue: AQueue, offset: int) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(1, [b"a", b"b"])
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await consumer.fetch({0: 0, 1: offset}, max_bytes=1000, wait_seconds=0)
    assert (caught.value.partition, caught.value.offset, caught.value.start, caught.value.end) == (1, offset, 0, 2)


async def test_an_unknown_partition_is_refused(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    with pytest.raises(OffsetOutOfRangeError):
        await consumer.fetch({4: 0}, max_bytes=1000, wait_seconds=0)
    with pytest.raises(OffsetOutOfRangeError):
        await consumer.commit({4: 0})
    with pytest.raises(ValueError, match="partition 4 of 4"):
        await producer.send(4, [b"a"])


async def test_groups_have_positions_of_their_own(a_queue: AQueue) -> None:
    producer = await a_queue.producer()
    one, other = await a_queue.consumer("one"), await a_queue.consumer("other")
    await producer.send(0, [b"a", b"b"])
    await one.commit({0: 2})
    assert ((await one.committed())[0], (await other.committed())[0]) == (2, 0)
    assert (await (await a_queue.consumer("one")).committed())[0] == 2


async def test_a_commit_after_the_end_is_refused(a_queue: AQueue) -> None:
    consumer = await a_queue.consumer()
    with pytest.raises(OffsetOutOfRangeError):
        await consumer.commit({0: 1})
    assert await consumer.committed() == ALL


async def test_reopening_keeps_identity_offsets_and_records(a_queue: AQueue) -> None:
    producer = await a_queue.producer()
    await producer.send(0, [b"a"])
    queue_id = producer.queue_id
    await a_queue.close()
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    assert (producer.queue_id, consumer.queue_id, producer.partitions) == (queue_id, queue_id, 4)
    assert await producer.send(0, [b"b"]) == 1
    assert values(await fetch_all(consumer), 0) == [b"a", b"b"]


async def test_two_producers_share_a_partition(a_queue: AQueue) -> None:
    producers = await a_queue.producer(), await a_queue.producer()
    consumer = await a_queue.consumer()

    async def send_all(index: int) -> list[int]:
        return [await producers[index].send(0, [b"%d:%d" % (index, number)]) for number in range(50)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send_all(index), name=f"producer {index}") for index in range(2)]
    assert sorted(tasks[0].result() + tasks[1].result()) == list(range(100))
    found = values(await fetch_all(consumer), 0)
    for index in range(2):
        assert [v for v in found if v.startswith(b"%d:" % index)] == [b"%d:%d" % (index, n) for n in range(50)]


async def test_closing_finishes_what_is_under_way(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    async with asyncio.TaskGroup() as group:
        sends = [group.create_task(producer.send(0, [b"x" * 1000]), name=f"send {number}") for number in range(20)]
        await asyncio.sleep(0)
        await producer.close()
    assert [send.result() for send in sends] == list(range(20))
    assert len(await fetch_all(consumer)) == 20


async def test_what_a_killed_producer_had_acknowledged_is_there(a_queue: AQueue) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(KILLED_PRODUCER), a_queue.url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = [await process.stdout.readline() for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    acknowledged += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    consumer = await a_queue.consumer()
    records = {(record.partition, record.offset): record.value for record in await fetch_all(consumer, max_bytes=10**7)}
    whole = [line for line in acknowledged if line.endswith(b"\n")]
    assert len(whole) >= 30
    for line in whole:
        partition, offset, fill = (int(field) for field in line.split())
        assert records[partition, offset] == bytes([fill]) * 10_000
    ends = await consumer.ends()
    assert len(records) == sum(ends.values())


@pytest.mark.parametrize("url", ["", "nonsense", "kafkaesque://host/topic", "http://host/"])
async def test_a_url_of_no_known_kind_names_the_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="QUEUE_URL"):
        await open_producer(url)
    with pytest.raises(SettingsError, match="QUEUE_URL"):
        await open_consumer(url, group="logger")


async def test_a_queue_that_is_still_the_same_is_told_so_also_beside_a_fetch_that_waits(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(consumer.fetch({0: 0}, max_bytes=1000, wait_seconds=20))
        for _ in range(3):
            await consumer.check()
        await producer.send(0, [b"a"])
    assert values(waiting.result(), 0) == [b"a"]
