"""The queue between the services: records of bytes, by partition and offset. It is the write-ahead log of the pipeline.

`sqlite` implements it for one machine. Whatever implements it passes `tests/pipeline/test_queue_contract.py`. Offsets
grow by one within a partition, from 0. A record is in the queue, durably, when `Producer.send` returns.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from prometheus_client.registry import Collector, CollectorRegistry

from pipeline.errors import SettingsError


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as a consumer gets it.

    Attributes:
        partition: Where it lies.
        offset: Its position there.
        value: The bytes that were sent.
        time_ns: When the queue took it, nanoseconds since the epoch.
    """

    partition: int
    offset: int
    value: bytes
    time_ns: int


class Producer(Protocol):
    """Appends records. At least once: a call that failed may have appended its records all the same."""

    @property
    def queue_id(self) -> str:
        """Identity of the queue's data: a new, emptied or replaced queue has another one."""

    @property
    def partitions(self) -> int:
        """How many partitions there are; fixed for the queue's life."""

    async def send(self, partition: int, values: Sequence[bytes]) -> int:
        """Append records to one partition, in order.

        Returns:
            The first record's offset, once all of them are durable.

        Raises:
            QueueUnavailableError: Not all are known to be durable; send them all again later.
        """

    async def close(self) -> None:
        """Finish what is under way, and give back files and sockets."""


class Consumer(Protocol):
    """Reads records from positions that the caller keeps."""

    @property
    def queue_id(self) -> str:
        """See `Producer.queue_id`."""

    @property
    def partitions(self) -> int:
        """See `Producer.partitions`."""

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        """Read records from `positions` on.

        Args:
            positions: Next offset to read, for each partition of interest.
            max_bytes: Stop after the record that reaches this many bytes; at least one record is returned if any is
                there. No partition starves: the call starts where the last one stopped.
            wait_seconds: How long to wait for the first record when there is none; returns as soon as one arrives.

        Returns:
            Records, ascending by offset within each partition. Empty after the wait.

        Raises:
            OffsetOutOfRangeError: A position is before the oldest record kept, or after the end.
            QueueUnavailableError: The queue does not answer; try again later.
        """

    async def starts(self) -> dict[int, int]:
        """Oldest offset kept, for each partition (equal to the end when it is empty)."""

    async def ends(self) -> dict[int, int]:
        """Offset that the next record will get, for each partition."""

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Tell the queue up to where this consumer group has no more need of records: for retention and lag only."""

    async def committed(self) -> dict[int, int]:
        """This group's positions, none before the oldest record kept: for a reader without a store of its own."""

    async def check(self) -> None:
        """Make sure that the queue is still the one that was opened: what was fetched before is of that one.

        Raises:
            FatalError: It was removed or replaced.
            QueueUnavailableError: It does not say now.
        """

    async def close(self) -> None:
        """Give back files and sockets."""


class Assignment(msgspec.Struct, frozen=True):
    """What a member of a consumer group owns.

    Attributes:
        generation: Counts this member's assignments from 1; 0 while it has none yet.
        partitions: The partitions that it owns, and nobody else in the group.
        kept: Of them, those that it owned by the assignment before, too, and nobody else in between.
    """

    generation: int
    partitions: frozenset[int]
    kept: frozenset[int] = frozenset()


class GroupConsumer(Consumer, Protocol):
    """A consumer that shares the partitions with the other members of its group.

    The caller keeps state for each partition that it owns. On a new assignment it drops the state of what is gone,
    loads that of what is new, and then, not before, names the new partitions in `fetch`: records of a partition come
    only when it is asked for, from the position that is asked for. While the group is being rebalanced `fetch` returns
    nothing and no state is dropped, since most partitions come back.

    Ownership alone keeps no other member from writing: one that was stopped still believes in its old assignment. The
    fence is the caller's.
    """

    @property
    def assignment(self) -> Assignment:
        """The newest assignment."""

    @property
    def sure_until(self) -> float:
        """Up to when nobody else owns what `assignment` says, seconds of `time.monotonic`.

        Not in the future while the group is being rebalanced, after `leave`, and when the group was not heard of for
        long: then others may own it. No record is kept from a fetch by it: see the class on fences.
        """

    async def changed(self, generation: int) -> Assignment:
        """Wait for an assignment other than that of `generation`, and return it."""

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        """See `Consumer.fetch`; positions of partitions not owned are ignored.

        Call it again and again even if nothing is owned: errors of the group (no right to join it) are raised here.
        """

    async def commit(self, positions: Mapping[int, int]) -> None:
        """See `Consumer.commit`; positions of partitions not owned are ignored."""

    async def owners(self) -> Mapping[int, str]:
        """Who owns what: partition to the `client_id` of its member. A partition that nobody owns is absent.

        Raises:
            QueueUnavailableError: The queue does not answer, or the group is being rebalanced; try again later.
        """

    async def leave(self) -> None:
        """Leave the group, so that others take over; only `ends`, `owners` and `close` may be called afterwards."""


