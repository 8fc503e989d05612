"""Rows as Arrow tables in `logger.rows.SCHEMA`.

The messages are the bulk of it, and are copied once, by Arrow, in the order wanted (see `logger.rows.lines_array`).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Rows:
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


class Columns:
    """Builds tables of some of `rows`; what all of them need is made once.

    Args:
        rows: Where the rows are.
        columns: Names of the columns wanted, all when `None`; a table has them in the order of `SCHEMA`.
    """

    def __init__(self, rows: Rows, columns: Collection[str] | None = None) -> None:
        self._rows = rows
        self._schema = pa.schema([field for field in SCHEMA if columns is None or field.name in columns])
        wanted = set(self._schema.names)
        self._facts = {name: _coded(rows.facts, name) for name in _FACT_COLUMNS if name in wanted}
        self._ordinals = np.array([each.ordinal for each in rows.facts], np.int32)
        self._plain = [name for name in _PLAIN_COLUMNS if name in wanted]
        self._lines = lines_array(rows.buffer, rows.starts, rows.stops) if wanted & {"message", "raw"} else None

    def table(self, chosen: _I64) -> pa.Table:
        """The rows `chosen`, in that order."""
        rows = self._rows
        built: dict[str, Any] = {}
        if self._lines is not None:
            built["message"], built["raw"] = _messages(self._lines, rows, chosen)
        index = rows.facts_index[chosen]
        for name, (codes, dictionary) in self._facts.items():
            built[name] = pa.DictionaryArray.from_arrays(_array(codes[index] if len(codes) else index), dictionary)
        if "stream" in self._schema.names:
            codes = _array(rows.stream[chosen].astype(np.int32))
            built["stream"] = pa.DictionaryArray.from_arrays(codes, pa.array(STREAMS, pa.string()))
        if "time" in self._schema.names:
            built["time"] = _array(np.floor_divide(rows.time_ns[chosen], 1000)).cast(SCHEMA.field("time").type)
        for plain in self._plain:
            built[plain] = _array(self._ordinals[index] if plain == "ordinal" else getattr(rows, plain)[chosen])
        return pa.Table.from_arrays([built[name] for name in self._schema.names], schema=self._schema)


def batch_table(batch: Batch, rows: _I64, columns: Collection[str] | None = None) -> pa.Table:
    """Build a table of some rows of a batch, in the order of `rows`; `columns` as in `Columns`."""
    return Columns(rows_of(batch), columns).table(rows)


def rows_of(batch: Batch) -> Rows:
    """The rows of one batch."""
    return Rows(
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


def _coded(facts: Sequence[ChunkFacts], name: str) -> "tuple[_I32, pa.Array[Any]]":
    """A column that is constant within a chunk: which value each of `facts` has, and the values."""
    values: dict[str | bytes, int] = {}
    codes = np.array([values.setdefault(getattr(each, name), len(values)) for each in facts], np.int32)
    return codes, pa.array(list(values), SCHEMA.field(name).type.value_type)


def _messages(lines: Any, rows: Rows, chosen: _I64) -> "tuple[pa.ChunkedArray[Any], pa.ChunkedArray[Any]]":
    """The columns `message` and `raw`."""
    messages: list[pa.Array[Any]] = []
    raws: list[pa.Array[Any]] = []
    for part in _slices(rows, chosen):
        message, raw = _decode(lines.take(_array(part * 2)))
        messages.append(message)
        raws.append(raw)
    return pa.chunked_array(messages, pa.string()), pa.chunked_array(raws, pa.binary())


def _slices(rows: Rows, chosen: _I64) -> Iterator[_I64]:
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
