"""Writing data files: Parquet, one row group after the other, with the app index in the footer.

Encodings were measured on 2 shared cores with a mixed corpus: integers as DELTA_BINARY_PACKED take 40 % less CPU than
plain ones and compress better; zstd levels above 1 save under 1 % of space. Statistics are kept of app, time_ns and
order_ns only: text of messages must not get into a footer.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from logger.parts import Part, tables_of
from logger.rows import SCHEMA
from logger.table.catalog import INDEX_KEY, AppIndex, encode_index
from logger.table.snapshot import FileEntry
from pipeline.limits import MIB
from pipeline.store import Store

ROW_GROUP_BYTES: Final = 2 * MIB
"""Data of one row group: what a reader of the last 100 lines has to decode. Smaller ones cost CPU and footers."""

FLUSH_BYTES: Final = 8 * MIB
"""A writer that is given rows bit by bit writes when it has this much."""

STATISTICS: Final = ("app", "time_ns", "order_ns")

_DICTIONARIES = [field.name for field in SCHEMA if pa.types.is_dictionary(field.type)]
_INTEGERS = [field.name for field in SCHEMA if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)]
_ROW_BYTES = 64  # what a row counts for beside its message: eight integers, and its share of the dictionaries
_SMALL_DICTIONARY = 256  # entries; a larger one is cut down to what a row group uses, which would else repeat it


class DataFileWriter:
    """Writes one data file from tables in `logger.rows.SCHEMA`, each following the last one in the files' order.

    Made by `writing_data_file`.
    """

    def __init__(self, sink: pa.NativeFile, path: str, *, queue_id: str, created_ms: int) -> None:
        self._path = path
        self._queue_id = queue_id
        self._created_ms = created_ms
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._index = _IndexBuilder()
        self._sink = sink
        self._writer = pq.ParquetWriter(
            sink,
            SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=_DICTIONARIES,  # type: ignore[arg-type] # the stubs know only the bool form
            column_encoding=dict.fromkeys(_INTEGERS, "DELTA_BINARY_PACKED"),
            write_statistics=list(STATISTICS),
        )

    @property
    def closed(self) -> bool:
        """Whether the file is complete."""
        return not self._writer.is_open

    def abandon(self) -> None:
        """Keep pyarrow from completing the file when the writer is collected."""
        self._writer.is_open = False

    def write(self, table: pa.Table) -> None:
        """Add rows. They reach the disk when enough of them have come."""
        if table.num_rows == 0:
            return
        self._index.add(table)
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= FLUSH_BYTES:
            self._flush()

    def close(self) -> FileEntry:
        """Write what waits, and the footer; describe the file."""
        self._flush()
        apps, shards = self._index.finish()
        encoded = encode_index(apps, shards=shards, queue_id=self._queue_id, created_ms=self._created_ms)
        self._writer.add_key_value_metadata({INDEX_KEY: encoded})  # type: ignore[dict-item] # bytes are allowed as well
        self._writer.close()
        size_bytes = self._sink.tell()
        date = self._path.partition("/")[0].removeprefix("date=")
        rows = int(apps.numbers[:, 1].sum())
        return FileEntry(self._path, date, size_bytes, rows, apps, shards, self._queue_id, self._created_ms)

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = self._waiting[0]
        if len(self._waiting) > 1:
            table = pa.concat_tables(self._waiting).unify_dictionaries()
        table = table.combine_chunks()
        self._waiting, self._waiting_bytes = [], 0
        start = 0
        for stop in row_group_ends(_app_ends(table), _bytes_up_to(table), target_bytes=ROW_GROUP_BYTES):
            group = _with_small_dictionaries(table.slice(start, stop - start))
            self._writer.write_table(group, row_group_size=stop - start)
            start = stop


@contextlib.contextmanager
def writing_data_file(store: Store, path: str, *, queue_id: str, created_ms: int) -> Iterator[DataFileWriter]:
    """Write one data file bit by bit; close the writer inside the block. Durable after it; gone when the block fails.

    Args:
        store: Where to.
        path: Name of the file, `date=<YYYY-MM-DD>/<name>.parquet`.
        queue_id: The queue that `queue_offset` refers to.
        created_ms: When the newest rows were written first, milliseconds since the epoch.

    Raises:
        StoreUnavailableError: No room, or the disk fails.
        ValueError: The rows of an app do not lie together, or the apps are not in order.
    """
    with store.writing(path) as sink:
        writer = DataFileWriter(sink, path, queue_id=queue_id, created_ms=created_ms)
        try:
            yield writer
            if not writer.closed:
                raise RuntimeError(f"{path} was not closed")
        finally:
            writer.abandon()


def write_data_file(store: Store, path: str, part: Part, *, queue_id: str, created_ms: int) -> FileEntry:
    """Write one data file from all rows of a part; see `writing_data_file`."""
    with writing_data_file(store, path, queue_id=queue_id, created_ms=created_ms) as writer:
        for table in tables_of(part):
            writer.write(table)
        return writer.close()


def row_group_ends(
    app_ends: npt.NDArray[np.int64], bytes_up_to: npt.NDArray[np.int64], *, target_bytes: int
) -> list[int]:
    """Cut rows into row groups of about `target_bytes`, at the end of an app where that is cheap.

    Args:
        app_ends: Ascending: the index after the last row of each app.
        bytes_up_to: Ascending: bytes of all rows up to and with each row.
        target_bytes: No group is larger, except by one row.

    Returns:
        The index after the last row of each group, ascending.
    """
    ends: list[int] = []
    start, count = 0, len(bytes_up_to)
    while start < count:
        before = int(bytes_up_to[start - 1]) if start else 0
        full = int(np.searchsorted(bytes_up_to, before + target_bytes, side="right"))
        stop = max(full, start + 1)
        if stop < count:
            place = int(np.searchsorted(app_ends, stop, side="right")) - 1
            end = int(app_ends[place]) if place >= 0 else 0
            if end > start and int(bytes_up_to[end - 1]) - before >= target_bytes // 2:
                stop = end
        ends.append(stop)
        start = stop
    return ends


class _IndexBuilder:
    """Collects the app index of a file from its tables, in order."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._parts: list[npt.NDArray[np.int64]] = []  # count, order_min, order_max, time_min, time_max
        self._shards: dict[int, tuple[int, int]] = {}

    def add(self, table: pa.Table) -> None:
        for batch in table.to_batches():
            self._add_batch(batch)

    def _add_batch(self, batch: pa.RecordBatch) -> None:
        app = _dictionary(batch.column("app"))
        codes = app.indices.to_numpy()
        starts = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1))
        order, time = batch.column("order_ns").to_numpy(), batch.column("time_ns").to_numpy()
        counts = np.diff(np.append(starts, len(codes)))
        numbers = np.column_stack(
            (
                counts,
                np.minimum.reduceat(order, starts),
                np.maximum.reduceat(order, starts),
                np.minimum.reduceat(time, starts),
                np.maximum.reduceat(time, starts),
            )
        )
        names = app.dictionary.take(pa.array(codes[starts])).to_pylist()
        if self._names and names[0] == self._names[-1]:
            self._parts[-1][-1] = _joined(self._parts[-1][-1], numbers[0])
            names, numbers = names[1:], numbers[1:]
        _check_ascending(self._names[-1:] + names)
        if names:
            self._names += names
            self._parts.append(numbers)
        self._add_shards(batch.column("shard").to_numpy(), batch.column("queue_offset").to_numpy())

    def _add_shards(self, shard: npt.NDArray[np.int32], offset: npt.NDArray[np.int64]) -> None:
        starts = np.concatenate(([0], np.flatnonzero(np.diff(shard)) + 1))  # an app's rows are mostly of one shard
        lows, highs = np.minimum.reduceat(offset, starts).tolist(), np.maximum.reduceat(offset, starts).tolist()
        for name, low, high in zip(shard[starts].tolist(), lows, highs, strict=True):
            known_low, known_high = self._shards.get(name, (low, high))
            self._shards[name] = (min(low, known_low), max(high, known_high))

    def finish(self) -> tuple[AppIndex, dict[int, tuple[int, int]]]:
        numbers = np.concatenate(self._parts) if self._parts else np.empty((0, 5), np.int64)
        starts = np.cumsum(numbers[:, 0]) - numbers[:, 0]
        return AppIndex(tuple(self._names), np.column_stack((starts, numbers))), self._shards


