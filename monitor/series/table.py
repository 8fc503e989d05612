"""One metric of a shard: its label sets, what they add up to in all, and what they add up to in each slot.

Totals do not tell pods apart, windows do. A slot is a `Cells` over all series of the metric; it exists once a sample
falls into it, and is dropped whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.metric import OVERFLOW, Kind, LabelSet, Metric
from monitor.reading import SLOT_NS
from monitor.series.budget import Budget, beyond, is_over, named, without_pod
from monitor.series.cells import F64, I64, Cells, Observed
from monitor.series.names import Names
from monitor.series.pending import Pending
from monitor.series.times import Times
from monitor.series.totals import Totals, Trace

TOUCHED: Final = 0
"""Fact of a total: the shard's clock when it was last added to."""

NEWEST: Final = 1
"""Fact of a total: time of its newest sample."""

TOTAL: Final = 0
"""Fact of a windowed series: number of its total."""

SLOT: Final = 1
"""Fact of a windowed series: the newest slot that it has samples in."""

POOLED: Final = 2
"""Fact of a windowed series: 1 when it stands for pods beyond the budget, under labels that are kept."""

NO_SLOT: Final = -(2**62)


@dataclass(slots=True)
class Table:
    """See the module.

    Attributes:
        metric: Its definition.
        own: Whether an app's own rules make it.
        totals: Series without pods; facts `TOUCHED` and `NEWEST`.
        sums: Their values.
        windows: Series with pods; facts `TOTAL`, `SLOT` and `POOLED`.
        slots: Their values by slot.
        pending: Samples whose pod is not certain.
        traces: Newest exemplars by number of the total; nothing is counted by them, and they are in no state.
    """

    metric: Metric
    own: bool
    totals: Names = field(default_factory=lambda: Names(2))
    sums: Cells = field(init=False)
    windows: Names = field(default_factory=lambda: Names(3))
    slots: dict[int, Cells] = field(default_factory=dict)
    pending: Pending = field(default_factory=Pending)
    traces: dict[int, Trace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = Cells(self.metric, self.totals.room, narrow=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept here."""
        return not len(self.totals) and not len(self.pending)

    @property
    def own_name(self) -> str | None:
        """Its name, if an app's own rules make it."""
        return self.metric.name if self.own else None

    def find(self, labels: LabelSet, budget: Budget) -> int | None:
        """The series that a label set's samples go to; `None` when `place` must make one, in its turn."""
        row = self.windows.get(labels)
        if row is not None:
            return row
        use = budget.use(labels)
        if self.totals.get(without_pod(labels)) is None:
            full = budget.is_full() if use is None else not budget.has_room(use, self.own_name)
            return self.windows.get(beyond(labels, use is not None)) if full else None
        if use is None or budget.has_pod_room(use):
            return None
        return self.windows.get(named(labels, OVERFLOW))

    def place(self, labels: LabelSet, budget: Budget) -> int:
        """The series that a label set's samples go to, made if need be: its own, or one that stands for many."""
        row = self.windows.get(labels)
        if row is not None:
            return row
        use = budget.enter(labels)
        total = self.totals.get(without_pod(labels))
        if total is None and (use is None or not budget.admit(use, self.own_name)):
            labels = beyond(labels, use is not None)
            total = self.totals.get(without_pod(labels))
        elif use is not None and not budget.admit_pod(use):
            labels = named(labels, OVERFLOW)
        row = self.windows.get(labels)
        if row is not None:
            return row
        if total is None:
            budget.hold(use)
            total = self.totals.add(without_pod(labels), budget.clock_ns, NO_SLOT)
        budget.hold(use)
        return self.windows.add(labels, total, NO_SLOT, int(labels.pod == OVERFLOW and not is_over(labels)))

    def add(self, rows: I64, time_ns: I64, values: F64 | None, *, times: Times) -> tuple[int, int]:
        """Add samples, in arrival order, to series that have a place.

        Returns:
            How many are in no window: those that are too old, and those too far ahead.
        """
        samples = Observed(rows, time_ns, values, buckets_of(self.metric, len(rows), values))
        self._add_totals(samples, times)
        slot = time_ns // SLOT_NS
        late, ahead = slot < times.first_slot, slot > times.last_slot
        inside = ~(late | ahead)
        self._add_slots(samples.chosen(inside), slot[inside])
        return int(np.count_nonzero(late)), int(np.count_nonzero(ahead))

    def _add_totals(self, samples: Observed, times: Times) -> None:
        totals = self.windows.facts[TOTAL][samples.rows]
        self.sums.grow(self.totals.room)
        self.sums.add(Observed(totals, samples.time_ns, samples.values, samples.buckets))
        self.totals.facts[TOUCHED][totals] = times.clock_ns
        np.maximum.at(self.totals.facts[NEWEST], totals, np.minimum(samples.time_ns, (times.last_slot + 1) * SLOT_NS))

    def _add_slots(self, samples: Observed, slot: I64) -> None:
        np.maximum.at(self.windows.facts[SLOT], samples.rows, slot)
        for number in np.unique(slot).tolist():
            of_slot = samples.chosen(slot == number)
            cells = self.slots.get(number)
            if cells is None:
                cells = self.slots[number] = Cells(self.metric, 0, narrow=True)
            highest = int(of_slot.rows.max())
            if highest >= cells.room:
                cells.grow(max(highest + 1, min(self.windows.used, 2 * cells.room)))
            cells.add(of_slot)

    def forget(self, times: Times, budget: Budget) -> None:
        """Drop slots that are over, and series that have had no samples for long."""
        for number in [number for number in self.slots if number < times.first_slot]:
            del self.slots[number]
        rows = self.windows.rows()
        idle = np.flatnonzero(self.windows.facts[SLOT][rows] < times.first_slot)
        for labels in self.windows.where(idle):
            budget.forget_pod(labels)
        self.windows.drop(self.windows.where(idle))
        self._forget_totals(times.clock_ns - budget.limits.idle_ns, budget)

    def _forget_totals(self, before_ns: int, budget: Budget) -> None:
        rows = self.totals.rows()
        idle = self.totals.facts[TOUCHED][rows] < before_ns
        if not idle.any():
            return
        idle &= ~np.isin(rows, self.windows.facts[TOTAL][self.windows.rows()])
        gone = np.flatnonzero(idle)
        self.sums.grow(self.totals.room)
        self.sums.clear(rows[gone])
        for row in rows[gone].tolist():
            self.traces.pop(row, None)
        for labels in self.totals.where(gone):
            budget.forget(labels, self.own_name)
        self.totals.drop(self.totals.where(gone))

    def over(self) -> Mapping[tuple[str, str], int]:
        """Samples beyond the budget, by namespace and app."""
        sets, rows = self.totals.sets(), self.totals.rows()
        places = [place for place, labels in enumerate(sets) if is_over(labels)]
        counts = self.sums.counts(rows[places]).tolist() if places else []
        return {(sets[place].namespace, sets[place].app): count for place, count in zip(places, counts, strict=True)}

    def shown(self) -> Totals:
        """The totals as they are now."""
        rows = self.totals.rows()
        place_of = {row: place for place, row in enumerate(rows.tolist()) if row in self.traces} if self.traces else {}
        return Totals(
            self.metric,
            self.totals.sets(),
            self.sums.counts(rows),
            self.sums.totals(rows),
            self.sums.in_buckets(rows),
            {place: self.traces[row] for row, place in place_of.items()},
        )


def buckets_of(metric: Metric, count: int, values: F64 | None) -> I64 | None:
    """Which bucket each value of a histogram belongs to: the first whose edge is not below it."""
    if metric.kind != Kind.HISTOGRAM:
        return None
    found = np.searchsorted(np.array(metric.edges), np.ones(count) if values is None else values, side="left")
    return found.astype(np.int64)
