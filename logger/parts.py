"""Parts: what a commit adds, whole batches as one sorted sequence of rows for each day of arrival.

Only the order is made at once. Columns are built some MB at a time, as they are written: all of them at once took more
memory than the rows themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.columns import Columns, Rows, rows_of
from pipeline.limits import MIB
from pipeline.lines.batch import Batch, ChunkFacts

_I64 = npt.NDArray[np.int64]
_I32 = npt.NDArray[np.int32]

PIECE_BYTES: Final = 8 * MIB
"""Bytes of messages in one table: as much as a data file is written from at a time."""

_DAY_NS: Final = 86_400_000_000_000


class SortedRows:
    """Rows of one day of arrival, in the order of the files: (app, order_ns, ordinal, source, offset, continuation)."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._order = _sorted_rows(rows)

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self._order)

    def tables(self, piece_bytes: int = PIECE_BYTES) -> Iterator[pa.Table]:
        """All rows, in tables of about `piece_bytes` of messages, each built when it is asked for."""
        columns = Columns(self._rows)
        sizes = np.cumsum(self._rows.sizes[self._order], dtype=np.int64)
        cuts = np.searchsorted(sizes, np.arange(piece_bytes, int(sizes[-1]), piece_bytes))
        for chosen in np.split(self._order, np.unique(cuts)):
            if len(chosen):
                yield columns.table(chosen)


Part = pa.Table | SortedRows
"""Rows of one day in the order of the files: a table that is there, or tables that are built as they are written."""


def tables_of(part: Part) -> Iterable[pa.Table]:
    """The tables of a part, one following the other."""
    return part.tables() if isinstance(part, SortedRows) else (part,)


def flush_parts(batches: Iterable[Batch]) -> dict[str, SortedRows]:
    """What a commit of whole batches adds: for each day of arrival, as `YYYY-MM-DD`, all its rows.

    Batches without rows add nothing.
    """
    filled = sorted((batch for batch in batches if batch.rows), key=_day)
    parts: dict[str, SortedRows] = {}
    for day, of_day in groupby(filled, key=_day):
        date = datetime.fromtimestamp(day * 86400, UTC).strftime("%Y-%m-%d")
        parts[date] = SortedRows(_join(list(of_day)))
    return parts


def _day(batch: Batch) -> int:
    return batch.arrived_ns // _DAY_NS


def _join(batches: Sequence[Batch]) -> Rows:
    """Put batches one after the other."""
    if len(batches) == 1:
        return rows_of(batches[0])
    facts: list[ChunkFacts] = []
    codes: dict[int, int] = {}
    facts_index = [_recode(batch, facts, codes) for batch in batches]
    return Rows(
        batches,
        np.concatenate([(batch.stops - batch.starts).astype(np.int32) for batch in batches]),
        np.concatenate([batch.time_ns for batch in batches]),
        np.concatenate([batch.order_ns for batch in batches]),
        np.concatenate([batch.stream for batch in batches]),
        np.concatenate([batch.offset for batch in batches]),
        np.concatenate([batch.continuation for batch in batches]),
        np.concatenate(facts_index),
        np.concatenate([batch.queue_offset for batch in batches]),
        np.repeat(np.array([batch.shard for batch in batches], np.int32), [batch.rows for batch in batches]),
        facts,
    )


def _recode(batch: Batch, facts: list[ChunkFacts], codes: dict[int, int]) -> _I32:
    """The batch's `facts_index` in terms of `facts`, which grows. Ingest shares one object among a source's chunks."""
    table = np.empty(len(batch.facts), np.int32)
    for index, each in enumerate(batch.facts):
        code = codes.setdefault(id(each), len(facts))
        if code == len(facts):
            facts.append(each)
        table[index] = code
    return table[batch.facts_index]


def _sorted_rows(rows: Rows) -> _I64:
    """Row indices in the table's order.

    Stretches of rows of one source are put in order first, by app, ordinal, source and offset. What is left is a
    stable sort of one number made of app and `order_ns`, which is nearly sorted then: runs are merged, not sorted.
    """
    app_rank, source_rank = _ranks(rows.facts)
    apps, sources = app_rank[rows.facts_index], source_rank[rows.facts_index]
    grouped = _by_stretch(sources, rows.offset)
    order = rows.order_ns[grouped]
    low, high = int(order.min()), int(order.max())
    order_bits = (high - low).bit_length()
    if order_bits + int(app_rank.max()).bit_length() > 63:  # noqa: PLR2004 - bits of an int64 without its sign
        return _sorted_plainly(rows, apps, sources)
    key = (apps[grouped].astype(np.int64) << order_bits) + (order - low)
    by_key = np.argsort(key, kind="stable")
    result = grouped[by_key]
    key = key[by_key]
    if _ties_in_order(key, sources[result], rows.offset[result], rows.continuation[result]):
        return result
    return _sorted_plainly(rows, apps, sources)


def _ranks(facts: Sequence[ChunkFacts]) -> tuple[_I32, _I32]:
    """For each of `facts`, the rank of its app, and of its (app, ordinal, source)."""
    names = sorted({each.app for each in facts})
    app_rank = {name: rank for rank, name in enumerate(names)}
    keys = [(each.app, each.ordinal, each.source) for each in facts]
    source_rank = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return (
        np.array([app_rank[each.app] for each in facts], np.int32),
        np.array([source_rank[key] for key in keys], np.int32),
    )


def _by_stretch(sources: _I32, offset: _I64) -> _I64:
    """Row indices such that stretches of consecutive rows of a source are ordered by source rank and first offset."""
    begins = np.empty(len(sources), np.bool_)
    begins[0] = True
    np.not_equal(sources[1:], sources[:-1], out=begins[1:])
    begins[1:] |= offset[1:] < offset[:-1]
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=len(sources))
    chosen = np.lexsort((offset[first], sources[first]))
    first, lengths = first[chosen], lengths[chosen]
    ends = np.cumsum(lengths)
    grouped: _I64 = np.arange(len(sources)) + np.repeat(first - (ends - lengths), lengths)
    return grouped


def _ties_in_order(key: _I64, sources: _I32, offset: _I64, continuation: _I32) -> bool:
    """Whether neighbours of equal app and `order_ns` ascend by source rank, offset and continuation."""
    tie = np.flatnonzero(key[1:] == key[:-1])
    if not len(tie):
        return True
    source_step = sources[tie + 1] - sources[tie]
    offset_step = offset[tie + 1] - offset[tie]
    later = (offset_step > 0) | ((offset_step == 0) & (continuation[tie + 1] >= continuation[tie]))
    return bool(np.all((source_step > 0) | ((source_step == 0) & later)))


def _sorted_plainly(rows: Rows, apps: _I32, sources: _I32) -> _I64:
    """Row indices in the table's order, whatever order they are in."""
    return np.lexsort((rows.continuation, rows.offset, sources, rows.order_ns, apps))
