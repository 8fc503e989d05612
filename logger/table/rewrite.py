"""Rewriting data files of one day: many sorted files into one, without the rows that have to go, in bounded memory.

All inputs are sorted alike, so the files are read side by side from front to back, window by window. A window is a run
of apps that is small enough to hold; an app that is larger is cut by `order_ns` instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logger.rows import SCHEMA
from logger.table.datafile import writing_data_file
from logger.table.readfile import FileReader
from logger.table.snapshot import AppRange, FileEntry
from logger.table.tombstones import EVERYWHERE
from pipeline.errors import FormatError
from pipeline.limits import MIB
from pipeline.store import Store

WINDOW_BYTES: Final = 16 * MIB
"""Rows that are sorted at a time. Beside it, a row group of each input is held."""

Doomed = Callable[[FileEntry], Mapping[str, Mapping[int, int]]]
"""The apps of a file that may lose rows, and up to which queue offset in each shard; `EVERYWHERE` for all rows."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of the inputs.

    Attributes:
        entry: The new file, which is durable and not yet part of the table; `None` when no row is left.
        dropped_rows: Rows that had to go.
    """

    entry: FileEntry | None
    dropped_rows: int


def rewrite(store: Store, reader: FileReader, inputs: Sequence[FileEntry], *, path: str, doomed: Doomed) -> Rewritten:
    """Write the rows of `inputs` (of one day and one queue) into one new file, less those that have to go.

    Raises:
        StoreUnavailableError: No room, or the storage fails; nothing is left behind.
        FormatError: The rows written and dropped are not the rows of the inputs: the inputs stay.
    """
    cursors = [_Cursor(reader, entry, doomed) for entry in inputs]
    created_ms = max(entry.created_ms for entry in inputs)
    written = 0
    with writing_data_file(store, path, queue_id=inputs[0].queue_id, created_ms=created_ms) as writer:
        for window in _windows(cursors):
            writer.write(window)
            written += window.num_rows
        entry = writer.close()
    dropped = sum(cursor.dropped_rows for cursor in cursors)
    if entry.rows != written or written + dropped != sum(entry.rows for entry in inputs):
        store.delete(path)
        raise FormatError(f"rewriting {len(inputs)} files: {written} rows written and {dropped} dropped do not add up")
    if written == 0:
        store.delete(path)
        return Rewritten(None, dropped)
    return Rewritten(entry, dropped)


class _Cursor:
    """Reads one file from front to back, in slices that the caller asks for, less the rows that have to go."""

    def __init__(self, reader: FileReader, entry: FileEntry, doomed: Doomed) -> None:
        self.entry = entry
        self.dropped_rows = 0
        self._reader = reader
        self._groups = reader.row_groups(entry)
        self._group = 0
        self._loaded: pa.Table | None = None
        self._doomed = doomed(entry)

    def bytes_of(self, span: AppRange) -> float:
        """About how much memory the rows of one app take."""
        known = ([0, *self._groups.ends], [0, *self._groups.bytes_up_to])
        low, high = np.interp([span.start, span.start + span.count], *known)
        return float(high - low)

    def pieces(self, start: int, stop: int) -> Iterator[pa.Table]:
        """Rows `[start, stop)`, a row group at a time; must not lie before rows that were read already."""
        ends = self._groups.ends
        while start < stop:
            while ends[self._group] <= start:
                self._group, self._loaded = self._group + 1, None
            first = ends[self._group - 1] if self._group else 0
            last = min(stop, ends[self._group])
            if self._loaded is None:
                count = ends[self._group] - first
                self._loaded = self._reader.read(self.entry, start=first, count=count, columns=SCHEMA.names)
            yield self._kept(self._loaded.slice(start - first, last - start), start)
            start = last

    def _kept(self, table: pa.Table, start: int) -> pa.Table:
        keep: npt.NDArray[np.bool_] | None = None
        for app, positions in self._doomed.items():
            span = self.entry.apps[app]
            low, high = max(span.start - start, 0), min(span.start + span.count - start, table.num_rows)
            if low < high:
                keep = np.ones(table.num_rows, np.bool_) if keep is None else keep
                keep[low:high] = ~below(positions, table.slice(low, high - low))
        if keep is None:
            return table
        self.dropped_rows += int(table.num_rows - np.count_nonzero(keep))
        return table.filter(pa.array(keep))


def below(positions: Mapping[int, int], table: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows lie below `positions`; `table` has the columns shard and queue_offset."""
    if positions is EVERYWHERE:
        return np.ones(table.num_rows, np.bool_)
    shard, offset = table.column("shard").to_numpy(), table.column("queue_offset").to_numpy()
    found = np.zeros(table.num_rows, np.bool_)
    for number, position in positions.items():
        found |= (shard == number) & (offset < position)
    return found