async def open_producer(url: str) -> Producer:
    """Open the queue that `url` names for appending; a local queue is made if it is not there.

    Args:
        url: `sqlite:///relative/path.db`, `sqlite:////absolute/path.db` or `kafka://host:port,host2:port/TOPIC`, with
            options as query parameters (see `pipeline.queue.sqlite`, `pipeline.queue.kafka`).

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range, or the queue is not as it says.
        FatalError: The queue refuses this client.
        QueueUnavailableError: The queue does not answer.
    """
    # Only the kind in use is imported: the agent's memory is counted.
    if _kind(url) == "kafka":
        from pipeline.queue import kafka  # noqa: PLC0415

        return await kafka.KafkaProducer.open(kafka.parse_url(url))
    from pipeline.queue import sqlite  # noqa: PLC0415

    return await sqlite.SqliteProducer.open(sqlite.parse_url(url))


async def open_consumer(url: str, *, group: str) -> Consumer:
    """Open the queue that `url` names for reading as the consumer group `group`.

    A group is registered by its first open: records that a registered group has not committed are kept, within the
    queue's outage budget.

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range, or the queue is not as it says.
        FatalError: The queue refuses this client.
        QueueUnavailableError: The queue does not answer.
    """
    if _kind(url) == "kafka":
        from pipeline.queue import kafka  # noqa: PLC0415

        return await kafka.KafkaConsumer.open(kafka.parse_url(url), group=group)
    from pipeline.queue import sqlite  # noqa: PLC0415

    return await sqlite.SqliteConsumer.open(sqlite.parse_url(url), group=group)


async def open_group_consumer(
    url: str, *, group: str, client_id: str = "deis-telemetry", instance: str | None = None
) -> GroupConsumer:
    """Open the queue that `url` names as a member of the consumer group `group`, with a share of the partitions.

    Args:
        url: See `open_producer`. In a queue of one machine the first member owns everything.
        group: The consumer group.
        client_id: What the other members are told of this one: the URL at which it answers.
        instance: Stable name of this member, so that a short restart moves no partition.

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range, or the queue is not as it says.
        FatalError: The queue refuses this client.
        QueueUnavailableError: The queue does not answer.
    """
    if _kind(url) == "kafka":
        from pipeline.queue import kafka  # noqa: PLC0415

        options = kafka.parse_url(url)
        return await kafka.KafkaGroupConsumer.open(options, group=group, client_id=client_id, instance=instance)
    from pipeline.queue import sqlite  # noqa: PLC0415
    from pipeline.queue.sole import SoleMember, lock_group  # noqa: PLC0415

    local = sqlite.parse_url(url)
    consumer = await sqlite.SqliteConsumer.open(local, group=group)
    try:
        return SoleMember(consumer, client_id=client_id, lock=lock_group(local.path, group))
    except BaseException:
        await consumer.close()
        raise


def queue_collector(url: str) -> Collector:
    """Metrics of the queue that `url` names, read at each scrape: lag by group and partition, losses, budget used.

    A Kafka queue has none here: its brokers and its own tools tell them.

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range.
    """
    if _kind(url) == "kafka":
        from pipeline.queue import kafka  # noqa: PLC0415

        kafka.parse_url(url)
        return CollectorRegistry()
    from pipeline.queue import sqlite  # noqa: PLC0415

    return sqlite.QueueCollector(sqlite.parse_url(url))


def _kind(url: str) -> str:
    kind = url.partition(":")[0]
    if kind not in {"sqlite", "kafka"}:
        # Not repeated: a URL of another kind may hold a password.
        raise SettingsError(f"QUEUE_URL: expected sqlite:///path or kafka://host:port/TOPIC, not {kind[:20]!r}")
    return kind
