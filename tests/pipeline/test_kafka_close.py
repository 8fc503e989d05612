"""A Kafka consumer ends although its client does not."""

import asyncio
from typing import Any

import pytest

from pipeline.queue.kafka import consumer as consumer_module
from pipeline.queue.kafka.consumer import KafkaConsumer
from pipeline.queue.kafka.options import parse_url
from pipeline.queue.kafka.topic import Topic


class Stuck:
    """A client that waits for a broker that is away."""

    stops = 0

    async def stop(self) -> None:
        self.stops += 1
        await asyncio.get_running_loop().create_future()


async def test_closing_is_given_up_after_a_while_and_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "CLOSE_SECONDS", 0.02)
    client: Any = Stuck()
    consumer = KafkaConsumer(parse_url("kafka://host:1/logs"), Topic("queue", 1, 3, led=True), client)
    async with asyncio.timeout(30):
        await consumer.close()
        await consumer.close()
    assert client.stops == 1
