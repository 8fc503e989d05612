"""Rows as they wait in memory: lines of a shard, parsed but not yet columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ROW_BYTES: Final = 6 * 8 + 2 * 4 + 1
"""Bytes of a row in the arrays of a `Batch`."""

UINT16_CODES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What all rows of one chunk share: values of the text columns, and the source."""

    app: str
    process: str
    release: str
    pod: str
    container: str
    node: str
    source: bytes
    ordinal: int
    namespace: str = ""


def lines_array(buffer: bytes | memoryview, starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> Any:
    """See `buffer` as an Arrow array, without a copy: element `2 * i` is `buffer[starts[i]:stops[i]]`.

    The elements between are what lies between two lines. Arrow's `take` then copies lines in any order, at once.

    Args:
        buffer: Bytes.
        starts: int64, ascending.
        stops: int64; `starts[i] <= stops[i] <= starts[i + 1]`.

    Returns:
        An array of `large_binary`.
    """
    offsets = np.empty(2 * len(starts), np.int64)
    offsets[0::2] = starts
    offsets[1::2] = stops
    buffers = [None, pa.py_buffer(offsets.data), pa.py_buffer(buffer)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), max(2 * len(starts) - 1, 0), buffers)


@dataclass(slots=True)
class Batch:
    """Rows of consecutive records of one shard, parsed but not yet columns: what the head keeps.

    Row arrays have one element for each row, in arrival order. A row's line is `buffer[starts[i]:stops[i]]`.

    Attributes:
        shard: The partition that the records came from.
        first_offset: Queue offset of the first record.
        next_offset: Queue offset after the last record: what a commit of this batch states.
        buffer: Data of the records, as the runtime wrote it, then lines put together from pieces.
        starts: int64, where each row's line starts in `buffer`.
        stops: int64, where it ends, newline excluded. `starts` and `stops` ascend and do not overlap.
        time_ns: int64, the runtime's time of the line.
        order_ns: int64, the running maximum of the times of one container's run: its lines keep their byte order
            whatever its clock does.
        stream: uint8, `pipeline.cri.STDOUT` or `STDERR`.
        offset: int64, of the line's first byte in its source.
        continuation: int32.
        facts_index: int32, which of `facts` each row has.
        queue_offset: int64, of the record that completed the line.
        facts: The distinct facts.
        heartbeats: Newest heartbeat of each node seen in these records, nanoseconds.
        arrived_ns: When the batch was made, nanoseconds since the epoch; its day is the partition of the rows.
    """

    shard: int
    first_offset: int
    next_offset: int
    buffer: bytes
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    order_ns: npt.NDArray[np.int64]
    stream: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    continuation: npt.NDArray[np.int32]
    facts_index: npt.NDArray[np.int32]
    queue_offset: npt.NDArray[np.int64]
    facts: list[ChunkFacts]
    heartbeats: Mapping[str, int]
    arrived_ns: int
    _by_app: "_RowsByApp | None" = field(default=None, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.starts)

    @property
    def memory_bytes(self) -> int:
        """What the batch counts for against the head's budget: raw data and row arrays."""
        return len(self.buffer) + self.rows * _ROW_BYTES

    def since(self, queue_offset: int) -> "Batch":
        """The rows of records from `queue_offset` on, as a view of this batch; the batch itself when they are all."""
        if queue_offset <= self.first_offset:
            return self
        first = int(np.searchsorted(self.queue_offset, queue_offset))
        arrays: dict[str, Any] = {name: getattr(self, name)[first:] for name in _ROW_ARRAYS}
        return replace(self, first_offset=queue_offset, _by_app=None, **arrays)

    def of_app(self, app: str) -> npt.NDArray[np.int64]:
        """Indices of the app's rows, ascending. The index over all apps is built once, at the first call."""
        if self._by_app is None:
            self._by_app = _RowsByApp.of(self.facts, self.facts_index)
        return self._by_app.rows(app)


_ROW_ARRAYS: Final = (
    "starts",
    "stops",
    "time_ns",
    "order_ns",
    "stream",
    "offset",
    "continuation",
    "facts_index",
    "queue_offset",
)


@dataclass(frozen=True, slots=True)
class _RowsByApp:
    """Rows grouped by app: those of app `c` are `order[bounds[c]:bounds[c + 1]]`."""

    codes: Mapping[str, int]
    order: npt.NDArray[np.int64]
    bounds: list[int]

    @classmethod
    def of(cls, facts: list[ChunkFacts], facts_index: npt.NDArray[np.int32]) -> "_RowsByApp":
        codes: dict[str, int] = {}
        code_of_facts = np.array([codes.setdefault(each.app, len(codes)) for each in facts], np.int32)
        of_rows = code_of_facts[facts_index] if len(facts) else np.zeros(0, np.int32)
        # Two bytes sort by radix, in linear time.
        narrow = of_rows.astype(np.uint16) if len(codes) <= UINT16_CODES else of_rows
        bounds = np.concatenate(([0], np.cumsum(np.bincount(of_rows, minlength=len(codes)))))
        return cls(codes, np.argsort(narrow, kind="stable"), bounds.tolist())

    def rows(self, app: str) -> npt.NDArray[np.int64]:
        code = self.codes.get(app)
        if code is None:
            return np.zeros(0, np.int64)
        return self.order[self.bounds[code] : self.bounds[code + 1]]
