"""Reading one piece block by block: only the rows and columns that a query has need of."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from logger.reading.filter import EVERY_LINE, LineFilter
from logger.reading.lines import integers, taken
from logger.reading.merge import KEY_COLUMNS, Block, Keys, KeyValue, count_up_to, keys_of, value_at
from logger.reading.pieces import Piece, Reach, Rows
from logger.reading.search import AbandonedError, Mask
from logger.rows import SCHEMA

BLOCK_GROUPS: Final = 4
"""Row groups (of 2 MiB) in memory of one piece at a time. Where an expression is matched it is one: the slowest that is
let in takes seconds for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of a piece a query wants, and in which direction.

    Attributes:
        descending: Newest first.
        since_ns: Rows with an `order_ns` from here on; `None` for all.
        until_ns: Rows with an `order_ns` before; `None` for all.
        beyond: Rows after this key, in the direction of reading; `None` for all.
        lines: Which lines.
        reach: Which records.
        first_rows: Rows of the first block; 0 when it is not known how many will do.
    """

    descending: bool = False
    since_ns: int | None = None
    until_ns: int | None = None
    beyond: KeyValue | None = None
    lines: LineFilter = EVERY_LINE
    reach: Reach = field(default_factory=Reach)
    first_rows: int = 0

    def orders(self) -> tuple[int, int]:
        """Least and greatest `order_ns` that is wanted."""
        low = -(2**63) if self.since_ns is None else self.since_ns
        high = 2**63 - 1 if self.until_ns is None else self.until_ns - 1
        if self.beyond is not None and self.descending:
            high = min(high, ~self.beyond[0])
        elif self.beyond is not None:
            low = max(low, self.beyond[0])
        return low, high

    def narrowed(self, **changes: object) -> "Wanted":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # fields are named by the callers here


class PieceScan:
    """Reads one piece block by block; a `logger.reading.merge.Scan`.

    Args:
        piece: The rows.
        wanted: Which of them.
        gone: Whether whoever asked is gone.
    """

    def __init__(self, piece: Piece, wanted: Wanted, *, gone: Callable[[], bool]) -> None:
        self._piece = piece
        self._wanted = wanted
        self._gone = gone
        self._left: tuple[int, int] | None = None
        self._looks = not wanted.reach.is_whole and wanted.reach.hides_some(piece.shards())
        self._cuts: Rows | None = None
        self._groups = 1
        self._rows = 0 if self._chooses else wanted.first_rows

    @property
    def _chooses(self) -> bool:
        return self._looks or not self._wanted.lines.passes_all

    @property
    def first(self) -> int:
        """See `logger.reading.merge.Scan`."""
        low, high = self._piece.orders
        return ~high if self._wanted.descending else low

    def load(self) -> Block | None:
        """See `logger.reading.merge.Scan`.

        Raises:
            AbandonedError: `gone` said so.
        """
        low, high = self._left if self._left is not None else self._range()
        while low < high:
            if self._gone():
                raise AbandonedError
            start, stop = self._next(low, high)
            low, high = self._left = (low, start) if self._wanted.descending else (stop, high)
            self._rows = 0
            block = self._block(start, stop - start)
            # Rows of the same `order_ns` as `beyond` are read again; a block of nothing else would be no progress.
            if self._wanted.beyond is None or block.last > self._wanted.beyond:
                return block
        return None

    def _next(self, low: int, high: int) -> tuple[int, int]:
        """Rows of the next block, out of those left: the few that will do, or up to a row group's end."""
        descending = self._wanted.descending
        if self._rows:
            return (max(low, high - self._rows), high) if descending else (low, min(high, low + self._rows))
        if self._cuts is None:
            self._cuts = self._piece.cuts()
        groups, self._groups = self._groups, 1 if self._wanted.lines.regex else BLOCK_GROUPS
        if descending:
            place = int(np.searchsorted(self._cuts, high, "left"))
            return max(low, int(self._cuts[max(place - groups, 0)])), high
        place = int(np.searchsorted(self._cuts, low, "right"))
        return low, min(high, int(self._cuts[min(place + groups - 1, len(self._cuts) - 1)]))

    def _range(self) -> tuple[int, int]:
        """Rows of the piece that can be wanted, judged by `order_ns` alone."""
        (low, high), (least, greatest) = self._wanted.orders(), self._piece.orders
        if low <= least and greatest <= high:
            return 0, self._piece.count
        if low > greatest or high < least:
            return 0, 0
        orders = integers(self._piece.read(0, self._piece.count, ("order_ns",))["order_ns"])
        return int(np.searchsorted(orders, low, "left")), int(np.searchsorted(orders, high, "right"))

    def _block(self, start: int, count: int) -> Block:
        looked_at = (*KEY_COLUMNS, *(("shard", "queue_offset") if self._looks else ()), *self._wanted.lines.columns)
        columns = tuple(dict.fromkeys(looked_at)) if self._chooses else tuple(SCHEMA.names)
        table = self._piece.read(start, count, columns)
        keys = keys_of(table, descending=self._wanted.descending)
        last = value_at(keys, 0 if self._wanted.descending else count - 1)
        rows = self._rows_of(table, keys)
        if self._wanted.descending:
            rows = rows[::-1]
        return Block(last, [column[rows] for column in keys], self._full(table, rows, start))

    def _rows_of(self, table: pa.Table, keys: Keys) -> Rows:
        mask = np.ones(table.num_rows, dtype=np.bool_)
        if self._wanted.beyond is not None:
            _unmark_read(mask, keys, self._wanted.beyond, descending=self._wanted.descending)
        if self._looks:
            mask &= self._wanted.reach.mask(integers(table["shard"]), integers(table["queue_offset"]))
        if mask.any() and not self._wanted.lines.passes_all:
            mask &= self._wanted.lines.mask(table, gone=self._gone)
        return np.flatnonzero(mask)

    def _full(self, table: pa.Table, rows: Rows, start: int) -> pa.Table:
        """The chosen rows with all columns; what was not read for choosing is read for their span only."""
        missing = [name for name in SCHEMA.names if name not in table.column_names]
        if not len(rows):
            return SCHEMA.empty_table()
        if missing:
            low, high = int(rows.min()), int(rows.max()) + 1
            rest = self._piece.read(start + low, high - low, missing)
            table = table.slice(low, high - low)
            rows = rows - low
            whole = {
                **dict(zip(table.column_names, table.columns, strict=True)),
                **dict(zip(rest.column_names, rest.columns, strict=True)),
            }
            table = pa.table([whole[name] for name in SCHEMA.names], schema=SCHEMA)
        if len(rows) == table.num_rows and (len(rows) <= 1 or rows[0] < rows[1]):
            return table
        return taken(table, rows)


def _unmark_read(mask: Mask, keys: Keys, beyond: KeyValue, *, descending: bool) -> None:
    forward: Keys = [column[::-1] for column in keys] if descending else keys
    count = count_up_to(forward, beyond)
    if descending:
        mask[len(mask) - count :] = False
    else:
        mask[:count] = False
