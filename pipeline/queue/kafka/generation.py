"""One life of the idempotent producer.

An idempotent producer of the client library never gives a batch up: it retries until the broker takes it. So what is
to be sent again by the caller must first be known to be sent by nobody else, which only the end of the producer gives.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from pipeline.queue.kafka.login import read_login
from pipeline.queue.kafka.options import KafkaOptions
from pipeline.queue.kafka.topic import REQUEST_MS, Topic, read_topic, unavailable
from pipeline.queue.kafka.wire import TopicMetadataRequest

BATCH_BYTES: Final = 1_000_000
"""Most bytes of one request to one partition: Kafka's default `max.message.bytes` is 1,000,012."""

METADATA_MS: Final = 30_000
"""Leaders are looked up this often even if no error says that they have moved."""


class Generation:
    """An idempotent producer that can be ended at once, with everything in it."""

    def __init__(self, options: KafkaOptions, *, client_id: str) -> None:
        self._options = options
        self._producer = AIOKafkaProducer(
            bootstrap_servers=list(options.servers),
            client_id=client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_MS,
            metadata_max_age_ms=METADATA_MS,
            **read_login(options),
        )
        self._killed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(cls, options: KafkaOptions, *, client_id: str) -> Self:
        """Connect and get a producer id.

        Raises:
            SettingsError: A secret is missing.
            KafkaError: The brokers refuse, or none is there.
            TimeoutError: They do not answer.
        """
        generation = cls(options, client_id=client_id)
        try:
            async with asyncio.timeout(REQUEST_MS / 1000):
                await generation._producer.start()
        except BaseException:
            await generation.bury()
            raise
        return generation

    async def append(self, partition: int, values: Sequence[bytes]) -> int:
        """Append records in order; the caller lets only one call at a time into a partition.

        Returns:
            The offset of the first record, once all replicas in sync have all of them.

        Raises:
            QueueUnavailableError: This producer was ended meanwhile.
            KafkaError: The brokers refuse it.
        """
        offsets = [await self._deliver(partition, batch) for batch in self._batches(values)]
        return offsets[0]

    async def topic(self) -> Topic | None:
        """What a broker says of the topic now; `None` when it is gone.

        Raises:
            KafkaError: No answer.
        """
        client = self._producer.client
        response = await client.send(client.get_random_node(), TopicMetadataRequest(self._options.topic))
        return read_topic(self._options, response)

    def kill(self) -> None:
        """Send nothing more, at once. What the system has taken may still reach a broker and be appended."""
        self._producer._closed = True  # noqa: SLF001 - for the library's own check that nothing is left open
        task = self._sender_task()
        if task is not None:
            task.cancel()
        self._cut()
        if not self._killed.done():
            self._killed.set_result(None)

    async def bury(self) -> None:
        """Give back tasks and sockets, after `kill`; takes `REQUEST_MS` when a broker does not answer."""
        self.kill()
        await self._producer.client.close()
        self._release_waiters()
        task = self._sender_task()
        if task is not None:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # seen: it was killed
        self._cut()
        await self._producer.client.close()  # what a task opened since

    def _batches(self, values: Sequence[bytes]) -> Iterator[BatchBuilder]:
        """Cut `values` into batches that one request can take."""
        batch = self._producer.create_batch()
        for value in values:
            if batch.append(timestamp=None, key=None, value=value) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(timestamp=None, key=None, value=value)
        batch.close()
        yield batch

    async def _deliver(self, partition: int, batch: BatchBuilder) -> int:
        delivery = await self._producer.send_batch(batch, self._options.topic, partition=partition)
        try:
            await asyncio.wait({delivery, self._killed}, return_when=asyncio.FIRST_COMPLETED)
            if not delivery.done():
                raise unavailable(self._options, "the producer was ended by an error of another partition")
            offset: int = delivery.result().offset
        finally:
            delivery.cancel()
        if offset < 0:
            raise unavailable(self._options, "a repeated batch is known to the broker, but not its offset")
        return offset

    def _sender_task(self) -> asyncio.Task[None] | None:
        task: asyncio.Task[None] | None = self._producer._sender.sender_task  # noqa: SLF001 - what retries for ever
        return task

    def _cut(self) -> None:
        """Cut the connections: closing them would wait until a broker that hangs has taken what is buffered."""
        for connection in self._producer.client._conns.values():  # noqa: SLF001
            transport = connection._protocol._transport  # noqa: SLF001 - also of one that is being closed
            if transport is not None:
                transport.abort()

    def _release_waiters(self) -> None:
        """Let go of tasks that wait for metadata: whoever would fetch it ended with the client (aiokafka 0.14)."""
        client = self._producer.client
        if client._md_update_fut is None:  # noqa: SLF001
            client._md_update_fut = asyncio.get_running_loop().create_future()  # noqa: SLF001
        if not client._md_update_fut.done():  # noqa: SLF001
            client._md_update_fut.set_result(False)  # noqa: SLF001
