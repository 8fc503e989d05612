"""The topic: its identity, and whether it is what the URL asks for; made on request."""

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import errors as kafka
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from pipeline.errors import FatalError, PipelineError, QueueUnavailableError, SettingsError
from pipeline.limits import PACK_BYTES
from pipeline.queue.kafka.failures import translate, translated
from pipeline.queue.kafka.login import read_login
from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.kafka.wire import TopicMetadataRequest

log = structlog.get_logger()

REQUEST_MS: Final = 10_000
"""A broker that has not answered after this long is taken for gone."""

CONNECT_MS: Final = 5_000
"""The same while looking for a broker to start with."""

NEW_PARTITIONS: Final = 12
NEW_RETENTION_SECONDS: Final = 3 * 86_400

RECORD_BYTES: Final = PACK_BYTES + 1024
"""A pack with what Kafka adds to it; the topic must take records of this size."""

_TOPIC_RESOURCE: Final = 2
_VISIBLE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Topic:
    """What the brokers say of the topic.

    Attributes:
        queue_id: `<cluster id>.<topic id>`.
        partitions: How many.
        replicas: Of the partition that has fewest.
        led: Whether each partition has a leader now.
    """

    queue_id: str
    partitions: int
    replicas: int
    led: bool


async def open_topic(options: KafkaOptions, *, check: bool) -> Topic:
    """Find the topic, or make it when the URL asks for that.

    Args:
        options: What the URL says.
        check: Whether the topic must be what the URL says; not asked again by a producer that only reconnects.

    Raises:
        SettingsError: The topic is not there, or not what the URL says.
        FatalError: The login or the access rules do not allow it.
        QueueUnavailableError: No broker answers.
    """
    connection = await _connect(options)
    try:
        with translated(f"{options}: looking for the topic"):
            topic = await _find(connection, options)
            if topic is None and options.create:
                topic = await _create(connection, options)
            if topic is None:
                raise SettingsError(f"{options}: there is no such topic; make it, or add the option create=1")
            if check:
                _compare(options, topic, await _configuration(connection, options))
            return topic
    finally:
        await connection.close()


def read_topic(options: KafkaOptions, response: Any) -> Topic | None:
    """Read an answer to `TopicMetadataRequest`; `None` when there is no such topic.

    Raises:
        KafkaError: The brokers could not, or would not, say.
    """
    code, _, topic_id, _, partitions, *_ = response.topics[0]
    error = kafka.for_code(code)
    if error is kafka.UnknownTopicOrPartitionError:
        return None
    if error is not kafka.NoError:
        raise error(options.topic)
    if not response.cluster_id or not partitions:
        raise kafka.LeaderNotAvailableError(options.topic)
    text = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
    return Topic(
        queue_id=f"{response.cluster_id}.{text}",
        partitions=len(partitions),
        replicas=min(len(partition[4]) for partition in partitions),
        led=all(partition[2] >= 0 for partition in partitions),
    )


async def _connect(options: KafkaOptions) -> Any:
    """A connection to the first broker that takes one: unlike the library's own start, it tells why none does."""
    failures: list[PipelineError] = []
    login = read_login(options)
    for server in options.servers:
        host, _, port = server.rpartition(":")
        try:
            return await create_conn(host.strip("[]"), int(port), request_timeout_ms=CONNECT_MS, **login)
        except (kafka.KafkaError, OSError, TimeoutError, ValueError) as error:
            failures.append(translate(error, f"{options}: connecting to {server}"))
    raise next((failure for failure in failures if isinstance(failure, FatalError)), failures[0])


async def _find(connection: Any, options: KafkaOptions) -> Topic | None:
    return read_topic(options, await connection.send(TopicMetadataRequest(options.topic)))


