"""Records in: many sends in one transaction."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.queue.sqlite.database import bounds, key


@dataclass(frozen=True, slots=True)
class Append:
    """One send: records for one partition, in order."""

    partition: int
    values: Sequence[bytes]


def append(connection: sqlite3.Connection, appends: Sequence[Append], *, now_ns: int) -> list[int]:
    """Insert the records of all `appends`, inside the caller's transaction.

    Returns:
        The first record's offset, for each of `appends`.
    """
    touched = {one.partition for one in appends}
    ends = {
        row.partition: (row.next, row.next_bytes) for row in bounds(connection).values() if row.partition in touched
    }
    firsts: list[int] = []
    rows: list[tuple[int, int, int, bytes]] = []
    for one in appends:
        offset, total = ends[one.partition]
        firsts.append(offset)
        for value in one.values:
            total += len(value)
            rows.append((key(one.partition, offset), now_ns, total, value))
            offset += 1
        ends[one.partition] = offset, total
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
    connection.executemany(
        "UPDATE partitions SET next = ?, next_bytes = ? WHERE partition = ?",
        [(offset, total, partition) for partition, (offset, total) in ends.items()],
    )
    return firsts
