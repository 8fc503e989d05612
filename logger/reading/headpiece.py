"""An app's rows in the head, as pieces: mostly few rows in each of many batches, and a query wants the last ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from logger.columns import batch_table
from logger.reading.lines import taken
from logger.reading.merge import Keys, sort_keys
from logger.reading.pieces import Deleted, Reach, Rows
from logger.rows import SCHEMA
from pipeline.lines.batch import Batch, ChunkFacts

HEAD_PIECE_ROWS: Final = 4096
"""A piece is closed at the batch that brings it to so many rows."""

_FEW_ROWS: Final = 512  # up to here it costs less to copy rows out of a batch than to make columns of it alone

Part = tuple[Batch, Rows]
"""A batch, and the app's rows in it."""


@dataclass(slots=True)
class HeadPiece:
    """An app's rows in some batches.

    Sorted by time when they are read first; by the whole key only where a read needs it.
    """

    app: str
    parts: Sequence[Part]
    orders: tuple[int, int]
    count: int
    _by_time: tuple[Rows, Rows, Rows] | None = field(default=None, repr=False)

    def shards(self) -> Mapping[int, tuple[int, int]]:
        """See `Piece`."""
        bounds: dict[int, tuple[int, int]] = {}
        for batch, _ in self.parts:
            low, high = bounds.get(batch.shard, (batch.first_offset, batch.next_offset - 1))
            bounds[batch.shard] = (min(low, batch.first_offset), max(high, batch.next_offset - 1))
        return bounds

    def reach(self, deleted: Deleted, ends: Mapping[int, int]) -> Reach:
        """See `Piece`."""
        return Reach(deleted.boundary(self.app) or {}, ends)

    def cuts(self) -> Rows:
        """See `Piece`."""
        return np.append(np.arange(0, self.count, HEAD_PIECE_ROWS), self.count)

    def read(self, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """See `Piece`."""
        if self._by_time is None:
            self._by_time = _sorted_by_time(self.parts)
        orders, part, row = self._by_time
        if not count:
            return SCHEMA.empty_table().select(columns)
        # The whole key decides among rows of one time, and those may reach beyond the rows wanted.
        low = int(np.searchsorted(orders, orders[start], "left"))
        high = int(np.searchsorted(orders, orders[start + count - 1], "right"))
        chosen = _in_reading_order(self.parts, part[low:high], row[low:high])[start - low : start - low + count] + low
        return gather(self.parts, part[chosen], row[chosen], columns)


def _sorted_by_time(parts: Sequence[Part]) -> tuple[Rows, Rows, Rows]:
    """`order_ns` ascending, and for each row the part it is of and its index there."""
    orders = np.concatenate([batch.order_ns[rows] for batch, rows in parts])
    part = np.repeat(np.arange(len(parts)), [len(rows) for _, rows in parts])
    by_time = np.argsort(orders, kind="stable")
    return orders[by_time], part[by_time], np.concatenate([rows for _, rows in parts])[by_time]


def _in_reading_order(parts: Sequence[Part], part: Rows, row: Rows) -> Rows:
    """The places of some rows in reading order."""
    places = list(_by_part(part, row))
    keys = [batch_keys(parts[part[own[0]]][0], row[own]) for own in places]
    merged: Keys = [np.concatenate(columns) for columns in zip(*keys, strict=True)]
    found: Rows = np.concatenate(places)[sort_keys(merged)]
    return found


def _by_part(part: Rows, row: Rows) -> Iterator[Rows]:
    """Places of the rows of each part, ascending by row."""
    order = np.lexsort((row, part))
    ends = np.flatnonzero(np.diff(part[order])) + 1
    for start, stop in pairwise([0, *ends.tolist(), len(part)]):
        yield order[start:stop]


def gather(parts: Sequence[Part], part: Rows, row: Rows, columns: Sequence[str]) -> pa.Table:
    """Rows of several batches in the order asked for: the i-th is row `row[i]` of the batch of `parts[part[i]]`."""
    few: dict[int, list[tuple[Batch, Rows, Rows]]] = {}
    tables: list[pa.Table] = []
    places: list[Rows] = []
    for own in _by_part(part, row):
        batch = parts[part[own[0]]][0]
        if len(own) <= _FEW_ROWS:
            few.setdefault(batch.shard, []).append((batch, row[own], own))
        else:
            tables.append(batch_table(batch, row[own], columns))
            places.append(own)
    for together in few.values():
        small = copied([(batch, rows) for batch, rows, _ in together])
        tables.append(batch_table(small, np.arange(len(small.starts)), columns))
        places.extend(own for *_, own in together)
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    order = np.concatenate(places)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return table if (np.diff(back) == 1).all() else taken(table, back)


def copied(parts: Sequence[Part]) -> Batch:
    """Some rows of batches of one shard as a batch of their own, with no more bytes and facts than they need."""
    lines = [
        batch.buffer[start:stop]
        for batch, rows in parts
        for start, stop in zip(batch.starts[rows].tolist(), batch.stops[rows].tolist(), strict=True)
    ]
    stops = np.cumsum(np.array([len(line) for line in lines], dtype=np.int64))
    facts: dict[ChunkFacts, int] = {}
    codes = [
        facts.setdefault(batch.facts[number], len(facts))
        for batch, rows in parts
        for number in batch.facts_index[rows].tolist()
    ]

    first, last = parts[0][0], parts[-1][0]
    return Batch(
        shard=first.shard,
        first_offset=first.first_offset,
        next_offset=last.next_offset,
        buffer=b"".join(lines),
        starts=np.concatenate(([0], stops[:-1])),
        stops=stops,
        time_ns=np.concatenate([batch.time_ns[rows] for batch, rows in parts]),
        order_ns=np.concatenate([batch.order_ns[rows] for batch, rows in parts]),
        stream=np.concatenate([batch.stream[rows] for batch, rows in parts]),
        offset=np.concatenate([batch.offset[rows] for batch, rows in parts]),
        continuation=np.concatenate([batch.continuation[rows] for batch, rows in parts]),
        facts_index=np.array(codes, dtype=np.int32),
        queue_offset=np.concatenate([batch.queue_offset[rows] for batch, rows in parts]),
        facts=list(facts),
        heartbeats={},
        arrived_ns=last.arrived_ns,
    )


def batch_keys(batch: Batch, rows: Rows) -> Keys:
    """Keys of a batch's rows in the form of `logger.reading.merge.keys_of`."""
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
