"""Where an app's rows lie: pieces of sorted rows, in data files and in the head, and which of them may be seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.reading.search import Mask
from logger.table.snapshot import FileEntry

Rows = npt.NDArray[np.int64]


class ReadsTable(Protocol):
    """What a query needs of `logger.table.reader.TableReader`."""

    @property
    def queue_id(self) -> str:
        """The queue that positions refer to."""

    def read(self, entry: FileEntry, *, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """Rows `[start, start + count)` of a file, the named columns of them."""

    def row_group_ends(self, entry: FileEntry) -> Sequence[int]:
        """The index after the last row of each row group: the least that can be read."""


class Deleted(Protocol):
    """What a query needs of `logger.table.tombstones.Tombstones`."""

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


@dataclass(frozen=True, slots=True)
class Reach:
    """Which records' rows may be seen.

    Attributes:
        starts: For each shard named, rows of earlier offsets are not seen: the app was deleted there.
        ends: For each shard named, rows from this offset on are not seen: they came too late.
    """

    starts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all rows are seen, wherever they are."""
        return not (self.starts or self.ends)

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
