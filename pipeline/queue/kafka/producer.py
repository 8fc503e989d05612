"""`Producer` over a Kafka topic."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import structlog
from aiokafka.errors import KafkaError

from pipeline.limits import PACK_BYTES
from pipeline.queue.kafka.failures import translate, translated
from pipeline.queue.kafka.generation import Generation
from pipeline.queue.kafka.login import warn_of_open_password
from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.kafka.topic import Topic, open_topic, replaced, unavailable

log = structlog.get_logger()

BATCHES_IN_FLIGHT: Final = 32
"""Batches, of at most 1 MB each, that wait for brokers at once: this bounds the memory while they are away."""

IDENTITY_SECONDS: Final = 10.0
"""How often a producer in use looks whether the topic is still the one that it was opened on."""

IDENTIFY_SECONDS: Final = 2.0
"""How long this may hold up a send: one broker of several may hang."""


@dataclass(slots=True)
class _Lane:
    """The way into one partition: one batch at a time, in the order of the calls.

    Attributes:
        lock: Held by the send under way.
        failures: Counts failed sends. Whoever waited behind one fails with it, so that nothing later is appended before
            the caller sends again what was lost.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: int = 0


class KafkaProducer:
    """Appends records; see `pipeline.queue.Producer`. At least once.

    After an error the producer of the client library is ended and another one is made, since the old one would go on
    retrying what the caller sends again. Sends to other partitions under way at that moment fail too.
    """

    def __init__(self, options: KafkaOptions, topic: Topic, *, client_id: str) -> None:
        self._options = options
        self._topic = topic
        self._client_id = client_id
        self._lanes = [_Lane() for _ in range(topic.partitions)]
        self._slots = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self._opening = asyncio.Lock()
        self._generation: Generation | None = None
        self._killed: list[Generation] = []
        self._failed_starts = 0
        self._identify_at = 0.0
        self._closed = False

    @classmethod
    async def open(cls, options: KafkaOptions, *, client_id: str = "deis-telemetry-producer") -> Self:
        """Find, make or check the topic, and log in. Raises as `topic.open_topic` does."""
        warn_of_open_password(options)
        producer = cls(options, await open_topic(options, check=True), client_id=client_id)
        await producer._current()
        return producer

    @property
    def queue_id(self) -> str:
        """See `pipeline.queue.Producer`."""
        return self._topic.queue_id

    @property
    def partitions(self) -> int:
        """See `pipeline.queue.Producer`."""
        return self._topic.partitions

    async def send(self, partition: int, values: Sequence[bytes]) -> int:
        """Append records; see `pipeline.queue.Producer`. Several values become one request, if they fit.

        Raises:
            QueueUnavailableError: Not all are known to be durable after `send_seconds`, or an earlier send to this
                partition failed, or the producer is closed.
            FatalError: The access rules do not allow it, or the topic was deleted.
            ValueError: No such partition, no records, or one over `PACK_BYTES`.
        """
        self._check(partition, values)
        if self._closed:
            raise unavailable(self._options, "this producer is closed")
        lane = self._lanes[partition]
        failures = lane.failures
        try:
            async with lane.lock:
                if lane.failures == failures:
                    async with self._slots:
                        return await self._append(partition, values)
        except BaseException:
            lane.failures += 1
            raise
        lane.failures += 1
        raise unavailable(self._options, f"an earlier send to partition {partition} failed")

    async def close(self) -> None:
        """Finish what is under way, and give back sockets; a second call does nothing."""
        self._closed = True
        for lane in self._lanes:
            async with lane.lock:
                pass
        async with self._opening:
            self._drop(self._generation)
            await self._bury()

    def _check(self, partition: int, values: Sequence[bytes]) -> None:
        if not 0 <= partition < self.partitions or not values:
            raise ValueError(f"partition {partition} of {self.partitions}, {len(values)} records")
        largest = max(len(value) for value in values)
        if largest > PACK_BYTES:
            raise ValueError(f"a record of {largest} bytes is over the limit of {PACK_BYTES}")

    async def _append(self, partition: int, values: Sequence[bytes]) -> int:
        generation = await self._current()
        try:
            async with asyncio.timeout(self._options.send_seconds):
                return await generation.append(partition, values)
        except BaseException as error:
            # Also when cancelled: the batch would be retried for ever, and may be appended after what is sent next.
            self._drop(generation)
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise translate(error, f"{self._options}: sending to partition {partition}") from error
            raise

    async def _current(self) -> Generation:
        """The producer of the client library, made if there is none; looks at the topic's identity now and then."""
        failed = self._failed_starts
        async with self._opening:
            if self._failed_starts != failed:
                # Each try may take as long as a connection does; all who waited for this one share its outcome.
                raise unavailable(self._options, "connecting anew has just failed")
            await self._bury()
            if self._generation is None:
                try:
                    self._generation = await self._start()
                except BaseException:
                    self._failed_starts += 1
                    raise
            elif asyncio.get_running_loop().time() >= self._identify_at:
                await self._identify(self._generation)
            return self._generation

    async def _start(self) -> Generation:
        topic = await open_topic(self._options, check=False)
        if topic.queue_id != self._topic.queue_id:
            raise replaced(self._options, was=self._topic.queue_id, now=topic.queue_id)
        with translated(f"{self._options}: starting a producer"):
            generation = await Generation.start(self._options, client_id=self._client_id)
        self._identify_at = asyncio.get_running_loop().time() + IDENTITY_SECONDS
        return generation

    async def _identify(self, generation: Generation) -> None:
        self._identify_at = asyncio.get_running_loop().time() + IDENTITY_SECONDS
        try:
            async with asyncio.timeout(IDENTIFY_SECONDS):
                topic = await generation.topic()
        except (KafkaError, TimeoutError):
            return  # if no broker answers, the send that follows says so
        now = "" if topic is None else topic.queue_id
        if now != self._topic.queue_id:
            self._drop(generation)
            raise replaced(self._options, was=self._topic.queue_id, now=now)

    def _drop(self, generation: Generation | None) -> None:
        if generation is not None and generation is self._generation:
            generation.kill()
            self._killed.append(generation)
            self._generation = None
            if not self._closed:
                log.warning("queue producer ended after an error", queue=str(self._options))

    async def _bury(self) -> None:
        while self._killed:
            await self._killed[-1].bury()
            self._killed.pop()
