"""Series of a window added up by the labels that a question tells apart."""

from collections.abc import Callable, Sequence

import numpy as np

from monitor.metric import Kind, LabelSet, Metric
from monitor.series.cells import F64, I64, Cells
from monitor.series.part import Group, Newest
from monitor.series.pending import Waiting
from monitor.series.table import buckets_of

Values = tuple[str, ...]
ValuesOf = Callable[[LabelSet], Values]
"""Values of the labels that the question tells apart."""


class Sums:
    """Counters and histograms, by group."""

    def __init__(self, metric: Metric, values_of: ValuesOf) -> None:
        self._metric = metric
        self._values_of = values_of
        self._codes: dict[Values, int] = {}
        self._count = np.zeros(0, np.int64)
        self._total = np.zeros(0)
        self._buckets = np.zeros((0, len(metric.edges) + 1 if metric.kind == Kind.HISTOGRAM else 0), np.int64)

    def add_slots(self, sets: Sequence[LabelSet], rows: I64, slots: Sequence[Cells]) -> None:
        """Add series from slots."""
        codes = self._codes_of(sets)
        if len(slots):
            np.add.at(self._count, codes, sum(cells.counts(rows) for cells in slots))
            np.add.at(self._total, codes, sum(cells.totals(rows) for cells in slots))
            np.add.at(self._buckets, codes, sum(cells.in_buckets(rows) for cells in slots))

    def add_samples(self, waiting: Waiting) -> None:
        """Add samples."""
        codes = self._codes_of(waiting.sets)[waiting.index]
        np.add.at(self._count, codes, 1)
        np.add.at(self._total, codes, 1.0 if waiting.values is None else waiting.values)
        buckets = buckets_of(self._metric, len(codes), waiting.values)
        if buckets is not None:
            np.add.at(self._buckets, (codes, buckets), 1)

    def _codes_of(self, sets: Sequence[LabelSet]) -> I64:
        codes = self._codes
        found = np.array([codes.setdefault(self._values_of(labels), len(codes)) for labels in sets], np.int64)
        more = len(codes) - len(self._count)
        self._count = np.concatenate((self._count, np.zeros(more, np.int64)))
        self._total = np.concatenate((self._total, np.zeros(more)))
        self._buckets = np.concatenate((self._buckets, np.zeros((more, self._buckets.shape[1]), np.int64)))
        return found

    def groups(self) -> tuple[Group, ...]:
        """The groups that have samples."""
        counts, totals, buckets = self._count.tolist(), self._total.tolist(), self._buckets.tolist()
        return tuple(
            Group(values, counts[code], totals[code], tuple(buckets[code]))
            for values, code in self._codes.items()
            if counts[code]
        )


class Newests:
    """The newest values of a gauge, by series."""

    def __init__(self, values_of: ValuesOf) -> None:
        self._values_of = values_of
        self._found: dict[LabelSet, Newest] = {}

    def add_slots(self, sets: Sequence[LabelSet], rows: I64, slots: Sequence[Cells]) -> None:
        """Add series from slots, which ascend."""
        count, time_ns, value = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.zeros(len(rows))
        for cells in slots:
            of_slot = cells.counts(rows)
            newer = (of_slot > 0) & ((cells.times(rows) >= time_ns) | (count == 0))
            count += of_slot
            time_ns[newer] = cells.times(rows)[newer]
            value[newer] = cells.totals(rows)[newer]
        self._add(sets, count, time_ns, value)

    def add_samples(self, waiting: Waiting) -> None:
        """Add samples, in arrival order."""
        values = np.ones(len(waiting.index)) if waiting.values is None else waiting.values
        for number, time_ns, value in zip(
            waiting.index.tolist(), waiting.time_ns.tolist(), values.tolist(), strict=True
        ):
            labels = waiting.sets[number]
            self._keep(Newest(self._values_of(labels), labels, time_ns, 1, value))

    def _add(self, sets: Sequence[LabelSet], count: I64, time_ns: I64, value: F64) -> None:
        for labels, *numbers in zip(sets, time_ns.tolist(), count.tolist(), value.tolist(), strict=True):
            if numbers[1]:
                self._keep(Newest(self._values_of(labels), labels, *numbers))

    def _keep(self, newest: Newest) -> None:
        known = self._found.get(newest.labels)
        self._found[newest.labels] = newest if known is None else newer_of(known, newest)

    def newest(self) -> tuple[Newest, ...]:
        """All of them."""
        return tuple(self._found.values())


def newer_of(known: Newest, other: Newest) -> Newest:
    """Two findings of one series together; of two values at the same time the other's counts."""
    newer = known if known.time_ns > other.time_ns else other
    return Newest(newer.values, newer.labels, newer.time_ns, known.count + other.count, newer.value)
