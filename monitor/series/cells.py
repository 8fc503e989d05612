"""Numbers by series: one row for each series of a metric, one column for each number that its kind keeps.

Totals of a metric are one `Cells`, and each slot of its windows is one. Rows are addressed by numbers that `Names`
gives; those that were never added to are 0.

Floating point sums are made sample by sample, in the order given, onto what is there: partial sums of a batch would
make the result depend on where batches were cut.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.metric import Kind, Metric

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observed:
    """Samples of one metric in arrival order; arrays have one element for each.

    Attributes:
        rows: int64, of which series.
        time_ns: int64, when.
        values: float64; `None` when each is 1.
        buckets: int64, which bucket of a histogram it belongs to; `None` for other kinds.
    """

    rows: I64
    time_ns: I64
    values: F64 | None
    buckets: I64 | None

    def chosen(self, which: npt.NDArray[np.bool_] | I64) -> "Observed":
        """Some of them."""
        return Observed(
            self.rows[which],
            self.time_ns[which],
            None if self.values is None else self.values[which],
            None if self.buckets is None else self.buckets[which],
        )


class CellsState(msgspec.Struct, frozen=True, array_like=True):
    """`Cells` written down: little-endian arrays, empty where there is none."""

    count: bytes
    total: bytes
    buckets: bytes
    time_ns: bytes


class Cells:
    """See the module.

    Args:
        metric: What is kept.
        rows: How many series there is room for.
        narrow: Whether counts take 32 bits: of a slot, which ten seconds do not fill.

    Attributes:
        count: Samples by series. Of a histogram they are in `buckets`, and this is empty.
        total: float64, sum of values, newest value of a gauge; `None` while each sample is 1: then it is the count.
        buckets: Samples by series and bucket; no column for other kinds.
        time_ns: int64, of the newest value of a gauge; empty for other kinds.
    """

    __slots__ = ("_kind", "buckets", "count", "time_ns", "total")

    def __init__(self, metric: Metric, rows: int, *, narrow: bool) -> None:
        dtype = np.uint32 if narrow else np.int64
        self._kind = metric.kind
        histogram = metric.kind == Kind.HISTOGRAM
        self.count = np.zeros(0 if histogram else rows, dtype)
        self.buckets = np.zeros((rows, len(metric.edges) + 1 if histogram else 0), dtype)
        self.total = np.zeros(rows) if metric.kind != Kind.COUNTER else None
        self.time_ns = np.zeros(rows if metric.kind == Kind.GAUGE else 0, np.int64)

    @property
    def room(self) -> int:
        """How many series there is room for."""
        return len(self.buckets)

    def grow(self, rows: int) -> None:
        """Make room for so many series."""
        more = rows - self.room
        if more <= 0:
            return
        if self._kind != Kind.HISTOGRAM:
            self.count = np.concatenate((self.count, np.zeros(more, self.count.dtype)))
        self.buckets = np.concatenate((self.buckets, np.zeros((more, self.buckets.shape[1]), self.buckets.dtype)))
        if self.total is not None:
            self.total = np.concatenate((self.total, np.zeros(more)))
        if self._kind == Kind.GAUGE:
            self.time_ns = np.concatenate((self.time_ns, np.zeros(more, np.int64)))

    def add(self, samples: Observed) -> None:
        """Add samples; there is room for their series."""
        if self._kind == Kind.GAUGE:
            self._say(samples)
            return
        if samples.values is not None or self.total is not None:
            np.add.at(self._sums(), samples.rows, 1.0 if samples.values is None else samples.values)
        if samples.buckets is not None:
            np.add.at(self.buckets.reshape(-1), samples.rows * self.buckets.shape[1] + samples.buckets, 1)
        else:
            np.add.at(self.count, samples.rows, 1)

    def _say(self, samples: Observed) -> None:
        """Keep the newest value of each series; of two at the same time the one that came later."""
        order = np.lexsort((samples.time_ns, samples.rows))
        rows = samples.rows[order]
        last = np.ones(len(rows), np.bool_)
        last[:-1] = rows[1:] != rows[:-1]
        chosen = order[last]
        rows, times = samples.rows[chosen], samples.time_ns[chosen]
        newer = (times >= self.time_ns[rows]) | (self.count[rows] == 0)
        values = np.ones(len(chosen)) if samples.values is None else samples.values[chosen]
        self.time_ns[rows[newer]] = times[newer]
        self._sums()[rows[newer]] = values[newer]
        np.add.at(self.count, samples.rows, 1)

    def _sums(self) -> F64:
        """`total`, which is an array from now on."""
        if self.total is None:
            self.total = self.count.astype(np.float64)
        return self.total

    def counts(self, rows: I64) -> I64:
        """Samples of some series; no room is no samples."""
        inside = self._inside(rows)
        found = np.zeros(len(rows), np.int64)
        of_rows = rows[inside]
        found[inside] = self.buckets[of_rows].sum(1) if self._kind == Kind.HISTOGRAM else self.count[of_rows]
        return found

    def totals(self, rows: I64) -> F64:
        """Sums of values of some series."""
        if self.total is None:
            return self.counts(rows).astype(np.float64)
        inside = self._inside(rows)
        found = np.zeros(len(rows))
        found[inside] = self.total[rows[inside]]
        return found

    def in_buckets(self, rows: I64) -> I64:
        """Samples of some series by bucket."""
        inside = self._inside(rows)
        found = np.zeros((len(rows), self.buckets.shape[1]), np.int64)
        found[inside] = self.buckets[rows[inside]]
        return found

    def times(self, rows: I64) -> I64:
        """Times of the newest values of some series of a gauge."""
        inside = self._inside(rows)
        found = np.zeros(len(rows), np.int64)
        found[inside] = self.time_ns[rows[inside]]
        return found

    def _inside(self, rows: I64) -> npt.NDArray[np.bool_]:
        return rows < self.room

    def clear(self, rows: I64) -> None:
        """Set some series to 0."""
        rows = rows[self._inside(rows)]
        for numbers in (self.count, self.buckets, self.total, self.time_ns):
            if numbers is not None and len(numbers):
                numbers[rows] = 0

    def state(self, rows: I64) -> CellsState:
        """Some series, written down."""
        histogram, gauge = self._kind == Kind.HISTOGRAM, self._kind == Kind.GAUGE
        dtype = self.buckets.dtype.newbyteorder("<")
        return CellsState(
            b"" if histogram else self.counts(rows).astype(dtype).tobytes(),
            b"" if self.total is None else self.totals(rows).astype("<f8").tobytes(),
            self.in_buckets(rows).astype(dtype).tobytes() if histogram else b"",
            self.times(rows).astype("<i8").tobytes() if gauge else b"",
        )

    @classmethod
    def of(cls, state: CellsState, metric: Metric, rows: int, *, narrow: bool) -> "Cells":
        """The same again: series are numbered as they were given to `state`.

        Raises:
            ValueError: The arrays are not of `rows` series.
        """
        made = cls(metric, rows, narrow=narrow)
        dtype = made.buckets.dtype
        little = dtype.newbyteorder("<")
        if made.total is not None or state.total:
            made.total = _filled(np.zeros(rows), np.frombuffer(state.total, "<f8"))
        made.count = _filled(made.count, np.frombuffer(state.count, little))
        made.buckets = _filled(made.buckets, np.frombuffer(state.buckets, little).reshape(made.buckets.shape))
        made.time_ns = _filled(made.time_ns, np.frombuffer(state.time_ns, "<i8"))
        return made


def _filled(numbers: Any, written: Any) -> Any:
    """An array of its own of what was written; of the same type and shape as `numbers`."""
    if numbers.shape != written.shape:
        raise ValueError(f"{written.shape} numbers in place of {numbers.shape}")
    return written.astype(numbers.dtype)
