"""The queue between the services: records of bytes, by partition and offset. It is the write-ahead log of the pipeline.

`sqlite` implements it for one machine. Whatever implements it passes `tests/pipeline/test_queue_contract.py`. Offsets
grow by one within a partition, from 0. A record is in the queue, durably, when `Producer.send` returns.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from prometheus_client.registry import Collector


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

    async def close(self) -> None:
        """Give back files and sockets."""


async def open_producer(url: str) -> Producer:
    """Open the queue that `url` names for appending; a local queue is made if it is not there.

    Args:
        url: `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`, with options as query parameters
            (see `pipeline.queue.sqlite`).

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range.
        QueueUnavailableError: The queue does not answer.
    """
    from pipeline.queue.sqlite import SqliteProducer, parse_url  # noqa: PLC0415 - only the kind in use is imported

    return await SqliteProducer.open(parse_url(url))


async def open_consumer(url: str, *, group: str) -> Consumer:
    """Open the queue that `url` names for reading as the consumer group `group`.

    A group is registered by its first open: records that a registered group has not committed are kept, within the
    queue's outage budget.

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range.
        QueueUnavailableError: The queue does not answer.
    """
    from pipeline.queue.sqlite import SqliteConsumer, parse_url  # noqa: PLC0415 - only the kind in use is imported

    return await SqliteConsumer.open(parse_url(url), group=group)


def queue_collector(url: str) -> Collector:
    """Metrics of the queue that `url` names, read at each scrape: lag by group and partition, losses, budget used.

    Raises:
        SettingsError: The URL is of no known kind, or an option is out of its range.
    """
    from pipeline.queue.sqlite import QueueCollector, parse_url  # noqa: PLC0415 - only the kind in use is imported

    return QueueCollector(parse_url(url))
