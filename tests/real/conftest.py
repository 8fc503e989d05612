"""Real parts for tests: Kafka brokers, started once for each run and shared."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from demo import kafka
from pipeline.queue import Consumer, GroupConsumer, Producer, open_consumer, open_group_consumer, open_producer

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module

T = TypeVar("T")


@pytest.fixture(scope="session")
def kafka_tools() -> None:
    """Skip, with the reason, where no broker can be started."""
    if missing := kafka.missing_tools():
        pytest.skip(f"real Kafka: {missing} on this machine")


@pytest.fixture(scope="session")
def broker(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    """One broker for the whole run. A test that harms it starts one of its own: see `own_broker`."""
    one = kafka.one_broker(tmp_path_factory.mktemp("kafka") / "one")
    yield from _running([one], one)


@pytest.fixture
def own_broker(kafka_tools: None, tmp_path: Path) -> Iterator[kafka.Broker]:
    """One broker for one test, which may do to it what it likes."""
    one = kafka.one_broker(tmp_path / "own")
    yield from _running([one], one)


@pytest.fixture
def cluster(kafka_tools: None, tmp_path: Path) -> Iterator[list[kafka.Broker]]:
    """Three brokers for one test: replication 3, two in sync needed."""
    three = kafka.three_brokers(tmp_path / "three")
    yield from _running(three, three)


def _running(brokers: list[kafka.Broker], value: T) -> Iterator[T]:
    try:
        for one in brokers:
            one.format()
        for one in brokers:
            one.start()
        for one in brokers:
            one.wait()
        yield value
    finally:
        for one in brokers:
            one.remove()


class OpenQueue:
    """One topic; opens producers and consumers, and closes them at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._topic = url.partition("?")[0].rpartition("/")[2]
        self._opened: list[Producer | Consumer] = []

    async def producer(self) -> Producer:
        """Open another producer."""
        producer = await open_producer(self.url)
        self._opened.append(producer)
        return producer

    async def consumer(self, group: str = "logger") -> Consumer:
        """Open another consumer, of a group of this topic's own."""
        consumer = await open_consumer(self.url, group=f"{group}-{self._topic}")
        self._opened.append(consumer)
        return consumer

    async def member(self, name: str, *, instance: str | None = None) -> GroupConsumer:
        """Join the group of this topic."""
        group = f"loggers-{self._topic}"
        member = await open_group_consumer(self.url, group=group, client_id=name, instance=instance)
        self._opened.append(member)
        return member

    async def close(self) -> None:
        """Close everything that is open."""
        while self._opened:
            await self._opened.pop().close()


@pytest.fixture
async def a_queue(broker: kafka.Broker) -> AsyncIterator[OpenQueue]:
    """A new topic with 4 partitions, on the shared broker."""
    topic = f"t-{uuid4().hex[:12]}"
    url = f"kafka://{broker.server}/{topic}?create=1&partitions=4&replication=1&min_insync=1"
    await (await open_producer(url)).close()  # makes the topic
    opened = OpenQueue(url)
    yield opened
    await opened.close()
