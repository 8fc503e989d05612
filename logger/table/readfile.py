"""Reading data files: footers, kept in bounded memory, and only the row groups that are asked for."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from logger.table.catalog import INDEX_KEY, decode_entry
from logger.table.snapshot import FileEntry
from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.limits import KIB, MIB
from pipeline.store import Span, Store

FOOTER_CACHE_BYTES: Final = 64 * MIB
"""Of footers as they are on disk; in memory they take about three times as much. A file of 64 MB has one of 0.2 MB."""


_TAIL_BYTES: Final = 64 * KIB
_TAIL_SHARE: Final = 256
"""Of a footer, `_TAIL_BYTES` and a `_TAIL_SHARE`th of the file are read at once: mostly all of it."""

_LENGTH_BYTES: Final = 8  # a file ends with the length of its footer, and 4 bytes of magic


@dataclass(frozen=True, slots=True)
class RowGroups:
    """How a file is cut into row groups; both lists ascend.

    Attributes:
        ends: The index after the last row of each.
        bytes_up_to: Bytes of the encoded data, uncompressed, up to and with each.
    """

    ends: Sequence[int]
    bytes_up_to: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Footer:
    metadata: pq.FileMetaData
    ends: npt.NDArray[np.int64]  # the index after the last row of each row group


class FileReader:
    """Reads rows of data files. Safe to call from many threads."""

    def __init__(self, store: Store, *, cache_bytes: int = FOOTER_CACHE_BYTES) -> None:
        self._store = store
        self._cache_bytes = cache_bytes
        self._footers: OrderedDict[str, _Footer] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def read(self, entry: FileEntry, *, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """Read `count` rows from `start` on, of the columns named, in that order.

        Raises:
            StoreUnavailableError: The storage fails, or the file is gone (the snapshot is hours old: take a new one).
            FormatError: The file is damaged.
            ValueError: The file has no such rows.
        """
        if not 0 <= start <= start + count <= entry.rows:
            raise ValueError(f"{entry.path} has {entry.rows} rows, asked for {count} from {start} on")
        footer = self._footer(entry)
        first = int(np.searchsorted(footer.ends, start, side="right"))
        last = int(np.searchsorted(footer.ends, start + count, side="left"))
        groups = range(first, min(last + 1, len(footer.ends))) if count else range(0)
        before = int(footer.ends[first - 1]) if first else 0
        spans = [_span(footer.metadata, group) for group in groups]
        with _decoding(entry.path), self._store.reading(entry.path, spans) as source:
            file = pq.ParquetFile(source, metadata=footer.metadata)
            table = file.read_row_groups(list(groups), columns=list(columns), use_threads=False)
        return table.select(list(columns)).slice(start - before, count)

    def row_groups(self, entry: FileEntry) -> RowGroups:
        """How the file is cut into row groups."""
        footer = self._footer(entry)
        sizes = [footer.metadata.row_group(number).total_byte_size for number in range(len(footer.ends))]
        return RowGroups(footer.ends.tolist(), np.cumsum(sizes).tolist())

    def row_group_ends(self, entry: FileEntry) -> list[int]:
        """The index after the last row of each row group, ascending."""
        ends: list[int] = self._footer(entry).ends.tolist()
        return ends

    def _footer(self, entry: FileEntry) -> _Footer:
        path = entry.path
        with self._lock:
            footer = self._footers.get(path)
            if footer is not None:
                self._footers.move_to_end(path)
                return footer
        metadata = _read_footer(self._store, path, size_bytes=entry.size_bytes)
        rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        footer = _Footer(metadata, np.cumsum(rows, dtype=np.int64))
        self._keep(path, footer)
        return footer

    def _keep(self, path: str, footer: _Footer) -> None:
        with self._lock:
            if path in self._footers:
                return
            self._footers[path] = footer
            self._held_bytes += footer.metadata.serialized_size
            while self._held_bytes > self._cache_bytes and len(self._footers) > 1:
                _, dropped = self._footers.popitem(last=False)
                self._held_bytes -= dropped.metadata.serialized_size


def read_entry(store: Store, path: str, *, size_bytes: int) -> FileEntry:
    """Read what a data file's footer says about it.

    Raises:
        StoreUnavailableError: The storage fails, or the file is gone.
        FormatError: The file has no app index of a version known here.
    """
    encoded = (_read_footer(store, path, size_bytes=size_bytes).metadata or {}).get(INDEX_KEY)
    date = path.partition("/")[0].removeprefix("date=")
    return decode_entry(encoded, path=path, date=date, size_bytes=size_bytes)


def _read_footer(store: Store, path: str, *, size_bytes: int) -> pq.FileMetaData:
    with _decoding(path):
        tail = store.tail(path, size_bytes=size_bytes, count=_TAIL_BYTES + size_bytes // _TAIL_SHARE)
        needed = int.from_bytes(tail[-_LENGTH_BYTES:-4], "little") + _LENGTH_BYTES
        if len(tail) < needed <= size_bytes:
            tail = store.tail(path, size_bytes=size_bytes, count=needed)
        return pq.read_metadata(pa.BufferReader(tail))


def _span(metadata: pq.FileMetaData, group: int) -> Span:
    """Where the columns of a row group lie: one after the other, and most of it is the messages anyway."""
    row_group = metadata.row_group(group)
    columns = [row_group.column(number) for number in range(row_group.num_columns)]
    starts = [_column_start(column) for column in columns]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    return min(starts), max(ends)


def _column_start(column: pq.ColumnChunkMetaData) -> int:
    return column.dictionary_page_offset if column.dictionary_page_offset is not None else column.data_page_offset


@contextlib.contextmanager
def _decoding(path: str) -> Iterator[None]:
    """Tell a damaged file from storage that fails: pyarrow raises `OSError` for both, without a number for damage."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno is None:
            raise FormatError(f"{path} is damaged: {error}") from error
        raise StoreUnavailableError(f"reading {path}: {error}") from error