def _windows(cursors: Sequence[_Cursor]) -> Iterator[pa.Table]:
    for apps, size in _runs(cursors):
        if len(apps) == 1 and size > WINDOW_BYTES:
            yield from _by_order(cursors, apps[0])
        else:
            yield _merged([list(_rows_of(cursor, apps)) for cursor in cursors])


def _runs(cursors: Sequence[_Cursor]) -> Iterator[tuple[Sequence[str], float]]:
    """Consecutive apps that fit into a window together, with their size; an app that does not fit stands alone."""
    sizes: dict[str, float] = {}
    for cursor in cursors:
        for app, span in cursor.entry.apps.items():
            sizes[app] = sizes.get(app, 0.0) + cursor.bytes_of(span)
    run: list[str] = []
    total = 0.0
    for app in sorted(sizes):
        if run and total + sizes[app] > WINDOW_BYTES:
            yield run, total
            run, total = [], 0.0
        run.append(app)
        total += sizes[app]
    if run:
        yield run, total


def _rows_of(cursor: _Cursor, apps: Sequence[str]) -> Iterator[pa.Table]:
    spans = [cursor.entry.apps[app] for app in apps if app in cursor.entry.apps]
    if spans:
        yield from cursor.pieces(spans[0].start, spans[-1].start + spans[-1].count)


class _Stream:
    """Rows of one app in one file, of which the first are at hand."""

    def __init__(self, pieces: Iterator[pa.Table]) -> None:
        self._pieces = pieces
        self.held = SCHEMA.empty_table()
        self.more = True

    def load(self) -> None:
        """Get the next rows."""
        piece = next(self._pieces, None)
        if piece is None:
            self.more = False
        else:
            self.held = pa.concat_tables([self.held, piece]) if self.held.num_rows else piece

    def last(self) -> int:
        """`order_ns` of the last row at hand: what comes later is not before it."""
        return int(self.held.column("order_ns")[-1].as_py())

    def take_before(self, order_ns: int | None) -> pa.Table:
        """Give away the rows at hand that lie before `order_ns`; `None` gives all."""
        count = self.held.num_rows
        if order_ns is not None:
            count = int(np.searchsorted(self.held.column("order_ns").to_numpy(), order_ns, side="left"))
        taken, self.held = self.held.slice(0, count), self.held.slice(count)
        return taken


def _by_order(cursors: Sequence[_Cursor], app: str) -> Iterator[pa.Table]:
    spans = [(cursor, cursor.entry.apps[app]) for cursor in cursors if app in cursor.entry.apps]
    streams = [_Stream(cursor.pieces(span.start, span.start + span.count)) for cursor, span in spans]
    frontier: int | None = 0
    while frontier is not None:
        for stream in streams:
            while stream.more and not stream.held.num_rows:
                stream.load()
        frontier = min((stream.last() for stream in streams if stream.more), default=None)
        taken = [[stream.take_before(frontier)] for stream in streams]
        if any(parts[0].num_rows for parts in taken):
            yield _merged(taken)
            continue
        for stream in streams:  # the rows at hand share one time: their order is known when all of that time are there
            if stream.more and stream.last() == frontier:
                stream.load()


def _merged(inputs: Sequence[Sequence[pa.Table]]) -> pa.Table:
    """Rows of several inputs, each in the files' order, in that order together."""
    parts = [part for parts in inputs for part in parts if part.num_rows]
    if not parts:
        return SCHEMA.empty_table()
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    rows = [sum(part.num_rows for part in parts) for parts in inputs]
    if sum(count > 0 for count in rows) == 1:
        return table
    indices: Any = pa.array(_sort_indices(table, np.repeat(np.arange(len(rows)), rows)))  # the stubs see booleans
    return table.take(indices)


def _sort_indices(table: pa.Table, origin: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    app, order = _ranks(table, "app"), table.column("order_ns").to_numpy()
    indices = np.lexsort((order, app))
    app_sorted, order_sorted, origin_sorted = app[indices], order[indices], origin[indices]
    tied = (np.diff(app_sorted) == 0) & (np.diff(order_sorted) == 0)
    if not np.any(tied & (np.diff(origin_sorted) != 0)):
        return indices  # rows of one file that share a time are in order already, and the sort is stable
    numbers = [table.column(name).to_numpy() for name in ("continuation", "offset")]
    return np.lexsort((*numbers, _ranks(table, "source"), table.column("ordinal").to_numpy(), order, app))


def _ranks(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    column: Any = table.column(name).chunk(0)  # the stubs do not know which columns are dictionaries
    by_value = pc.sort_indices(column.dictionary).to_numpy()
    ranks = np.empty(len(by_value), np.int64)
    ranks[by_value] = np.arange(len(by_value))
    found: npt.NDArray[np.int64] = ranks[column.indices.to_numpy()]
    return found
