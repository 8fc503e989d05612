"""Rows as Arrow tables in `logger.rows.SCHEMA`: some rows of one batch for a reader, or whole batches for a commit.

The messages are the bulk of it, and are copied once, by Arrow, in the order wanted (see `logger.rows.lines_array`).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.rows import SCHEMA, Batch, ChunkFacts, lines_array
from pipeline.cri import STREAMS
from pipeline.limits import MIB

_I64 = npt.NDArray[np.int64]
_I32 = npt.NDArray[np.int32]

_SLICE_BYTES: Final = 8 * MIB
"""Bytes of messages in one piece of a column. Arrow lets a longer one grow by doubling, and every new page of memory
costs: in one piece it took three times as long."""

_BLOCK_ROWS: Final = 2048
"""Where one row of a slice is not UTF-8, so many rows at a time are looked at, down to single ones."""

_FACT_COLUMNS: Final = ("app", "process", "release", "pod", "container", "node", "source")
_PLAIN_COLUMNS: Final = ("time_ns", "order_ns", "ordinal", "offset", "continuation", "shard", "queue_offset")
_DAY_NS: Final = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of several batches as one: row arrays one after the other, one buffer, one table of facts."""

    buffer: bytes | memoryview
    starts: _I64
    stops: _I64
    time_ns: _I64
    order_ns: _I64
    stream: npt.NDArray[np.uint8]
    offset: _I64
    continuation: _I32
    facts_index: _I32
    queue_offset: _I64
    shard: _I32
    facts: Sequence[ChunkFacts]


def batch_table(batch: Batch, rows: _I64, columns: Collection[str] | None = None) -> pa.Table:
    """Build a table of some rows of a batch, in the order of `rows`.

    Args:
        batch: Where the rows are.
        rows: int64, indices of rows.
        columns: Names of the columns wanted, all when `None`; the table has them in the order of `SCHEMA`.
    """
    return _table(_of_batch(batch), rows, SCHEMA.names if columns is None else columns)


def flush_parts(batches: Iterable[Batch]) -> dict[str, pa.Table]:
    """Build what a commit adds: for each day of arrival, as `YYYY-MM-DD`, all its rows.

    Rows are sorted by (app, order_ns, ordinal, source, offset, continuation). Batches without rows add nothing.
    """
    filled = sorted((batch for batch in batches if batch.rows), key=_day)
    parts: dict[str, pa.Table] = {}
    for day, of_day in groupby(filled, key=_day):
        rows = _join(list(of_day))
        date = datetime.fromtimestamp(day * 86400, UTC).strftime("%Y-%m-%d")
        parts[date] = _table(rows, _sorted_rows(rows), SCHEMA.names)
    return parts


def _day(batch: Batch) -> int:
    return batch.arrived_ns // _DAY_NS


def _of_batch(batch: Batch) -> _Rows:
    return _Rows(
        batch.buffer,
        batch.starts,
        batch.stops,
        batch.time_ns,
        batch.order_ns,
        batch.stream,
        batch.offset,
        batch.continuation,
        batch.facts_index,
        batch.queue_offset,
        np.full(batch.rows, batch.shard, np.int32),
        batch.facts,
    )


