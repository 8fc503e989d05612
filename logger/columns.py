"""Rows as Arrow tables in `logger.rows.SCHEMA`.

The messages are the bulk of it, and are copied by Arrow in the order wanted, out of the buffers in which they came (see
`Lines`). What is never there is a second copy of them all: memory that a process takes for the first time costs it as
much CPU as copying would, and more on a machine whose host has to find it first.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.rows import SCHEMA
from pipeline.cri import STREAMS
from pipeline.limits import KIB, MIB
from pipeline.lines.batch import UINT16_CODES, Batch, ChunkFacts, lines_array

_I64 = npt.NDArray[np.int64]
_I32 = npt.NDArray[np.int32]

_SLICE_BYTES: Final = 8 * MIB
"""Bytes of messages in one piece of a column. Arrow lets a longer one grow by doubling, and every new page of memory
costs: in one piece it took three times as long."""

_GROUP_BYTES: Final = 256 * KIB
"""Batches are put together up to this; larger ones, the bulk at full load, stay where they are."""

_BLOCK_ROWS: Final = 2048
"""Where one row of a slice is not UTF-8, so many rows at a time are looked at, down to single ones."""

_FACT_COLUMNS: Final = ("app", "process", "release", "pod", "container", "node", "source")
_PLAIN_COLUMNS: Final = ("time_ns", "order_ns", "ordinal", "offset", "continuation", "shard", "queue_offset")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of several batches as one: row arrays one after the other, one table of facts.

    Attributes:
        batches: Where the lines are, in this order.
        sizes: int32, bytes of each row's line.
    """

    batches: Sequence[Batch]
    sizes: _I32
    time_ns: _I64
    order_ns: _I64
    stream: npt.NDArray[np.uint8]
    offset: _I64
    continuation: _I32
    facts_index: _I32
    queue_offset: _I64
    shard: _I32
    facts: Sequence[ChunkFacts]


class Lines:
    """The lines of batches, numbered from the first batch's first on. Taking some copies those, and no others."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        groups = list(_groups(batches))
        self._arrays = [_lines_of(group) for group in groups]
        counts = np.array([sum(batch.rows for batch in group) for group in groups], np.int64)
        self._firsts = np.cumsum(counts) - counts

    def take(self, chosen: _I64) -> Any:
        """The lines `chosen`, in that order, as `large_binary`; there must be one."""
        if len(self._arrays) == 1:
            return self._arrays[0].take(_array(chosen * 2))
        owners = np.searchsorted(self._firsts, chosen, side="right") - 1
        if len(self._arrays) <= UINT16_CODES:
            owners = owners.astype(np.uint16)  # two bytes sort by radix, in linear time
        by_owner = np.argsort(owners, kind="stable")
        owners = owners[by_owner]
        begins = np.concatenate(([0], np.flatnonzero(np.diff(owners)) + 1))
        taken = [
            self._arrays[owner].take(_array((chosen[places] - self._firsts[owner]) * 2))
            for owner, places in zip(owners[begins].tolist(), np.split(by_owner, begins[1:]), strict=True)
        ]
        back = np.empty(len(chosen), np.int64)
        back[by_owner] = np.arange(len(chosen))
        return pa.concat_arrays(taken).take(_array(back))


def _groups(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    """Batches that are worth an array together: thousands of a few lines each would cost more than their bytes."""
    group: list[Batch] = []
    size = 0
    for batch in batches:
        if group and size + len(batch.buffer) > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(batch)
        size += len(batch.buffer)
    if group:
        yield group


def _lines_of(group: Sequence[Batch]) -> Any:
    if len(group) == 1:
        return lines_array(group[0].buffer, group[0].starts, group[0].stops)
    bases = list(accumulate((len(batch.buffer) for batch in group), initial=0))[:-1]
    starts = np.concatenate([batch.starts + base for batch, base in zip(group, bases, strict=True)])
    stops = np.concatenate([batch.stops + base for batch, base in zip(group, bases, strict=True)])
    return lines_array(b"".join([batch.buffer for batch in group]), starts, stops)


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
        self._lines = Lines(rows.batches) if wanted & {"message", "raw"} else None

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
        [batch],
        (batch.stops - batch.starts).astype(np.int32),
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


def _messages(lines: Lines, rows: Rows, chosen: _I64) -> "tuple[pa.ChunkedArray[Any], pa.ChunkedArray[Any]]":
    """The columns `message` and `raw`."""
    messages: list[pa.Array[Any]] = []
    raws: list[pa.Array[Any]] = []
    for part in _slices(rows, chosen):
        message, raw = _decode(lines.take(part))
        messages.append(message)
        raws.append(raw)
    return pa.chunked_array(messages, pa.string()), pa.chunked_array(raws, pa.binary())


def _slices(rows: Rows, chosen: _I64) -> Iterator[_I64]:
    """Cut `chosen` so that no slice has messages of much more than `_SLICE_BYTES`."""
    if not len(chosen):
        return
    sizes = np.cumsum(rows.sizes[chosen], dtype=np.int64)
    total = int(sizes[-1])
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
