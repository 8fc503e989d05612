"""What the producer and the consumer do when the broker is away, stopped, or refuses."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from demo import kafka
from pipeline.errors import FatalError, OffsetOutOfRangeError, QueueUnavailableError
from pipeline.queue import open_consumer, open_producer
from pipeline.queue.kafka import KafkaConsumer, KafkaProducer

pytestmark = [pytest.mark.real, pytest.mark.slow]

PARTITIONS = 40
PACK = bytes(range(256)) * 2000


@pytest.fixture
async def url(own_broker: kafka.Broker) -> str:
    url = f"kafka://{own_broker.server}/t?create=1&partitions={PARTITIONS}&replication=1&min_insync=1&send_seconds=2"
    await (await open_producer(url)).close()
    return url


@pytest.fixture
async def producer(url: str) -> AsyncIterator[KafkaProducer]:
    producer = await open_producer(url)
    assert isinstance(producer, KafkaProducer)
    yield producer
    await producer.close()


@pytest.fixture
async def consumer(url: str) -> AsyncIterator[KafkaConsumer]:
    consumer = await open_consumer(url, group="logger")
    assert isinstance(consumer, KafkaConsumer)
    yield consumer
    await consumer.close()


async def read(consumer: KafkaConsumer, partition: int, count: int, *, start: int = 0) -> list[bytes]:
    """Values of a partition, over as many fetches and failures as it takes."""
    found: list[bytes] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            try:
                records = await consumer.fetch({partition: start}, max_bytes=10**7, wait_seconds=0.2)
            except QueueUnavailableError:
                await asyncio.sleep(0.1)
                continue
            found += [record.value for record in records]
            start += len(records)
    return found


async def persist(producer: KafkaProducer, partition: int, value: bytes) -> int:
    """Send until it is acknowledged, as an agent does."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await producer.send(partition, [value])
            except QueueUnavailableError:
                await asyncio.sleep(0.1)


@pytest.fixture
def held_bytes() -> Iterator[Callable[[], int]]:
    """What Python's objects hold, buffers included. Resident memory also tells what other tests left in the heap."""
    tracemalloc.start()

    def measure() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield measure
    tracemalloc.stop()


async def outage(producer: KafkaProducer) -> int:
    """Try to send to every partition eight times at once; returns how many failed."""
    failed = 0

    async def send(partition: int) -> None:
        nonlocal failed
        try:
            await producer.send(partition, [PACK])
        except QueueUnavailableError:
            failed += 1

    async with asyncio.TaskGroup() as group:
        for number in range(8 * PARTITIONS):
            group.create_task(send(number % PARTITIONS), name=f"send {number}")
    return failed


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_memory_is_bounded_and_nothing_is_lost_while_the_broker_is_away(
    own_broker: kafka.Broker,
    producer: KafkaProducer,
    consumer: KafkaConsumer,
    held_bytes: Callable[[], int],
    how: str,
) -> None:
    await outage(producer)  # with the broker there: buffers have their size
    sent = (await consumer.ends())[0]
    await (asyncio.to_thread(own_broker.kill) if how == "killed" else asyncio.to_thread(own_broker.pause))
    before = held_bytes()
    sizes = []
    for _ in range(3):
        assert await outage(producer) == 8 * PARTITIONS
        sizes.append(held_bytes() - before)
    # 32 batches of half a megabyte; the failed ones of all rounds together would be several times as much.
    assert max(sizes) < 32 * 2 * len(PACK)
    assert sizes[2] - sizes[1] < len(PACK)
    if how == "killed":
        own_broker.start()
        await asyncio.to_thread(own_broker.wait)
    else:
        own_broker.resume()
    await persist(producer, 0, b"after")
    assert (await read(consumer, 0, 1, start=sent))[0] in {PACK, b"after"}
    ends = await consumer.ends()
    values = await read(consumer, 0, ends[0])
    assert values[:sent] == [PACK] * sent
    assert values[-1] == b"after"


async def test_the_producer_is_rebuilt_after_an_error_that_is_not_retriable(
    producer: KafkaProducer, consumer: KafkaConsumer
) -> None:
    await producer.send(0, [b"a"])
    first = producer._generation
    assert first is not None
    first._producer._txn_manager._sequence_numbers[TopicPartition("t", 0)] += 7
    with pytest.raises(QueueUnavailableError, match="OutOfOrderSequence"):
        await producer.send(0, [b"b"])
    assert await producer.send(0, [b"b"]) == 1
    assert producer._generation is not first
    assert first._sender_task().done()
    assert await read(consumer, 0, 2) == [b"a", b"b"]


async def test_what_waits_behind_a_failed_send_fails_with_it(producer: KafkaProducer, consumer: KafkaConsumer) -> None:
    await producer.send(0, [b"a"])
    assert producer._generation is not None
    producer._generation._producer._txn_manager._sequence_numbers[TopicPartition("t", 0)] += 7
    async with asyncio.TaskGroup() as group:
        sends = [group.create_task(attempt(producer, b"%d" % number), name=f"send {number}") for number in range(5)]
    assert [send.result() for send in sends] == [False] * 5
    for number in range(5):
        await producer.send(0, [b"%d" % number])
    assert await read(consumer, 0, 6) == [b"a", b"0", b"1", b"2", b"3", b"4"]


