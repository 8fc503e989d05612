"""Records out, in small steps: what every group has committed, and what is beyond the outage budget, counted."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.limits import MIB
from pipeline.queue.sqlite.database import Bounds, Database, bounds, key
from pipeline.queue.sqlite.options import SqliteOptions

STEP_BYTES: Final = 4 * MIB
"""Least record bytes that one step may delete; one delete of 400 MB stalled the writer for a second."""

STEP_RECORDS: Final = 256
"""Most records of one partition that one step deletes."""

SLACK_BYTES: Final = 64 * MIB
"""Free pages in the file that are kept for new records before the file is made smaller."""

NOBODY: Final = ""
"""Stands in `losses` for the consumer that never came, when no group was registered."""

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A record without its value."""

    offset: int
    time_ns: int
    end_bytes: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a partition is to start: `offset`, with `offset_bytes` counted before it."""

    offset: int
    offset_bytes: int


def step(database: Database, options: SqliteOptions, *, now_ns: int, step_bytes: int) -> bool:
    """Delete what is due, at most about `step_bytes`, and give free pages back to the file system.

    Returns:
        Whether more may be due: call again soon.
    """
    database.connection.execute("PRAGMA synchronous=NORMAL")  # a delete that a power cut undoes is done again
    try:
        with database.write() as connection:
            deleted = _delete_due(connection, options, now_ns=now_ns, step_bytes=step_bytes)
        return deleted or _shrink(database)
    finally:
        database.connection.execute("PRAGMA synchronous=FULL")


def _delete_due(connection: sqlite3.Connection, options: SqliteOptions, *, now_ns: int, step_bytes: int) -> bool:
    parts = bounds(connection)
    groups = positions(connection)
    heads = {part: _oldest(connection, parts[part]) for part in parts}
    cuts = plan(parts, groups, heads, options, now_ns=now_ns, step_bytes=step_bytes)
    for part, cut in cuts.items():
        _count_losses(connection, parts[part], groups, heads[part], cut)
        connection.execute(
            "DELETE FROM records WHERE key >= ? AND key < ?", (key(part, parts[part].start), key(part, cut.offset))
        )
        connection.execute(
            "UPDATE partitions SET start = ?, start_bytes = ? WHERE partition = ?", (cut.offset, cut.offset_bytes, part)
        )
    return bool(cuts)


def plan(
    parts: Mapping[int, Bounds],
    groups: Mapping[str, Mapping[int, int]],
    heads: Mapping[int, list[Kept]],
    options: SqliteOptions,
    *,
    now_ns: int,
    step_bytes: int,
) -> dict[int, Cut]:
    """Decide which partitions start later. Pure.

    Args:
        parts: All partitions.
        groups: Position of each registered group in each partition.
        heads: The oldest records of each partition, without a gap from its start.
        options: Gives the bounds.
        now_ns: Nanoseconds since the epoch.
        step_bytes: Stop after the record that reaches this many bytes.
    """
    read_ns, unread_ns = now_ns - options.keep_seconds * _NS, now_ns - options.max_age_seconds * _NS
    total = sum(part.next_bytes - part.start_bytes for part in parts.values())
    safe = {part: min((group.get(part, 0) for group in groups.values()), default=0) for part in parts}
    nexts = dict.fromkeys(parts, 0)
    cuts: dict[int, Cut] = {}
    freed = 0
    while freed < step_bytes:
        waiting = {part: heads[part][index] for part, index in nexts.items() if index < len(heads[part])}
        part = _victim(waiting, safe, read_ns=read_ns, unread_ns=unread_ns, over=total - freed > options.max_bytes)
        if part is None:
            break
        before = cuts[part].offset_bytes if part in cuts else parts[part].start_bytes
        cuts[part] = Cut(waiting[part].offset + 1, waiting[part].end_bytes)
        freed += waiting[part].end_bytes - before
        nexts[part] += 1
    return cuts


def _victim(
    waiting: Mapping[int, Kept], safe: Mapping[int, int], *, read_ns: int, unread_ns: int, over: bool
) -> int | None:
    """The partition whose oldest record goes next: a due one, or if there is no room a read one, or else any."""
    ranked: list[tuple[int, int, int]] = []
    for part, record in waiting.items():
        read = record.offset < safe[part]
        if record.time_ns <= (read_ns if read else unread_ns):
            ranked.append((0, record.time_ns, part))
        elif over:
            ranked.append((1 if read else 2, record.time_ns, part))
    return min(ranked)[2] if ranked else None


def _oldest(connection: sqlite3.Connection, part: Bounds) -> list[Kept]:
    rows = connection.execute(
        "SELECT key, time_ns, end_bytes FROM records WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
        (key(part.partition, part.start), key(part.partition, part.next), STEP_RECORDS),
    )
    base = key(part.partition, 0)
    return [Kept(row[0] - base, row[1], row[2]) for row in rows]


def _count_losses(
    connection: sqlite3.Connection,
    part: Bounds,
    groups: Mapping[str, Mapping[int, int]],
    heads: list[Kept],
    cut: Cut,
) -> None:
    positions_here = {group: at.get(part.partition, 0) for group, at in groups.items()} or {NOBODY: 0}
    for group, position in positions_here.items():
        first = max(position, part.start)
        if first >= cut.offset:
            continue
        before = heads[first - part.start - 1].end_bytes if first > part.start else part.start_bytes
        connection.execute(
            "INSERT INTO losses VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET"
            " records = records + excluded.records, bytes = bytes + excluded.bytes",
            (group, part.partition, cut.offset - first, cut.offset_bytes - before),
        )


def positions(connection: sqlite3.Connection) -> dict[str, dict[int, int]]:
    """Committed position of each registered group in each partition."""
    groups: dict[str, dict[int, int]] = {}
    for group, partition, position in connection.execute("SELECT consumer, partition, position FROM positions"):
        groups.setdefault(group, {})[partition] = position
    return groups


def _shrink(database: Database) -> bool:
    """Cut a few free pages off the file if there are many; whether there are more."""
    connection = database.connection
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    spare = connection.execute("PRAGMA freelist_count").fetchone()[0] - SLACK_BYTES // page_bytes
    if spare <= 0:
        return False
    pages = min(spare, STEP_BYTES // page_bytes)
    with database.write():
        for _ in range(pages):
            # One by one: it works as it is stepped, and the sqlite3 module steps once what has no columns.
            connection.execute("PRAGMA incremental_vacuum(1)")
    return bool(spare > pages)
