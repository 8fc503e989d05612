"""Races between the consumer and the client library below it, each at its exact interleaving."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from pipeline.errors import FatalError, QueueUnavailableError
from pipeline.queue import Producer
from pipeline.queue.kafka import KafkaConsumer

pytestmark = [pytest.mark.real, pytest.mark.slow]


class AQueue:
    """The fixture `a_queue`; see `conftest.OpenQueue`."""

    producer: Callable[[], Awaitable[Producer]]
    consumer: Callable[[], Awaitable[KafkaConsumer]]


async def offsets(consumer: KafkaConsumer, position: int) -> list[int]:
    """Offsets of the first records that a fetch brings."""
    for _ in range(100):
        if records := await consumer.fetch({0: position}, max_bytes=1000, wait_seconds=0.1):
            return [record.offset for record in records]
    raise AssertionError("no record came")


async def test_records_from_where_the_library_starts_by_itself_are_not_handed_over(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(0, [b"a", b"b", b"c", b"d"])
    assert await offsets(consumer, 0) == [0, 1, 2, 3]
    # As in the middle of a new assignment: it goes on from a committed position, which is not ours.
    consumer._client.seek(TopicPartition(consumer._options.topic, 0), 2)
    await producer.send(0, [b"e"])
    assert await offsets(consumer, 4) == [4]


async def test_records_taken_from_the_library_before_an_error_are_read_again(
    a_queue: AQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(0, [b"a", b"b"])
    real = consumer._client.getmany

    async def broken(*names: Any, **more: Any) -> None:
        assert await real(*names, **more)
        raise CorruptRecordException("of another partition")

    with monkeypatch.context() as patch:
        patch.setattr(consumer._client, "getmany", broken)
        with pytest.raises(QueueUnavailableError, match="CorruptRecord"):
            await consumer.fetch({0: 0}, max_bytes=1000, wait_seconds=5)
    assert await offsets(consumer, 0) == [0, 1]


async def test_a_partition_that_is_not_asked_for_is_not_fetched_ahead(a_queue: AQueue) -> None:
    producer, consumer = await a_queue.producer(), await a_queue.consumer()
    await producer.send(1, [b"other"])
    await producer.send(0, [b"a"])
    assert await offsets(consumer, 0) == [0]
    assert await consumer.fetch({0: 1}, max_bytes=1000, wait_seconds=0.5) == []
    assert TopicPartition(consumer._options.topic, 1) not in consumer._client._fetcher._records


async def test_added_partitions_end_the_reader_so_that_a_new_one_sees_them(a_queue: AQueue) -> None:
    consumer = await a_queue.consumer()
    consumer._identify_at = 0.0
    object.__setattr__(consumer._topic, "partitions", 3)  # as if one of the four had been added since
    with pytest.raises(FatalError, match="partitions were added"):
        await consumer.fetch({0: 0}, max_bytes=1000, wait_seconds=0)
