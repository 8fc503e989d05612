"""`Consumer` over an SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar

from pipeline.errors import OffsetOutOfRangeError
from pipeline.queue import Record
from pipeline.queue.sqlite.bell import Bell
from pipeline.queue.sqlite.database import Bounds, Database, bounds, key, open_database, register, translated
from pipeline.queue.sqlite.lag import Loss, read_losses
from pipeline.queue.sqlite.options import SqliteOptions, check_group

FETCH_RECORDS: Final = 10_000
"""Most records of one partition in one fetch: bytes alone would not bound the memory of many tiny ones."""

T = TypeVar("T")


class SqliteConsumer:
    """Reads records as one consumer group; see `pipeline.queue.Consumer`. One `fetch` at a time.

    Its connection belongs to one thread of its own, so that a fetch never waits behind other blocking work.
    """

    def __init__(self, database: Database, thread: ThreadPoolExecutor, *, group: str) -> None:
        self._database = database
        self._thread = thread
        self._group = group
        self._bell = Bell(database.path)
        self._first = 0
        self._closed = False

    @classmethod
    async def open(cls, options: SqliteOptions, *, group: str) -> Self:
        """Open the queue, made if it is not there, and register `group`. Raises as `database.open_database` does."""
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"queue-{check_group(group)}")
        try:
            loop = asyncio.get_running_loop()
            return cls(await loop.run_in_executor(thread, _open, options, group), thread, group=group)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    @property
    def queue_id(self) -> str:
        """See `pipeline.queue.Consumer`."""
        return self._database.queue_id

    @property
    def partitions(self) -> int:
        """See `pipeline.queue.Consumer`."""
        return self._database.partitions

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        """Read records; see `pipeline.queue.Consumer`.

        Raises:
            OffsetOutOfRangeError: A position is before the oldest record kept, or after the end.
            QueueUnavailableError: The queue does not answer; try again later.
            FatalError: The file is damaged, or was removed or replaced while open.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        wanted = dict(positions)
        while True:
            records = await self._work(lambda db: _fetch(db, wanted, max_bytes=max_bytes, first=self._first))
            if records:
                self._first = records[-1].partition + 1
                return records
            left = deadline - loop.time()
            if left <= 0:
                return []
            await self._bell.wait(left)

    async def starts(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return {part.partition: part.start for part in (await self._bounds()).values()}

    async def ends(self) -> dict[int, int]:
        """See `pipeline.queue.Consumer`."""
        return {part.partition: part.next for part in (await self._bounds()).values()}

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Store this group's positions; see `pipeline.queue.Consumer`. A power cut may undo it.

        Raises:
            OffsetOutOfRangeError: A position is after the end, or of no partition.
        """
        wanted = dict(positions)
        await self._work(lambda db: _commit(db, self._group, wanted))

    async def committed(self) -> dict[int, int]:
        """This group's positions, none before the oldest record kept: for a reader without a store of its own."""
        return await self._work(lambda db: _committed(db, self._group))

    async def lost(self) -> dict[tuple[str, int], Loss]:
        """What retention deleted unread beyond the outage budget, by (group, partition), since the queue was made."""
        return await self._work(lambda db: read_losses(db.connection))

    async def check(self) -> None:
        """Nothing: each `fetch` looks before it reads, and the open file is what was opened, wherever it is now."""

    async def close(self) -> None:
        """Finish what is under way and close the file; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._bell.close()
            await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
            self._thread.shutdown()

    async def _bounds(self) -> dict[int, Bounds]:
        return await self._work(lambda db: bounds(db.connection))

    async def _work(self, work: Callable[[Database], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translated, work)

    def _translated(self, work: Callable[[Database], T]) -> T:
        with translated(self._database.path):
            self._database.check_in_place()
            return work(self._database)


def _open(options: SqliteOptions, group: str) -> Database:
    database = open_database(options, durable=False)
    try:
        with translated(options.path), database.write() as connection:
            register(connection, group)
    except BaseException:
        database.close()
        raise
    return database


def _fetch(database: Database, positions: Mapping[int, int], *, max_bytes: int, first: int) -> list[Record]:
    """Records of one read transaction; partitions in turn, from `first` on."""
    records: list[Record] = []
    with database.read() as connection:
        parts = bounds(connection)
        for partition, offset in positions.items():
            _check_range(parts, partition, offset)
        for partition in sorted(positions, key=lambda number: (number < first, number)):
            if positions[partition] < parts[partition].next:
                max_bytes -= _read_partition(connection, partition, positions[partition], max_bytes, records)
                if max_bytes <= 0:
                    break
    return records


def _read_partition(
    connection: sqlite3.Connection, partition: int, offset: int, max_bytes: int, records: list[Record]
) -> int:
    """Add records to `records` until they are `max_bytes`; returns their bytes."""
    size = 0
    base = key(partition, 0)
    rows = connection.execute(
        "SELECT key, time_ns, value FROM records WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
        (base + offset, key(partition + 1, 0), FETCH_RECORDS),
    )
    for number, time_ns, value in rows:
        records.append(Record(partition, number - base, value, time_ns))
        size += len(value)
        if size >= max_bytes:
            break
    rows.close()
    return size


def _check_range(parts: Mapping[int, Bounds], partition: int, offset: int) -> None:
    part = parts.get(partition, Bounds(partition, 0, 0, 0, 0))
    if partition not in parts or not part.start <= offset <= part.next:
        raise OffsetOutOfRangeError(partition, offset, part.start, part.next)


def _commit(database: Database, group: str, positions: Mapping[int, int]) -> None:
    with database.write() as connection:
        parts = bounds(connection)
        for partition, position in positions.items():
            _check_range(parts, partition, max(position, parts[partition].start) if partition in parts else position)
        register(connection, group)  # one that was forgotten while it is read, or it would hold all of some partitions
        connection.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
            [(group, partition, position) for partition, position in positions.items()],
        )


def _committed(database: Database, group: str) -> dict[int, int]:
    rows = database.connection.execute(
        "SELECT partition, max(position, start) FROM positions JOIN partitions USING (partition) WHERE consumer = ?",
        (group,),
    )
    return dict(rows.fetchall())