def _joined(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    low, high = np.minimum(left, right), np.maximum(left, right)
    return np.array([left[0] + right[0], low[1], high[2], low[3], high[4]])


def _check_ascending(names: Sequence[str]) -> None:
    for before, after in pairwise(names):
        if before >= after:
            raise ValueError(f"rows of app {after!r} come after those of {before!r}")


def _app_ends(table: pa.Table) -> npt.NDArray[np.int64]:
    codes = _dictionary(table.column("app").chunk(0)).indices.to_numpy()
    return np.append(np.flatnonzero(np.diff(codes)) + 1, len(codes))


def _bytes_up_to(table: pa.Table) -> npt.NDArray[np.int64]:
    sizes = pc.binary_length(table.column("message")).to_numpy().astype(np.int64)
    raw = table.column("raw")
    if raw.null_count < len(raw):
        sizes = sizes + pc.fill_null(pc.binary_length(raw), 0).to_numpy()
    return np.cumsum(sizes + _ROW_BYTES)


def _with_small_dictionaries(group: pa.Table) -> pa.Table:
    for number, name in enumerate(group.column_names):
        if name not in _DICTIONARIES:
            continue
        column = _dictionary(group.column(number).chunk(0))
        if len(column.dictionary) > _SMALL_DICTIONARY:
            group = group.set_column(number, group.schema.field(number), _used_only(column))
    return group


def _dictionary(array: Any) -> Any:
    """The same array; pyarrow's stubs do not know which columns are dictionaries."""
    return array


def _used_only(array: Any) -> Any:
    codes = array.indices.to_numpy()
    used = np.zeros(len(array.dictionary), np.bool_)
    used[codes] = True
    renumbered = np.cumsum(used, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(
        pa.array(renumbered[codes], pa.int32()), array.dictionary.take(pa.array(np.flatnonzero(used)))
    )
