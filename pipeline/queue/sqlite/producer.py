"""`Producer` over an SQLite file."""

import asyncio
from collections.abc import Sequence
from typing import Final, Self

from pipeline.errors import QueueUnavailableError
from pipeline.limits import PACK_DECODED_BYTES
from pipeline.queue.sqlite.append import Append
from pipeline.queue.sqlite.database import Database, open_database
from pipeline.queue.sqlite.options import SqliteOptions
from pipeline.queue.sqlite.writer import Pending, Writer

SENDS_AT_ONCE: Final = 64
"""Sends that wait for the disk at once; further ones wait for them, which bounds the memory."""


class SqliteProducer:
    """Appends records; see `pipeline.queue.Producer`. At least once."""

    def __init__(self, database: Database, options: SqliteOptions) -> None:
        self._queue_id = database.queue_id
        self._partitions = database.partitions
        self._slots = asyncio.Semaphore(SENDS_AT_ONCE)
        self._closed = False
        self._writer = Writer(database, options, asyncio.get_running_loop())
        self._writer.start()

    @classmethod
    async def open(cls, options: SqliteOptions) -> Self:
        """Open the queue, making it if it is not there. Raises as `database.open_database` does."""
        return cls(await asyncio.to_thread(open_database, options, durable=True), options)

    @property
    def queue_id(self) -> str:
        """See `pipeline.queue.Producer`."""
        return self._queue_id

    @property
    def partitions(self) -> int:
        """See `pipeline.queue.Producer`."""
        return self._partitions

    async def send(self, partition: int, values: Sequence[bytes]) -> int:
        """Append records; see `pipeline.queue.Producer`.

        Raises:
            QueueUnavailableError: Not all are known to be durable, or the producer is closed.
            FatalError: The file is damaged, or was removed or replaced while open.
            ValueError: No such partition, no records, or one over `PACK_DECODED_BYTES`.
        """
        if not 0 <= partition < self._partitions or not values:
            raise ValueError(f"partition {partition} of {self._partitions}, {len(values)} records")
        sizes = [len(value) for value in values]
        if max(sizes) > PACK_DECODED_BYTES:
            raise ValueError(f"a record of {max(sizes)} bytes is over the limit of {PACK_DECODED_BYTES}")
        async with self._slots:
            if self._closed:
                raise QueueUnavailableError("this producer is closed")
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._writer.put(Pending(Append(partition, values), sum(sizes), future))
            return await future

    async def close(self) -> None:
        """Finish what is under way and close the file; a second call does nothing."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._writer.close)
