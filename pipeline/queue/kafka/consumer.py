"""`Consumer` over a Kafka topic."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.errors import OffsetOutOfRangeError as KafkaOutOfRangeError

from pipeline.errors import FatalError, OffsetOutOfRangeError
from pipeline.limits import MIB
from pipeline.queue import Record
from pipeline.queue.kafka.failures import translate, translated
from pipeline.queue.kafka.generation import METADATA_MS
from pipeline.queue.kafka.login import read_login
from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.kafka.topic import REQUEST_MS, Topic, open_topic, read_topic, replaced, unavailable
from pipeline.queue.kafka.wire import TopicMetadataRequest

FETCH_BYTES: Final = 8 * MIB
"""Most bytes of one answer of one broker. Two of them may be in memory: one being read, one fetched ahead."""

PARTITION_BYTES: Final = 2 * MIB
"""Most bytes of one partition in such an answer, so that a loud one leaves room for others."""

LONG_POLL_MS: Final = 250
"""A broker without new records answers after this long. It delays only a partition just sought."""

IDENTITY_SECONDS: Final = 10.0
"""How often a consumer in use looks whether the topic is still the one that it was opened on, and anybody answers."""

CLOSE_SECONDS: Final = 5.0
"""Closing is given up after this long: the library may wait for a broker that is away, and a service is to end."""

ASK_SECONDS: Final = 3.0
"""How long one broker may take to answer that, before the next is asked."""


class KafkaConsumer:
    """Reads records from positions that the caller keeps; see `pipeline.queue.Consumer`. One `fetch` at a time.

    All partitions are assigned; those not asked for are paused. What the client library hands over and `max_bytes` cuts
    off waits in a buffer for the next call. Positions in Kafka are for tools that show lag, and never read to go on.
    """

    def __init__(self, options: KafkaOptions, topic: Topic, client: AIOKafkaConsumer) -> None:
        self._options = options
        self._topic = topic
        self._client = client
        self._names = [TopicPartition(options.topic, partition) for partition in range(topic.partitions)]
        self._owned: frozenset[int] = frozenset()
        self._active: set[int] = set()
        self._next: dict[int, int] = {}  # what the library hands over next, where that is known
        self._buffers: dict[int, deque[Record]] = {}
        self._first = 0
        self._identify_at = asyncio.get_running_loop().time() + IDENTITY_SECONDS
        self._closed = False

    @classmethod
    async def open(cls, options: KafkaOptions, *, group: str, client_id: str = "deis-telemetry-consumer") -> Self:
        """Find, make or check the topic, and log in. Raises as `topic.open_topic` does."""
        topic = await open_topic(options, check=True)
        client = make_client(options, group=group, client_id=client_id)
        await start_client(client, options)
        consumer = cls(options, topic, client)
        client.assign(consumer._names)
        consumer._own(range(topic.partitions))
        return consumer

    @property
    def queue_id(self) -> str:
        """See `pipeline.queue.Consumer`."""
        return self._topic.queue_id

    @property
    def partitions(self) -> int:
        """See `pipeline.queue.Consumer`."""
        return self._topic.partitions

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        """Read records; see `pipeline.queue.Consumer`.

        Raises:
            OffsetOutOfRangeError: A position is before the oldest record kept, or after the end.
            QueueUnavailableError: The queue does not answer; try again later.
            FatalError: The access rules do not allow it, or the topic was deleted.
        """
        await self._identify()
        self._check(positions)
        with translated(f"{self._options}: fetching"):
            wanted = {partition: offset for partition, offset in positions.items() if partition in self._owned}
            behind = await self._seek(wanted)
            self._activate(wanted)
            records = self._take(max_bytes)
            if not records:
                if not behind and wait_seconds <= 0:
                    # A caller that does not wait wants to know: whether anything is there is worth a question.
                    ends = await self._offsets(wanted, end=True)
                    behind = any(wanted[partition] < ends[partition] for partition in wanted)
                await self._fill(wanted, REQUEST_MS / 1000 if behind else wait_seconds)
                records = self._take(max_bytes)
            return records

    async def starts(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return await self._offsets(range(self.partitions), end=False)

    async def ends(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return await self._offsets(range(self.partitions), end=True)

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Store this group's positions, for tools that show lag; see `pipeline.queue.Consumer`.

        Raises:
            OffsetOutOfRangeError: A position is after the end, or of no partition.
            QueueUnavailableError: The queue does not answer, or the group is being rebalanced.
        """
        self._check(positions)
        mine = {partition: position for partition, position in positions.items() if partition in self._owned}
        ends = await self._offsets(mine, end=True)
        for partition, position in mine.items():
            if position > ends[partition]:
                raise OffsetOutOfRangeError(partition, position, 0, ends[partition])
        if mine:
            with translated(f"{self._options}: committing positions"):
                async with asyncio.timeout(REQUEST_MS / 1000):
                    await self._client.commit({self._names[partition]: mine[partition] for partition in mine})

    async def committed(self) -> dict[int, int]:
        """This group's positions, none before the oldest record kept: for a reader without a store of its own."""
        found = await self.starts()
        with translated(f"{self._options}: reading committed positions"):
            async with asyncio.timeout(REQUEST_MS / 1000):
                for partition, name in enumerate(self._names):
                    position = await self._client.committed(name)
                    if position is not None:
                        found[partition] = max(position, found[partition])
        return found

    async def check(self) -> None:
        """See `pipeline.queue.Consumer`; takes `ASK_SECONDS` at most."""
        self._identify_at = 0.0
        with translated(f"{self._options}: looking for the topic"):
            async with asyncio.timeout(ASK_SECONDS):
                await self._identify()

    async def close(self) -> None:
        """Give back sockets; a second call does nothing."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client.stop()

    def _own(self, partitions: Iterable[int]) -> None:
        """Take over a new set of partitions: all paused, none with a position, nothing buffered."""
        self._owned = frozenset(partitions) & frozenset(range(self.partitions))
        self._active.clear()
        self._forget()
        for partition in self._owned:
            # Without a position the library would ask for the committed one.
            self._client.seek(self._names[partition], 0)
            self._client.pause(self._names[partition])

    def _forget(self) -> None:
        """Seek anew before the next record."""
        self._next.clear()
        self._buffers.clear()

    def _check(self, positions: Mapping[int, int]) -> None:
        for partition, offset in positions.items():
            if not 0 <= partition < self.partitions:
                raise OffsetOutOfRangeError(partition, offset, 0, 0)

    async def _seek(self, wanted: Mapping[int, int]) -> bool:
        """Set positions where they differ; returns whether records are there to be read from one of them."""
        moved = [partition for partition, offset in wanted.items() if self._position(partition) != offset]
        if not moved:
            return False
        starts, ends = await self._offsets(moved, end=False), await self._offsets(moved, end=True)
        for partition in moved:
            offset = wanted[partition]
            if not starts[partition] <= offset <= ends[partition]:
                raise OffsetOutOfRangeError(partition, offset, starts[partition], ends[partition])
            if partition in self._owned:  # it may have been taken away meanwhile
                self._buffers.pop(partition, None)
                self._client.seek(self._names[partition], offset)
                self._next[partition] = offset
        return any(wanted[partition] < ends[partition] for partition in moved)

    def _position(self, partition: int) -> int | None:
        buffer = self._buffers.get(partition)
        return buffer[0].offset if buffer else self._next.get(partition)

    def _activate(self, wanted: Mapping[int, int]) -> None:
        """Resume what is wanted and has its position, pause the rest."""
        ready = {partition for partition in wanted if self._position(partition) == wanted[partition]}
        if ready != self._active:
            self._client.pause(*(self._names[partition] for partition in self._active - ready))
            self._client.resume(*(self._names[partition] for partition in ready - self._active))
            self._active = ready

    def _take(self, max_bytes: int) -> list[Record]:
        """Records from the buffers, partitions in turn from where the last call stopped."""
        records: list[Record] = []
        for partition in sorted(self._active, key=lambda number: (number < self._first, number)):
            buffer = self._buffers.get(partition)
            while buffer and max_bytes > 0:
                record = buffer.popleft()
                max_bytes -= len(record.value)
                records.append(record)
        if records:
            self._first = records[-1].partition + 1
        return records

    async def _fill(self, wanted: Mapping[int, int], seconds: float) -> None:
        """Wait for records of the active partitions and put them into the buffers."""
        names = [self._names[partition] for partition in self._active]
        try:
            # A rebalance makes the library wait for its end, whatever the time given.
            async with asyncio.timeout(seconds + 1):
                found = await self._client.getmany(*names, timeout_ms=int(seconds * 1000))
        except TimeoutError:
            return
        except BaseException as error:
            self._forget()  # what the library had handed over before the error is lost to us
            if isinstance(error, KafkaOutOfRangeError):
                await self._explain(wanted)
            raise
        for name, records in found.items():
            self._keep(name.partition, records)

    def _keep(self, partition: int, records: list[Any]) -> None:
        if partition not in self._active:
            return
        if records[0].offset != self._next.get(partition):
            # In the middle of a new assignment the library starts where the group had committed.
            self._next.pop(partition, None)
            return
        self._buffers.setdefault(partition, deque()).extend(
            Record(partition, record.offset, record.value or b"", record.timestamp * 1_000_000) for record in records
        )
        self._next[partition] = records[-1].offset + 1

    async def _explain(self, wanted: Mapping[int, int]) -> None:
        """Raise for the position that is out of range; nothing when none is any more, and trying again will do."""
        starts, ends = await self._offsets(wanted, end=False), await self._offsets(wanted, end=True)
        for partition, offset in wanted.items():
            if not starts[partition] <= offset <= ends[partition]:
                raise OffsetOutOfRangeError(partition, offset, starts[partition], ends[partition])

    async def _offsets(self, partitions: Iterable[int], *, end: bool) -> dict[int, int]:
        names = [self._names[partition] for partition in partitions]
        if not names:
            return {}
        if self._closed:
            raise unavailable(self._options, "this consumer is closed")
        with translated(f"{self._options}: asking for offsets"):
            found = await (self._client.end_offsets(names) if end else self._client.beginning_offsets(names))
        return {name.partition: offset for name, offset in found.items()}

    async def _identify(self) -> None:
        """Look now and then whether the queue answers and is still the same."""
        now = asyncio.get_running_loop().time()
        if self._closed:
            raise unavailable(self._options, "this consumer is closed")
        if now < self._identify_at:
            return
        with translated(f"{self._options}: looking for the topic"):
            topic = await _ask(self._client, self._options)
        if topic is None or topic.queue_id != self._topic.queue_id:
            raise replaced(self._options, was=self._topic.queue_id, now="" if topic is None else topic.queue_id)
        if topic.partitions != self.partitions:
            raise FatalError(
                f"{self._options}: partitions were added, start anew: {self.partitions} -> {topic.partitions}"
            )
        self._identify_at = asyncio.get_running_loop().time() + IDENTITY_SECONDS


def make_client(options: KafkaOptions, *, group: str, client_id: str, **more: Any) -> AIOKafkaConsumer:
    """The consumer of the client library as this project uses it; `more` are further arguments for it.

    Raises:
        SettingsError: A secret is missing.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=list(options.servers),
        client_id=client_id,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_BYTES,
        fetch_max_wait_ms=LONG_POLL_MS,
        request_timeout_ms=REQUEST_MS,
        metadata_max_age_ms=METADATA_MS,
        **read_login(options),
        **more,
    )


async def start_client(client: AIOKafkaConsumer, options: KafkaOptions) -> None:
    """Connect.

    Raises:
        QueueUnavailableError: No broker answers.
        FatalError: They refuse.
    """
    try:
        async with asyncio.timeout(REQUEST_MS / 1000):
            await client.start()
    except BaseException as error:
        await client.stop()
        if isinstance(error, KafkaError | OSError):
            raise translate(error, f"{options}: starting a consumer") from error
        raise


async def _ask(client: AIOKafkaConsumer, options: KafkaOptions) -> Topic | None:
    """What a broker says of the topic now; `None` when it is gone.

    Raises:
        KafkaError: No broker answers.
    """
    low = client._client  # noqa: SLF001 - it keeps the connections; another client would need others
    failure: KafkaError | TimeoutError | None = None
    for broker in low.cluster.brokers():
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return read_topic(options, await low.send(broker.nodeId, TopicMetadataRequest(options.topic)))
        except (KafkaError, TimeoutError) as error:
            failure = error
    raise failure or KafkaError("no broker is known")