async def _create(connection: Any, options: KafkaOptions) -> Topic | None:
    settings = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(options.min_insync),
        "retention.ms": str((options.retention_seconds or NEW_RETENTION_SECONDS) * 1000),
        "retention.bytes": str(options.retention_bytes or -1),
        "unclean.leader.election.enable": "false",
    }
    partitions = options.partitions or NEW_PARTITIONS
    wanted: Any = (options.topic, partitions, options.replication, [], list(settings.items()))
    response = await connection.send(CreateTopicsRequest([wanted], REQUEST_MS, validate_only=False))
    _, code, message, *_ = response.topic_errors[0]
    error = kafka.for_code(code)
    if error in (kafka.InvalidReplicationFactorError, kafka.InvalidPartitionsError, kafka.PolicyViolationError):
        raise SettingsError(f"{options}: the topic cannot be made: {message or error.__name__}")
    if error not in (kafka.NoError, kafka.TopicAlreadyExistsError):
        raise error(message or options.topic)
    if error is kafka.NoError:
        log.info("queue topic made", queue=str(options), partitions=partitions, replication=options.replication)
    return await _seen(connection, options)


async def _seen(connection: Any, options: KafkaOptions) -> Topic:
    """The new topic, once the broker asked has heard of it and all its partitions are led."""
    async with asyncio.timeout(_VISIBLE_SECONDS):
        while True:
            topic = await _find(connection, options)
            if topic is not None and topic.led:
                return topic
            await asyncio.sleep(0.1)


async def _configuration(connection: Any, options: KafkaOptions) -> dict[str, str] | None:
    """The topic's configuration; `None`, with a warning, when this user may not read it."""
    response = await connection.send(DescribeConfigsRequest([(_TOPIC_RESOURCE, options.topic, None)]))
    code, message, _, _, entries = response.resources[0]
    error = kafka.for_code(code)
    if error is kafka.TopicAuthorizationFailedError:
        log.warning("the topic's configuration is not checked: no right to DescribeConfigs", queue=str(options))
        return None
    if error is not kafka.NoError:
        raise error(message)
    return {entry[0]: entry[1] for entry in entries}


def _compare(options: KafkaOptions, topic: Topic, found: dict[str, str] | None) -> None:
    """Compare the topic with what is asked for.

    Raises:
        SettingsError: Names every difference.
    """
    problems = []
    if options.partitions not in (None, topic.partitions):
        problems.append(f"it has {topic.partitions} partitions, partitions={options.partitions}")
    if topic.replicas < options.replication:
        problems.append(f"a partition has {topic.replicas} replicas, replication={options.replication}")
    if found is not None:
        problems += _differences(options, found)
    if problems:
        raise SettingsError(f"{options}: the topic is not as the URL says: {'; '.join(problems)}")


def _differences(options: KafkaOptions, found: dict[str, str]) -> list[str]:
    fewest = {
        "min.insync.replicas": (options.min_insync, f"min_insync={options.min_insync}"),
        "max.message.bytes": (RECORD_BYTES, f"packs need {RECORD_BYTES}"),
        "retention.ms": ((options.retention_seconds or 0) * 1000, f"retention_seconds={options.retention_seconds}"),
        "retention.bytes": (options.retention_bytes or 0, f"retention_bytes={options.retention_bytes}"),
    }
    problems = [
        f"{name} is {found[name]}, {wanted}"
        for name, (least, wanted) in fewest.items()
        if name in found and 0 <= int(found[name]) < least
    ]
    if found.get("cleanup.policy", "delete") != "delete":
        problems.append(f"cleanup.policy is {found['cleanup.policy']}, which must be delete")
    if found.get("unclean.leader.election.enable") == "true":
        problems.append("unclean.leader.election.enable is true, which loses acknowledged records")
    return problems


def replaced(options: KafkaOptions, *, was: str, now: str) -> FatalError:
    """The topic was deleted, and made anew or not, while it was in use: what had been acknowledged is gone."""
    return FatalError(f"{options}: the topic was deleted: it was {was}, now it is {now or 'gone'}")


def unavailable(options: KafkaOptions, reason: str) -> QueueUnavailableError:
    """A reason to try again later."""
    return QueueUnavailableError(f"{options}: {reason}")