async def sent_until_refused(producer: KafkaProducer) -> int:
    """How many records a topic still took: a broker applies a changed limit a moment after it said so."""
    taken = 0
    async with asyncio.timeout(30):
        while True:
            try:
                await producer.send(0, [PACK])
            except FatalError as error:
                assert "max.message.bytes" in str(error)  # noqa: PT017 - the loop ends here, or the time-out says so
                return taken
            taken += 1
            await asyncio.sleep(0.05)


async def attempt(producer: KafkaProducer, value: bytes) -> bool:
    try:
        await producer.send(0, [value])
    except QueueUnavailableError:
        return False
    return True


async def test_a_record_that_the_topic_does_not_take_is_fatal_and_the_producer_lives_on(
    url: str, producer: KafkaProducer, consumer: KafkaConsumer
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://").partition("/")[0])
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "t", {"max.message.bytes": "1000"})])
    await admin.close()
    taken = await sent_until_refused(producer)
    assert await producer.send(0, [b"small"]) == taken
    assert await read(consumer, 0, taken + 1) == [PACK] * taken + [b"small"]


async def test_a_send_given_up_is_never_repeated_behind_the_callers_back(
    own_broker: kafka.Broker, producer: KafkaProducer, consumer: KafkaConsumer
) -> None:
    await producer.send(0, [b"a"])
    await asyncio.to_thread(own_broker.kill)
    with pytest.raises(QueueUnavailableError):
        await producer.send(0, [b"failed"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await producer.send(0, [b"cancelled"])
    own_broker.start()
    await asyncio.to_thread(own_broker.wait)
    for value in (b"b", b"c", b"d"):
        await persist(producer, 0, value)
    assert await read(consumer, 0, (await consumer.ends())[0]) == [b"a", b"b", b"c", b"d"]


async def test_a_cancelled_send_that_was_on_its_way_keeps_the_order(
    own_broker: kafka.Broker, producer: KafkaProducer, consumer: KafkaConsumer
) -> None:
    await producer.send(0, [b"a"])
    own_broker.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await producer.send(0, [b"b"])
    own_broker.resume()
    for value in (b"b", b"c", b"d"):
        await persist(producer, 0, value)
    end = (await consumer.ends())[0]
    values = await read(consumer, 0, end)
    assert list(dict.fromkeys(values)) == [b"a", b"b", b"c", b"d"]
    assert len(values) <= 5  # `b` may be there twice: it was on its way when it was cancelled


async def test_a_consumer_says_that_nobody_answers_and_goes_on_after(
    own_broker: kafka.Broker, producer: KafkaProducer, consumer: KafkaConsumer
) -> None:
    await producer.send(0, [b"a"])
    assert await read(consumer, 0, 1) == [b"a"]
    await asyncio.to_thread(own_broker.kill)
    consumer._identify_at = 0.0
    with pytest.raises(QueueUnavailableError):
        await consumer.fetch({0: 1}, max_bytes=1000, wait_seconds=0.1)
    with pytest.raises(QueueUnavailableError):
        async with asyncio.timeout(30):
            await consumer.ends()
    with pytest.raises(QueueUnavailableError):
        await consumer.check()
    own_broker.start()
    await asyncio.to_thread(own_broker.wait)
    await persist(producer, 0, b"b")
    assert await read(consumer, 0, 1, start=1) == [b"b"]


async def test_records_deleted_under_a_waiting_reader_are_out_of_range(
    url: str, producer: KafkaProducer, consumer: KafkaConsumer
) -> None:
    for number in range(4):
        await producer.send(0, [b"%d" % number])
    assert [r.offset for r in await consumer.fetch({0: 0}, max_bytes=1, wait_seconds=5)] == [0]
    consumer._buffers.clear()  # as if they had not been fetched ahead
    consumer._next.clear()
    admin = AIOKafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://").partition("/")[0])
    await admin.start()
    from aiokafka.admin.records_to_delete import RecordsToDelete  # noqa: PLC0415 - only here

    await admin.delete_records({TopicPartition("t", 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await consumer.fetch({0: 1}, max_bytes=1000, wait_seconds=5)
    assert (caught.value.offset, caught.value.start, caught.value.end) == (1, 3, 4)
    # The position was fine when it was sought, and is not any more.
    consumer._client.seek(TopicPartition("t", 0), 1)
    consumer._next[0] = 1
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await consumer.fetch({0: 1}, max_bytes=1000, wait_seconds=5)
    assert (caught.value.offset, caught.value.start, caught.value.end) == (1, 3, 4)
    assert await read(consumer, 0, 1, start=3) == [b"3"]
