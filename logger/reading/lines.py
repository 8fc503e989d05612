"""Lines as readers get them: one struct for each row, made from table rows or straight from a batch."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.reading.cursor import ReadingKey
from pipeline.cri import STREAMS
from pipeline.lines.batch import Batch


class Line(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One row in the form of the HTTP interface; see `docs/api.md` for the meaning of each field.

    Attributes:
        raw: Base64 of the line as it was, when it is not UTF-8.
        context: Whether it is there only as a neighbour of a line that matched.
    """

    app: str
    time: str
    process: str
    release: str
    pod: str
    container: str
    node: str
    stream: str
    message: str
    source: str
    ordinal: int
    offset: int
    continuation: int
    raw: str | None = None
    context: bool = False


def format_times(time_ns: npt.NDArray[np.int64]) -> list[str]:
    """Format nanoseconds since the epoch as RFC 3339 in UTC, always with nine decimals."""
    # The least int64 is numpy's "not a time"; one nanosecond more is not.
    whole = np.maximum(time_ns, np.iinfo(np.int64).min + 1).astype("datetime64[ns]")
    return [text + "Z" for text in np.datetime_as_string(whole, unit="ns").tolist()]


def texts(column: "pa.ChunkedArray[Any]") -> list[str]:
    """Values of a dictionary column, each decoded once."""
    values: list[str] = []
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray):
            names: list[Any] = chunk.dictionary.to_pylist()
            values.extend([names[index] for index in chunk.indices.to_numpy(zero_copy_only=False).tolist()])
        else:
            plain: list[Any] = chunk.to_pylist()
            values.extend(plain)
    return values


def integers(column: "pa.ChunkedArray[Any]") -> npt.NDArray[np.int64]:
    """Values of an integer column."""
    return column.to_numpy().astype(np.int64, copy=False)


def taken(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """Some rows of a table, in the order of `rows`."""
    places: Any = pa.array(rows, pa.int64())  # the stubs allow no array of numbers here
    return table.take(places)


def own_values(table: pa.Table) -> pa.Table:
    """The table in one piece, with dictionaries of just the values that it has, not of all that its files have."""
    columns = []
    column: Any
    for column in table.columns:
        chunks: Any = column.unify_dictionaries().chunks or [pa.array([], column.type)]
        whole = pa.concat_arrays(chunks)  # a copy: a slice would come with all of its buffer
        if isinstance(whole, pa.DictionaryArray):
            whole = whole.dictionary_decode().dictionary_encode()
        columns.append(whole)
    return pa.table(columns, names=table.column_names)


def _raw(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def lines_of_table(table: pa.Table, context: Sequence[bool] | None = None) -> list[Line]:
    """Make lines of rows in `logger.rows.SCHEMA`.

    Args:
        table: The rows.
        context: Which of them are there only as context; none when absent.
    """
    columns = [
        texts(table["app"]),
        format_times(integers(table["time_ns"])),
        *(texts(table[name]) for name in ("process", "release", "pod", "container", "node", "stream")),
        table["message"].to_pylist(),
        [source.hex() for source in _sources(table["source"])],
        *(integers(table[name]).tolist() for name in ("ordinal", "offset", "continuation")),
    ]
    raws = [None] * table.num_rows if table["raw"].null_count == table.num_rows else table["raw"].to_pylist()
    if context is None and table["raw"].null_count == table.num_rows:
        return list(map(Line, *columns))
    return list(map(Line, *columns, map(_raw, raws), context or [False] * table.num_rows))


def _sources(column: "pa.ChunkedArray[Any]") -> list[bytes]:
    return texts(column)  # type: ignore[return-value]  # a dictionary of bytes is read in the same way


def lines_of_batch(batch: Batch, rows: npt.NDArray[np.int64]) -> list[Line]:
    """Make lines of a batch's rows: for a few rows at once, without the detour over columns."""
    made: list[Line] = []
    times = format_times(batch.time_ns[rows])
    for time, row in zip(times, rows.tolist(), strict=True):
        facts = batch.facts[batch.facts_index[row]]
        content = batch.buffer[batch.starts[row] : batch.stops[row]]
        message, raw = decode(content)
        made.append(
            Line(
                facts.app,
                time,
                facts.process,
                facts.release,
                facts.pod,
                facts.container,
                facts.node,
                STREAMS[batch.stream[row]],
                message,
                facts.source.hex(),
                facts.ordinal,
                int(batch.offset[row]),
                int(batch.continuation[row]),
                _raw(raw),
            )
        )
    return made


def decode(content: bytes) -> tuple[str, bytes | None]:
    """Return a line as text, and as it was when it is not UTF-8."""
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        return content.decode(errors="replace"), content


def reading_keys(table: pa.Table) -> list[ReadingKey]:
    """Places of rows in the reading order."""
    return list(
        map(
            ReadingKey,
            integers(table["order_ns"]).tolist(),
            integers(table["ordinal"]).tolist(),
            _sources(table["source"]),
            integers(table["offset"]).tolist(),
            integers(table["continuation"]).tolist(),
        )
    )
