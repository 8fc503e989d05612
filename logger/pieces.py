"""Where an app's rows lie: pieces of sorted rows, in data files and in the head, and which of them may be seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.columns import batch_table
from logger.lines import taken
from logger.merge import Keys, sort_keys
from logger.rows import SCHEMA, Batch
from logger.search import Mask
from logger.snapshot import FileEntry

HEAD_PIECE_ROWS: Final = 4096

Rows = npt.NDArray[np.int64]


class ReadsTable(Protocol):
    """What a query needs of `logger.table.TableReader`."""

    @property
    def queue_id(self) -> str:
        """The queue that positions refer to."""

    def read(self, entry: FileEntry, *, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """Rows `[start, start + count)` of a file, the named columns of them."""

    def row_group_ends(self, entry: FileEntry) -> Sequence[int]:
        """The index after the last row of each row group: the least that can be read."""


class Deleted(Protocol):
    """What a query needs of `logger.tombstones.Tombstones`."""

    def boundary(self, app: str, entry: FileEntry | None = None) -> Mapping[int, int] | None:
        """Rows of lesser queue offsets are deleted, by shard; of a file, or of the head."""


class Piece(Protocol):
    """Rows of one app in reading order."""

    @property
    def count(self) -> int:
        """How many rows there are."""

    @property
    def orders(self) -> tuple[int, int]:
        """Least and greatest `order_ns`."""

    def shards(self) -> Mapping[int, tuple[int, int]]:
        """Bounds (inclusive) of `queue_offset` for each shard; may be wider than the rows are."""

    def reach(self, deleted: "Deleted", ends: Mapping[int, int]) -> "Reach":
        """Which of these rows may be seen."""

    def cuts(self) -> Rows:
        """Ascending, from 0 to `count`: between neighbours lies the least that is worth reading."""

    def read(self, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """Rows `[start, start + count)`, the named columns of them."""


@dataclass(frozen=True, slots=True)
class TablePiece:
    """An app's rows in one data file."""

    app: str
    entry: FileEntry
    table: ReadsTable

    @property
    def count(self) -> int:
        """See `Piece`."""
        return self.entry.apps[self.app].count

    @property
    def orders(self) -> tuple[int, int]:
        """See `Piece`."""
        place = self.entry.apps[self.app]
        return place.order_min, place.order_max

    def shards(self) -> Mapping[int, tuple[int, int]]:
        """See `Piece`."""
        return self.entry.shards

    def reach(self, deleted: "Deleted", ends: Mapping[int, int]) -> "Reach":
        """See `Piece`. Rows of a queue that was replaced arrived before all of this one's."""
        of_this_queue = self.entry.queue_id in ("", self.table.queue_id)
        return Reach(deleted.boundary(self.app, self.entry) or {}, ends if of_this_queue else {})

    def cuts(self) -> Rows:
        """See `Piece`."""
        place = self.entry.apps[self.app]
        ends = np.array(self.table.row_group_ends(self.entry), dtype=np.int64) - place.start
        return np.concatenate(([0], ends[(ends > 0) & (ends < place.count)], [place.count]))

    def read(self, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """See `Piece`."""
        first = self.entry.apps[self.app].start
        return self.table.read(self.entry, start=first + start, count=count, columns=columns)


@dataclass(slots=True)
class HeadPiece:
    """An app's rows in some batches; sorted when they are read first."""

    app: str
    parts: Sequence[tuple[Batch, Rows]]
    orders: tuple[int, int]
    count: int
    _sorted: tuple[Rows, Rows] | None = field(default=None, repr=False)

    def shards(self) -> Mapping[int, tuple[int, int]]:
        """See `Piece`."""
        bounds: dict[int, tuple[int, int]] = {}
        for batch, _ in self.parts:
            low, high = bounds.get(batch.shard, (batch.first_offset, batch.next_offset - 1))
            bounds[batch.shard] = (min(low, batch.first_offset), max(high, batch.next_offset - 1))
        return bounds

    def reach(self, deleted: "Deleted", ends: Mapping[int, int]) -> "Reach":
        """See `Piece`."""
        return Reach(deleted.boundary(self.app) or {}, ends)

    def cuts(self) -> Rows:
        """See `Piece`."""
        return np.append(np.arange(0, self.count, HEAD_PIECE_ROWS), self.count)

    def read(self, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """See `Piece`."""
        if self._sorted is None:
            self._sorted = _in_reading_order(self.parts)
        part, row = (column[start : start + count] for column in self._sorted)
        return gather(self.parts, part, row, columns)


def gather(parts: Sequence[tuple[Batch, Rows]], part: Rows, row: Rows, columns: Sequence[str]) -> pa.Table:
    """Rows of several batches in the order asked for: the i-th is row `row[i]` of the batch of `parts[part[i]]`."""
    by_part = np.lexsort((row, part))
    starts = np.concatenate(([0], np.flatnonzero(np.diff(part[by_part])) + 1, [len(part)]))
    tables = [
        batch_table(parts[part[places[0]]][0], row[places], columns)
        for places in (by_part[start:stop] for start, stop in pairwise(starts.tolist()))
        if len(places)
    ]
    if not tables:
        return SCHEMA.empty_table().select(columns)
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    back = np.empty(len(part), dtype=np.int64)
    back[by_part] = np.arange(len(part))
    return table if (np.diff(back) == 1).all() else taken(table, back)


def _in_reading_order(parts: Sequence[tuple[Batch, Rows]]) -> tuple[Rows, Rows]:
    keys: Keys = [np.concatenate(columns) for columns in zip(*(batch_keys(*part) for part in parts), strict=True)]
    order = sort_keys(keys)
    part = np.repeat(np.arange(len(parts)), [len(rows) for _, rows in parts])
    return part[order], np.concatenate([rows for _, rows in parts])[order]


def batch_keys(batch: Batch, rows: Rows) -> Keys:
    """Keys of a batch's rows in the form of `logger.merge.keys_of`."""
    used, place = np.unique(batch.facts_index[rows], return_inverse=True)
    facts = [batch.facts[number] for number in used.tolist()]
    ordinals = np.array([fact.ordinal for fact in facts], dtype=np.int64)
    halves = (
        np.frombuffer(b"".join([fact.source.ljust(16, b"\0")[:16] for fact in facts]), dtype=">u8")
        .reshape(-1, 2)
        .astype(np.uint64)
    )
    return [
        batch.order_ns[rows],
        ordinals[place],
        halves[place, 0],
        halves[place, 1],
        batch.offset[rows],
        batch.continuation[rows].astype(np.int64),
    ]


def head_pieces(app: str, batches: Iterable[Batch]) -> list[HeadPiece]:
    """Cut an app's rows in the head into pieces of at least `HEAD_PIECE_ROWS`, but for the last."""
    pieces: list[HeadPiece] = []
    parts: list[tuple[Batch, Rows]] = []
    count = 0
    for batch in batches:
        rows = batch.of_app(app)
        if len(rows):
            parts.append((batch, rows))
            count += len(rows)
        if count >= HEAD_PIECE_ROWS:
            pieces.append(_head_piece(app, parts, count))
            parts, count = [], 0
    if parts:
        pieces.append(_head_piece(app, parts, count))
    return pieces


def _head_piece(app: str, parts: Sequence[tuple[Batch, Rows]], count: int) -> HeadPiece:
    orders = np.concatenate([batch.order_ns[rows] for batch, rows in parts])
    return HeadPiece(app, parts, (int(orders.min()), int(orders.max())), count)


@dataclass(frozen=True, slots=True)
class Reach:
    """Which records' rows may be seen.

    Attributes:
        starts: For each shard named, rows of earlier offsets are not seen: the app was deleted there.
        ends: For each shard named, rows from this offset on are not seen: they came too late.
    """

    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)

    def hides_all(self, shards: Mapping[int, tuple[int, int]]) -> bool:
        """Whether no row within `shards` (bounds, inclusive) is seen."""
        return bool(shards) and all(
            high < self.starts.get(shard, 0) or low >= self.ends.get(shard, high + low + 1)
            for shard, (low, high) in shards.items()
        )

    def hides_some(self, shards: Mapping[int, tuple[int, int]]) -> bool:
        """Whether a row within `shards` may be hidden, so that each must be looked at."""
        return any(
            low < self.starts.get(shard, 0) or high >= self.ends.get(shard, high + 1)
            for shard, (low, high) in shards.items()
        )

    def mask(self, shard: Rows, queue_offset: Rows) -> Mask:
        """Tell which rows are seen."""
        seen = np.ones(len(shard), dtype=np.bool_)
        for number, start in self.starts.items():
            seen &= (shard != number) | (queue_offset >= start)
        for number, end in self.ends.items():
            seen &= (shard != number) | (queue_offset < end)
        return seen