def _join(batches: Sequence[Batch]) -> _Rows:
    """Put batches one after the other."""
    if len(batches) == 1:
        return _of_batch(batches[0])
    facts: list[ChunkFacts] = []
    codes: dict[int, int] = {}
    facts_index = [_recode(batch, facts, codes) for batch in batches]
    lengths = [len(batch.buffer) for batch in batches]
    bases = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)[:-1]))
    return _Rows(
        _join_buffers([batch.buffer for batch in batches]),
        np.concatenate([batch.starts + base for batch, base in zip(batches, bases, strict=True)]),
        np.concatenate([batch.stops + base for batch, base in zip(batches, bases, strict=True)]),
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


def _join_buffers(buffers: Sequence[bytes]) -> memoryview:
    """Buffers one after the other, in memory that Arrow uses again: joined bytes cost six times as much."""
    sizes = [len(buffer) for buffer in buffers]
    joined = memoryview(pa.allocate_buffer(sum(sizes))).cast("B")
    for buffer, end in zip(buffers, accumulate(sizes), strict=True):
        joined[end - len(buffer) : end] = buffer
    return joined


def _recode(batch: Batch, facts: list[ChunkFacts], codes: dict[int, int]) -> _I32:
    """The batch's `facts_index` in terms of `facts`, which grows. Ingest shares one object among a source's chunks."""
    table = np.empty(len(batch.facts), np.int32)
    for index, each in enumerate(batch.facts):
        code = codes.setdefault(id(each), len(facts))
        if code == len(facts):
            facts.append(each)
        table[index] = code
    return table[batch.facts_index]


def _sorted_rows(rows: _Rows) -> _I64:
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


def _sorted_plainly(rows: _Rows, apps: _I32, sources: _I32) -> _I64:
    """Row indices in the table's order, whatever order they are in."""
    return np.lexsort((rows.continuation, rows.offset, sources, rows.order_ns, apps))


def _table(rows: _Rows, chosen: _I64, columns: Collection[str]) -> pa.Table:
    """The rows `chosen`, in that order."""
    built: dict[str, Any] = {}
    if "message" in columns or "raw" in columns:
        built["message"], built["raw"] = _messages(rows, chosen)
    built.update(_fact_columns(rows, chosen, columns))
    if "stream" in columns:
        codes = _array(rows.stream[chosen].astype(np.int32))
        built["stream"] = pa.DictionaryArray.from_arrays(codes, pa.array(STREAMS, pa.string()))
    if "time" in columns:
        built["time"] = _array(np.floor_divide(rows.time_ns[chosen], 1000)).cast(SCHEMA.field("time").type)
    ordinals = np.array([each.ordinal for each in rows.facts], np.int32)
    for name in _PLAIN_COLUMNS:
        if name in columns:
            built[name] = _array(
                ordinals[rows.facts_index[chosen]] if name == "ordinal" else getattr(rows, name)[chosen]
            )
    schema = pa.schema([field for field in SCHEMA if field.name in columns])
    return pa.Table.from_arrays([built[name] for name in schema.names], schema=schema)


def _fact_columns(rows: _Rows, chosen: _I64, columns: Collection[str]) -> dict[str, Any]:
    """Columns that are constant within a chunk: a number for each row, a value for each number."""
    index = rows.facts_index[chosen]
    built: dict[str, Any] = {}
    for name in _FACT_COLUMNS:
        if name not in columns:
            continue
        values: dict[str | bytes, int] = {}
        codes = np.array([values.setdefault(getattr(each, name), len(values)) for each in rows.facts], np.int32)
        dictionary = pa.array(list(values), SCHEMA.field(name).type.value_type)
        built[name] = pa.DictionaryArray.from_arrays(_array(codes[index] if len(codes) else index), dictionary)
    return built


def _messages(rows: _Rows, chosen: _I64) -> "tuple[pa.ChunkedArray[Any], pa.ChunkedArray[Any]]":
    """The columns `message` and `raw`."""
    lines = lines_array(rows.buffer, rows.starts, rows.stops)
    messages: list[pa.Array[Any]] = []
    raws: list[pa.Array[Any]] = []
    for part in _slices(rows, chosen):
        message, raw = _decode(lines.take(_array(part * 2)))
        messages.append(message)
        raws.append(raw)
    return pa.chunked_array(messages, pa.string()), pa.chunked_array(raws, pa.binary())


def _slices(rows: _Rows, chosen: _I64) -> Iterator[_I64]:
    """Cut `chosen` so that no slice has messages of much more than `_SLICE_BYTES`."""
    if len(rows.buffer) <= _SLICE_BYTES:
        yield chosen
        return
    sizes = np.cumsum(rows.stops[chosen] - rows.starts[chosen])
    total = int(sizes[-1]) if len(sizes) else 0
    yield from np.split(chosen, np.searchsorted(sizes, np.arange(_SLICE_BYTES, total, _SLICE_BYTES)).tolist())


def _decode(lines: Any) -> "tuple[pa.Array[Any], pa.Array[Any]]":
    """Lines as text, and as bytes where they are not UTF-8."""
    try:
        return lines.cast(pa.string()), pa.nulls(len(lines), pa.binary())
    except pa.ArrowInvalid:
        pass
    if len(lines) > _BLOCK_ROWS:
        blocks = [_decode(lines.slice(start, _BLOCK_ROWS)) for start in range(0, len(lines), _BLOCK_ROWS)]
        return pa.concat_arrays([text for text, _ in blocks]), pa.concat_arrays([raw for _, raw in blocks])
    texts: list[str] = []
    raws: list[bytes | None] = []
    for line in lines.to_pylist():
        text = line.decode(errors="replace")
        texts.append(text)
        raws.append(None if text.encode() == line else line)
    return pa.array(texts, pa.string()), pa.array(raws, pa.binary())


def _array(values: npt.NDArray[Any]) -> Any:
    """A numpy array as an Arrow one, without a copy; the stubs know no type for it."""
    return pa.array(values)


def messages_of(batch: Batch, rows: _I64) -> "pa.Array[Any]":
    """The lines of some rows as bytes, in the order of `rows`."""
    lines: pa.Array[Any] = lines_array(batch.buffer, batch.starts, batch.stops).take(_array(rows * 2)).cast(pa.binary())
    return lines
