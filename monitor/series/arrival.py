"""Samples as they arrive: those of one metric together, in the order of the rows that they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.metric import LabelSet, Metric, Samples
from monitor.series.cells import F64, I64
from monitor.series.limits import MOST_VALUE
from monitor.series.totals import Trace


@dataclass(frozen=True, slots=True)
class Arrival:
    """Samples of one metric; arrays have one element for each, in arrival order.

    Attributes:
        metric: The metric.
        sets: Label sets, in the order of their first samples.
        first: int64, the row of the first sample of each of `sets`.
        index: int64, which of `sets` each sample has.
        row: int64, ascending: of the batch.
        time_ns: int64.
        values: float64; `None` when each is 1.
        traces: Exemplars, with the label sets of their samples.
    """

    metric: Metric
    sets: list[LabelSet]
    first: I64
    index: I64
    row: I64
    time_ns: I64
    values: F64 | None
    traces: tuple[tuple[LabelSet, Trace], ...] = ()

    def relabelled(self, sets: list[LabelSet], index: I64, which: Any) -> "Arrival":
        """Some of the samples, under other label sets; `index` is of all samples."""
        values = None if self.values is None else self.values[which]
        row = self.row[which]
        used, first, index = _by_first(sets, index[which], row)
        return Arrival(self.metric, used, first, index, row, self.time_ns[which], values, self.traces)


def arrivals_of(samples: Sequence[Samples]) -> list[Arrival]:
    """Bring the samples of a batch together, metric by metric in `order_of` them."""
    by_metric: dict[Metric, list[Samples]] = {}
    for each in samples:
        if len(each.index):
            by_metric.setdefault(each.metric, []).append(each)
    return [_together(metric, by_metric[metric]) for metric in sorted(by_metric, key=order_of)]


def order_of(metric: Metric) -> tuple[Any, ...]:
    """Metrics ascend by this: by nothing but what they are."""
    return metric.name, metric.kind.value, metric.labels, metric.edges, metric.help


def _together(metric: Metric, parts: list[Samples]) -> Arrival:
    sets, index = parts[0].sets, parts[0].index.astype(np.int64)
    row, time_ns, values = parts[0].row, parts[0].time_ns, parts[0].values
    if len(parts) > 1:
        sets = [labels for part in parts for labels in part.sets]
        before = np.cumsum([0, *[len(part.sets) for part in parts]])
        index = np.concatenate([part.index + offset for part, offset in zip(parts, before[:-1], strict=True)])
        row = np.concatenate([part.row for part in parts])
        order = np.argsort(row, kind="stable")
        time_ns = np.concatenate([part.time_ns for part in parts])[order]
        index, row = index[order], row[order]
        if any(part.values is not None for part in parts):
            values = np.concatenate([_values(part) for part in parts])[order]
    if values is not None:
        values = np.clip(values, -MOST_VALUE, MOST_VALUE)
    used, first, index = _by_first(sets, index, row)
    return Arrival(metric, used, first, index, row, time_ns, values, _traces(parts))


def _values(part: Samples) -> F64:
    return np.ones(len(part.index)) if part.values is None else part.values


def _traces(parts: list[Samples]) -> tuple[tuple[LabelSet, Trace], ...]:
    found = []
    for part in parts:
        for exemplar in part.exemplars:
            at = exemplar.sample
            value = 1.0 if part.values is None else float(part.values[at])
            found.append((part.sets[part.index[at]], Trace(exemplar.trace_id, value, int(part.time_ns[at]))))
    return tuple(found)


def _by_first(sets: list[LabelSet], index: I64, row: I64) -> tuple[list[LabelSet], I64, I64]:
    """Put label sets into the order of their first samples, and leave out those without any.

    Returns:
        The label sets, the row of the first sample of each, and which of them each sample has.
    """
    count = len(index)
    first = np.full(len(sets), count)
    first[index[::-1]] = np.arange(count - 1, -1, -1)  # of several writes to one place the last one stays
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < count)]
    places = np.zeros(len(sets), np.int64)
    places[order] = np.arange(len(order))
    return [sets[number] for number in order.tolist()], row[first[order]], places[index]
