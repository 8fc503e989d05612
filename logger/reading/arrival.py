"""Rows in the order of their arrival: what a follow goes through, from the table where the head has let them go."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from logger.reading.cursor import ArrivalKey
from logger.reading.headpiece import batch_keys
from logger.reading.lines import integers, taken
from logger.reading.merge import sort_keys, source_halves
from logger.reading.pieces import ReadsTable, Rows
from logger.rows import SCHEMA
from logger.table.snapshot import FileEntry, Snapshot
from pipeline.lines.batch import Batch

WINDOW_ROWS: Final = 4096
"""Most rows of one window, unless a single record has more."""

WINDOW_RECORDS: Final = 64
"""Most records of one window: their bytes are bounded (`pipeline.limits.PACK_RAW_BYTES`), those of rows are not."""

_GAP_ROWS: Final = 4096  # rows that lie further apart are not read in one go


def rows_in_arrival_order(batch: Batch, app: str, *, start: int, after: ArrivalKey | None) -> Rows:
    """Rows of an app in a batch, from queue offset `start` on, and beyond `after` if it is given."""
    rows = batch.of_app(app)
    if not len(rows):
        return rows
    if start > batch.first_offset:
        rows = rows[batch.queue_offset[rows] >= start]
    keys = batch_keys(batch, rows)
    keys[0] = batch.queue_offset[rows]
    rows = rows[sort_keys(keys)]
    if after is None:
        return rows
    return np.array([row for row in rows.tolist() if arrival_key(batch, row) > after], dtype=np.int64)


def arrival_key(batch: Batch, row: int) -> ArrivalKey:
    """The key of one row of a batch."""
    facts = batch.facts[batch.facts_index[row]]
    return ArrivalKey(
        int(batch.queue_offset[row]),
        facts.ordinal,
        facts.source,
        int(batch.offset[row]),
        int(batch.continuation[row]),
    )


def arrival_keys(table: pa.Table) -> list[ArrivalKey]:
    """The keys of rows in `logger.rows.SCHEMA`."""
    sources = [source.as_py() for source in table["source"]]
    plain = [integers(table[name]).tolist() for name in ("queue_offset", "ordinal", "offset", "continuation")]
    return list(map(ArrivalKey, plain[0], plain[1], sources, plain[2], plain[3]))


def table_window(
    snapshot: Snapshot, table: ReadsTable, *, app: str, shard: int, start: int, stop: int
) -> tuple[pa.Table, int]:
    """Some rows of the table in arrival order. Blocks.

    Args:
        snapshot: The table.
        table: Reads it.
        app: The app.
        shard: The shard.
        start: Queue offset of the first record.
        stop: Queue offset after the last record.

    Returns:
        Rows of the records `[start, next)`, and `next`, which is `stop` at the end.
    """
    places: list[tuple[FileEntry, Rows, Rows]] = []
    for entry in snapshot.of_app(app):
        low, high = entry.shards.get(shard, (0, -1))
        if low < stop and high >= start and entry.queue_id == table.queue_id:
            rows, offsets = _rows_between(table, entry, app, shard=shard, start=start, stop=stop)
            places.append((entry, rows, offsets))
    following = _window_end(np.concatenate([np.zeros(0, np.int64), *(offsets for _, _, offsets in places)]), stop)
    parts = [part for entry, rows, offsets in places for part in _read_rows(table, entry, rows[offsets < following])]
    return _sorted_by_arrival(parts), following


def _rows_between(
    table: ReadsTable, entry: FileEntry, app: str, *, shard: int, start: int, stop: int
) -> tuple[Rows, Rows]:
    """Rows (by index in the file) of records `[start, stop)` of a shard, and their queue offsets."""
    place = entry.apps[app]
    found = table.read(entry, start=place.start, count=place.count, columns=("shard", "queue_offset"))
    offsets = integers(found["queue_offset"])
    rows = np.flatnonzero((integers(found["shard"]) == shard) & (offsets >= start) & (offsets < stop))
    return rows + place.start, offsets[rows]


def _window_end(offsets: Rows, stop: int) -> int:
    if not len(offsets):
        return stop
    ascending = np.sort(offsets)
    first = int(ascending[0])
    end = stop if len(ascending) <= WINDOW_ROWS else max(int(ascending[WINDOW_ROWS]), first + 1)
    return min(end, first + WINDOW_RECORDS, stop)


def _read_rows(table: ReadsTable, entry: FileEntry, rows: Rows) -> Iterator[pa.Table]:
    if not len(rows):
        return
    for span in np.split(rows, np.flatnonzero(np.diff(rows) > _GAP_ROWS) + 1):
        low, high = int(span[0]), int(span[-1]) + 1
        read = table.read(entry, start=low, count=high - low, columns=SCHEMA.names)
        yield read if len(span) == high - low else taken(read, span - low)


def _sorted_by_arrival(parts: Sequence[pa.Table]) -> pa.Table:
    if not parts:
        return SCHEMA.empty_table()
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    high, low = source_halves(table["source"])
    plain = [integers(table[name]) for name in ("queue_offset", "ordinal", "offset", "continuation")]
    return taken(table, sort_keys([plain[0], plain[1], high, low, plain[2], plain[3]]))
