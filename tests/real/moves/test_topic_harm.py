"""A topic whose retention passed the logger, and one made anew under running services: nothing goes silently."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from demo import kafka
from demo.stack import wait_until
from pipeline.queue import open_consumer

pytestmark = [pytest.mark.real, pytest.mark.slow]

PARTITIONS = 3
WRITERS = range(4)


@pytest.fixture
def strict_broker(kafka_tools: None, tmp_path: Path) -> Iterator[kafka.Broker]:
    """A broker that looks after retention all the time."""
    quick = {"log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "500"}
    broker = kafka.one_broker(tmp_path / "kafka", settings=quick)
    try:
        broker.format()
        broker.start()
        broker.wait()
        yield broker
    finally:
        broker.remove()


@pytest.fixture
def url(strict_broker: kafka.Broker) -> str:
    return f"kafka://{strict_broker.server}/logs?create=1&partitions={PARTITIONS}&replication=1&min_insync=1"


@asynccontextmanager
async def administering(broker: kafka.Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for what an administrator does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.server)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def keep_for(broker: kafka.Broker, milliseconds: int) -> None:
    """Set the topic's retention."""

    async def alter() -> None:
        async with administering(broker) as admin:
            wanted = {"retention.ms": str(milliseconds)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "logs", wanted)])

    asyncio.run(alter())


def offsets(url: str) -> tuple[dict[int, int], dict[int, int]]:
    """Where the topic's partitions begin and end."""

    async def ask() -> tuple[dict[int, int], dict[int, int]]:
        consumer = await open_consumer(url, group="test")
        try:
            return await consumer.starts(), await consumer.ends()
        finally:
            await consumer.close()

    return asyncio.run(ask())


def replace_topic(broker: kafka.Broker) -> None:
    """Delete the topic and make it anew at once."""

    async def until_done(act: Callable[[], Awaitable[Any]]) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await act()
                except KafkaError:
                    answer = None
                if answer is not None and all(error[1] == 0 for error in answer.topic_errors):
                    return
                await asyncio.sleep(0.05)

    async def replace() -> None:
        async with administering(broker) as admin:
            await admin.delete_topics(["logs"])
            await until_done(lambda: admin.create_topics([NewTopic("logs", PARTITIONS, 1)]))

    asyncio.run(replace())


def write(move: Any, lines: int) -> None:
    """Write lines of all writers, and wait until the agent has read them and the queue has them."""
    for writer in WRITERS:
        move.writers.write(writer, lines)
    size = sum(path.stat().st_size for path in move.stack.pod_logs.rglob("*.log"))
    move.wait_metric("agent", "fluentd_read_bytes_total", lambda read: read == size)
    move.wait_metric("agent", "fluentd_inflight_bytes", lambda inflight: inflight == 0)


def test_a_logger_that_retention_has_passed_stops_says_so_and_goes_on_when_an_operator_skips(
    quiet_move: Any, strict_broker: kafka.Broker, url: str
) -> None:
    move = quiet_move
    move.start(url, "agent", "logger")
    write(move, 30)
    move.wait_rows(120)
    move.stop("logger")
    write(move, 20)
    _, ends = offsets(url)
    keep_for(strict_broker, 1000)
    wait_until(
        lambda: all(start >= ends[shard] for shard, start in offsets(url)[0].items()),
        seconds=90,
        what="retention",
        every_seconds=0.5,
    )
    keep_for(strict_broker, 86_400_000)
    write(move, 10)
    move.start(url, "logger", ready=False)
    move.wait_metric("logger", "logger_blocked_records", lambda blocked: blocked > 0)
    wait_until(lambda: len(blocked_shards(move)) == PARTITIONS, seconds=60, what="all shards wait", every_seconds=0.2)
    assert move.rows() == 120
    blocked = move.stack.metric("logger", "logger_blocked_records")
    first, *rest = sorted(blocked_shards(move))
    told = [move.command("skip", "--shard", str(first), url=url)[1]]
    wait_until(lambda: blocked_shards(move) == set(rest), seconds=60, what="one shard goes on", every_seconds=0.2)
    told += [move.command("skip", *(f"--shard={shard}" for shard in rest), url=url)[1]]
    move.stack.wait_ready("logger", seconds=60)
    lost = sum(int(count) for count in re.findall(r"shard \d+: (\d+) records are lost", "".join(told)))
    assert lost == blocked == move.stack.metric("logger", "logger_lost_records_total") > 0
    move.wait_rows(160)
    listed, _ = move.command("gaps", url=url)
    assert move.gap_lines(listed) == [(writer, number) for writer in WRITERS for number in range(30, 50)]
    move.command("accept-gap", *[row[0] for row in listed], url=url)
    wait_until(lambda: bool(move.complete_up_to()), seconds=60, what="completeness", every_seconds=0.2)
    move.stop("agent", "logger")
    assert move.lost_lines() == move.gap_lines(listed)


def blocked_shards(move: Any) -> set[int]:
    """The shards that readiness names."""
    problems = json.loads(move.stack.get("logger", "/readyz").body or b"{}").get("problems", {})
    said = problems.get("shards", "")
    return {int(shard) for shard in re.findall(r"partition (\d+): offset", said)} if "skip" in said else set()


def test_a_topic_that_is_made_anew_ends_the_services_and_what_is_lost_is_counted(
    quiet_move: Any, strict_broker: kafka.Broker, url: str
) -> None:
    move = quiet_move
    move.start(url, "agent", "logger")
    write(move, 30)
    move.wait_rows(120)
    move.stack.processes["logger"].send(signal.SIGSTOP)
    write(move, 20)
    replace_topic(strict_broker)
    for writer in WRITERS[2:]:
        move.writers.write(writer, 10)
    move.stack.processes["logger"].send(signal.SIGCONT)
    for name in ("agent", "logger"):
        assert move.stack.processes[name].wait(90).status == 1
        assert "the topic was deleted" in move.stack.processes[name].last_words()
    move.start(url, "agent", "logger")
    for writer in WRITERS[2:]:
        move.writers.write(writer, 10)
    move.wait_rows(160)
    move.wait_metric("logger", "logger_open_gaps", lambda gaps: gaps == len(WRITERS))
    listed, _ = move.command("gaps", url=url)
    assert move.gap_lines(listed) == [(writer, number) for writer in WRITERS for number in range(30, 50)]
    assert move.complete_up_to() == ""
    move.command("accept-gap", *[row[0] for row in listed], url=url)
    wait_until(lambda: bool(move.complete_up_to()), seconds=60, what="completeness", every_seconds=0.2)
    move.stop("agent", "logger")
    assert move.lost_lines() == move.gap_lines(listed)
