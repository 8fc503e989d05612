"""A page of lines: what is asked for, and merging pieces until there is enough of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logger.reading.cursor import ReadingKey
from logger.reading.filter import EVERY_LINE, LineFilter
from logger.reading.merge import Block, Scan, merged, reading_key, value_at
from logger.reading.search import Mask
from logger.rows import SCHEMA

PAGE_BYTES: Final = 16 * 1024 * 1024
"""Messages of one page: it ends early when it has as many, and the next one goes on."""

PAGE_SECONDS: Final = 10.0
"""A page ends early after so long, even when it is empty: a search through everything is many short requests."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one page is asked for.

    Attributes:
        app: The app.
        limit: Most rows; with context, most rows that match.
        descending: Newest first.
        since_ns: Least `order_ns`.
        until_ns: Rows with a lesser `order_ns` only.
        beyond: Go on after this row, in the direction of reading.
        lines: Which lines.
        ends: Only rows that arrived before these offsets; all for a shard not named.
        seconds: The page ends early after so long, even when it is empty.
        before: Rows of context before each row that matches, from the same container.
        after: Rows of context after it.
    """

    app: str
    limit: int
    descending: bool = False
    since_ns: int | None = None
    until_ns: int | None = None
    beyond: ReadingKey | None = None
    lines: LineFilter = EVERY_LINE
    ends: Mapping[int, int] = field(default_factory=dict)
    seconds: float = PAGE_SECONDS
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order asked for.

    Attributes:
        table: In `logger.rows.SCHEMA`.
        following: Where the next page goes on; `None` when there is nothing more.
        watermark_ns: Time up to which everything was in reach.
        cut_line: Whether the last row's line goes on in the next page.
        context: Which rows are there only as neighbours; `None` when none are.
        partial: Shards whose newest rows were not in reach.
    """

    table: pa.Table
    following: ReadingKey | None
    watermark_ns: int | None = None
    cut_line: bool = False
    context: Mask | None = None
    partial: frozenset[int] = frozenset()


def message_bytes(table: pa.Table) -> int:
    """Bytes of the messages of rows."""
    return int(pc.sum(pc.binary_length(table["message"])).as_py() or 0)


def collected(scans: Sequence[Scan], selection: Selection, watermark_ns: int | None) -> Page:
    """Merge scans until the page is full, or its time is up."""
    deadline = time.monotonic() + selection.seconds
    blocks: list[Block] = []
    rows, taken_bytes = 0, 0
    for block in merged(scans):
        if block.table.num_rows:
            blocks.append(block)
            rows += block.table.num_rows
            taken_bytes += message_bytes(block.table)
        if rows > selection.limit or (taken_bytes > PAGE_BYTES and rows > 1):
            return _cut(blocks, selection, watermark_ns)
        if time.monotonic() > deadline:
            following = reading_key(block.last, descending=selection.descending)
            return Page(_concatenated(blocks), following, watermark_ns)
    return Page(_concatenated(blocks), None, watermark_ns)


def _cut(blocks: Sequence[Block], selection: Selection, watermark_ns: int | None) -> Page:
    """A full page, out of at least one row more than it has: that one tells whether the last one's line goes on."""
    table = _concatenated(blocks)
    kept = min(selection.limit, _rows_within(table, PAGE_BYTES), table.num_rows - 1)
    following = _key_of_row(blocks, kept - 1, descending=selection.descending)
    cut_line = not selection.descending and table["continuation"][kept].as_py() > 0
    return Page(table.slice(0, kept), following, watermark_ns, cut_line)


def _rows_within(table: pa.Table, limit_bytes: int) -> int:
    sizes = np.cumsum(pc.binary_length(table["message"]).to_numpy().astype(np.int64))
    return max(1, int(np.searchsorted(sizes, limit_bytes, "right")))


def _key_of_row(blocks: Sequence[Block], row: int, *, descending: bool) -> ReadingKey:
    for block in blocks:
        if row < block.table.num_rows:
            return reading_key(value_at(block.keys, row), descending=descending)
        row -= block.table.num_rows
    raise IndexError(row)


def _concatenated(blocks: Sequence[Block]) -> pa.Table:
    tables = [block.table for block in blocks]
    if not tables:
        return SCHEMA.empty_table()
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
