"""The app index of a data file: which rows belong to which app. It travels in the file's own footer.

Footer entry `deis.index`, version 1: base64 (footers are text to some readers) of a zstd frame of a msgpack array, see
`_Index`. It holds names of apps, numbers and times, and nothing of any message.
"""

import base64
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from logger.table.snapshot import AppRange, FileEntry
from pipeline.errors import FormatError

INDEX_KEY: Final = b"deis.index"
INDEX_VERSION: Final = 1
_MAX_INDEX_BYTES: Final = (
    64 * 1024 * 1024
)  # 64 MiB: about 200,000 apps with the longest names; a hostile frame stops here


class AppIndex(Mapping[str, AppRange]):
    """App to rows, in 48 bytes an app: with thousands of files and apps, an object each would fill the memory.

    Args:
        names: Names of the apps, ascending, as their rows lie in the file.
        numbers: int64, one row for each app: start, count, order_min, order_max, time_min, time_max.
    """

    __slots__ = ("_names", "_numbers")

    def __init__(self, names: Sequence[str], numbers: npt.NDArray[np.int64]) -> None:
        self._names = names
        self._numbers = numbers

    def __getitem__(self, app: str) -> AppRange:
        place = bisect_left(self._names, app)
        if place == len(self._names) or self._names[place] != app:
            raise KeyError(app)
        return AppRange(*self._numbers[place].tolist())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """See the class's `numbers`."""
        return self._numbers


class _Index(msgspec.Struct, frozen=True, array_like=True):
    version: int
    queue_id: str
    created_ms: int
    names: list[str]
    numbers: bytes  # little-endian int64, column after column: count, order_min, order_max, time_min, time_max
    shards: list[tuple[int, int, int]]


def encode_index(index: AppIndex, *, shards: Mapping[int, tuple[int, int]], queue_id: str, created_ms: int) -> bytes:
    """Encode what the footer says about a file, see the module's docstring."""
    columns = np.ascontiguousarray(index.numbers[:, 1:].T, dtype="<i8")
    spans = [(shard, low, high) for shard, (low, high) in sorted(shards.items())]
    body = _Index(INDEX_VERSION, queue_id, created_ms, list(index), columns.tobytes(), spans)
    return base64.b64encode(zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(body)))


def decode_entry(encoded: bytes | None, *, path: str, date: str, size_bytes: int) -> FileEntry:
    """Make the entry of one file from its footer.

    Raises:
        FormatError: There is no index of a version known here.
    """
    if encoded is None:
        raise FormatError(f"{path} has no app index in its footer")
    try:
        frame = base64.b64decode(encoded, validate=True)
        if zstandard.get_frame_parameters(frame).content_size > _MAX_INDEX_BYTES:
            raise FormatError(f"{path}: the app index claims more than the decoded limit")
        plain = zstandard.ZstdDecompressor().decompress(frame, max_output_size=_MAX_INDEX_BYTES)
        body = msgspec.msgpack.decode(plain, type=_Index)
        columns = np.frombuffer(body.numbers, dtype="<i8").reshape(5, len(body.names))
    except (ValueError, zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise FormatError(f"{path}: no app index: {error}") from error
    if body.version != INDEX_VERSION:
        raise FormatError(f"{path}: app index of version {body.version}")
    counts = columns[0]
    numbers = np.column_stack((np.cumsum(counts) - counts, *columns))
    shards = {shard: (low, high) for shard, low, high in body.shards}
    apps = AppIndex(tuple(map(intern, body.names)), numbers)
    return FileEntry(path, date, size_bytes, int(counts.sum()), apps, shards, body.queue_id, body.created_ms)
