"""The topic's identity, its making and its checking, against a real broker."""

import asyncio
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from demo import kafka
from pipeline.errors import FatalError, SettingsError
from pipeline.queue import open_consumer, open_producer

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def base(broker: kafka.Broker) -> str:
    """URL of a topic that is not there."""
    return f"kafka://{broker.server}/topic-{uuid4().hex[:12]}"


async def delete_topic(url: str) -> None:
    server, _, topic = url.removeprefix("kafka://").partition("?")[0].partition("/")
    admin = AIOKafkaAdminClient(bootstrap_servers=server)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()


async def test_a_topic_that_is_not_there_is_an_error_unless_it_may_be_made(base: str) -> None:
    for _ in range(2):  # looking for it did not make it
        with pytest.raises(SettingsError, match="create=1"):
            await open_producer(f"{base}?replication=1&min_insync=1")


async def test_a_topic_made_on_request_is_as_asked_for_and_stays(base: str) -> None:
    query = "partitions=3&replication=1&min_insync=1&retention_seconds=3600&retention_bytes=1000000"
    producer = await open_producer(f"{base}?create=1&{query}")
    consumer = await open_consumer(f"{base}?{query}", group="logger")
    assert (producer.partitions, producer.queue_id) == (3, consumer.queue_id)
    cluster, _, topic = producer.queue_id.partition(".")
    assert cluster == kafka.CLUSTER_ID
    assert len(topic) == 22
    await producer.close()
    await consumer.close()


async def test_two_who_make_the_topic_at_once_get_the_same_one(base: str) -> None:
    url = f"{base}?create=1&partitions=2&replication=1&min_insync=1"
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(open_producer(url), name=f"open {number}") for number in range(4)]
    assert len({task.result().queue_id for task in tasks}) == 1
    for task in tasks:
        await task.result().close()


async def test_everything_that_is_wrong_with_a_topic_is_named_at_once(base: str) -> None:
    made = "create=1&partitions=2&replication=1&min_insync=1&retention_seconds=3600"
    await (await open_producer(f"{base}?{made}")).close()
    wanted = f"{base}?partitions=4&retention_seconds=7200"
    for opening in (open_producer(wanted), open_consumer(wanted, group="logger")):
        with pytest.raises(SettingsError) as caught:
            await opening
        for part in ("partitions=4", "replication=3", "min_insync=2", "retention_seconds=7200"):
            assert part in str(caught.value)


async def test_a_topic_that_the_brokers_cannot_make_is_an_error(base: str) -> None:
    with pytest.raises(SettingsError, match="cannot be made"):
        await open_producer(f"{base}?create=1")  # three replicas on one broker


async def test_a_topic_made_anew_is_another_queue_and_ends_whoever_has_it_open(base: str) -> None:
    url = f"{base}?create=1&partitions=1&replication=1&min_insync=1"
    producer, consumer = await open_producer(url), await open_consumer(url, group="logger")
    await producer.send(0, [b"old"])
    await consumer.check()
    await delete_topic(url)
    async with asyncio.timeout(20):
        while (other := await open_producer(url)).queue_id == producer.queue_id:  # deletion takes a moment
            await other.close()
    assert other.queue_id != producer.queue_id
    with pytest.raises(FatalError, match="was deleted"):  # before the next look is due
        await consumer.check()
    producer._identify_at = consumer._identify_at = 0.0
    with pytest.raises(FatalError, match="was deleted"):
        await producer.send(0, [b"new"])
    with pytest.raises(FatalError, match="was deleted"):
        await consumer.fetch({0: 0}, max_bytes=1000, wait_seconds=1)
    with pytest.raises(FatalError, match="was deleted"):  # and again, without being told to look
        await producer.send(0, [b"new"])
    fresh = await open_consumer(url, group="logger")
    assert await fresh.ends() == {0: 0}
    for opened in (producer, consumer, other, fresh):
        await opened.close()
