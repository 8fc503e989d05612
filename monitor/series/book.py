"""All metrics of a shard: samples in, metric by metric; time passes at ticks.

What is kept and what is beyond a budget is decided over all metrics in the order of the rows that the samples come
from.
"""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.metric import LabelSet, Metric, Samples
from monitor.pods.attribution import Endpoints
from monitor.reading import SLOT_NS
from monitor.series.arrival import Arrival, arrivals_of, order_of
from monitor.series.budget import Budget
from monitor.series.cells import F64, I64
from monitor.series.limits import Limits
from monitor.series.pending import Waiting, attribute, nobodys
from monitor.series.table import POOLED, TOTAL, Table
from monitor.series.times import Times
from monitor.series.totals import Trace

_NOT_YET: Final = -1


@dataclass(slots=True)
class Drops:
    """What was counted of samples since the shard began, by metric.

    Attributes:
        late: Too old for windows; in totals.
        ahead: Too far in the future for windows; in totals.
        pooled: Beyond the budget of label sets that tell pods: in windows without their pod.
        unattributed: Of which nobody is known to have served them.
        refused: Of apps' own rules, beyond the bound of metrics: nowhere.
    """

    late: Counter[str] = field(default_factory=Counter)
    ahead: Counter[str] = field(default_factory=Counter)
    pooled: Counter[str] = field(default_factory=Counter)
    unattributed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "Drops":
        """The same counts, which change no more."""
        return Drops(*map(Counter, (self.late, self.ahead, self.pooled, self.unattributed, self.refused)))


class Book:
    """See the module.

    Args:
        limits: Bounds.
        standing: Names of the metrics that the rules make; all others are of apps' own rules.

    Attributes:
        times: The time at the last tick.
        tables: By metric.
        budget: What apps have of their budgets.
        drops: What was counted.
    """

    def __init__(self, limits: Limits, standing: Container[str]) -> None:
        self.times = Times()
        self.tables: dict[Metric, Table] = {}
        self.budget = Budget(limits)
        self.drops = Drops()
        self._standing = standing

    def in_order(self) -> list[Table]:
        """All metrics, in an order that depends on nothing but what they are."""
        return [self.tables[metric] for metric in sorted(self.tables, key=order_of)]

    def named(self, name: str) -> list[Table]:
        """The metrics of that name: apps' own rules may define it in several ways."""
        return [table for table in self.in_order() if table.metric.name == name]

    def pass_time(self, times: Times) -> None:
        """Go on to another time, before the samples of the record that brings it."""
        self.times, self.budget.clock_ns = times, times.clock_ns

    def tick(self, endpoints: Endpoints) -> None:
        """Attribute what is certain by now, and forget what is over."""
        tables = self.in_order()
        for table in tables:
            due = table.pending.take(self.times.certain_ns)
            if due is not None:
                self._attribute(table, due, endpoints)
        for table in tables:
            table.forget(self.times, self.budget)
            if table.is_empty:
                del self.tables[table.metric]

    def add(self, samples: Sequence[Samples]) -> None:
        """Add what the lines of one batch give."""
        arrivals = arrivals_of(samples)
        for arrival in sorted(arrivals, key=lambda arrival: int(arrival.row[0])):
            self._open(arrival)
        ready = [self._let_wait(arrival) for arrival in arrivals if arrival.metric in self.tables]
        for arrival, rows in zip(ready, self._place(ready), strict=True):
            table = self.tables[arrival.metric]
            self._count(table, rows[arrival.index], arrival.time_ns, arrival.values)
            for labels, trace in arrival.traces:
                self._trace(table, labels, trace)

    def _open(self, arrival: Arrival) -> None:
        """Make a table, if there is none; without room for it, samples are refused."""
        metric = arrival.metric
        if metric in self.tables:
            return
        own = metric.name not in self._standing
        if own and sum(table.own for table in self.tables.values()) >= self.budget.limits.own_metrics:
            self.drops.refused[metric.name] += len(arrival.index)
        else:
            self.tables[metric] = Table(metric, own)

    def _let_wait(self, arrival: Arrival) -> Arrival:
        """Let those samples wait whose pod is not certain, and return the others.

        Nobody served what there is no room for, and what came from a clock that is far ahead.
        """
        routed = np.array([bool(labels.upstream) for labels in arrival.sets], np.bool_)[arrival.index]
        if not routed.any():
            return arrival
        stays = routed & (arrival.time_ns // SLOT_NS <= self.times.last_slot)
        new = arrival.relabelled(arrival.sets, arrival.index, stays)
        waiting = Waiting(new.sets, new.index, new.time_ns, new.values)
        stays[stays] = self.tables[arrival.metric].pending.add(waiting, self.budget.limits)
        left = routed & ~stays
        if left.any():
            self.drops.unattributed[arrival.metric.name] += int(np.count_nonzero(left))
        sets = arrival.sets + [nobodys(labels) for labels in arrival.sets]
        return arrival.relabelled(sets, arrival.index + len(arrival.sets) * left, ~stays)

    def _place(self, arrivals: Sequence[Arrival]) -> list[I64]:
        """The series of each label set. New ones get their places in the order of the rows, over all metrics."""
        rows = [np.full(len(arrival.sets), _NOT_YET, np.int64) for arrival in arrivals]
        new: list[tuple[int, int, int]] = []
        for number, arrival in enumerate(arrivals):
            find = self.tables[arrival.metric].find
            for place, labels in enumerate(arrival.sets):
                row = find(labels, self.budget)
                if row is None:
                    new.append((int(arrival.first[place]), number, place))
                else:
                    rows[number][place] = row
        for _, number, place in sorted(new):
            arrival = arrivals[number]
            rows[number][place] = self.tables[arrival.metric].place(arrival.sets[place], self.budget)
        return rows

    def _count(self, table: Table, rows: I64, time_ns: I64, values: F64 | None) -> None:
        late, ahead = table.add(rows, time_ns, values, times=self.times)
        name = table.metric.name
        for counter, count in (
            (self.drops.late, late),
            (self.drops.ahead, ahead),
            (self.drops.pooled, int(table.windows.facts[POOLED][rows].sum())),
        ):
            if count:
                counter[name] += count

    def _attribute(self, table: Table, due: Waiting, endpoints: Endpoints) -> None:
        """Add samples whose pod is certain now."""
        found, unknown = attribute(due, endpoints)
        if unknown:
            self.drops.unattributed[table.metric.name] += unknown
        rows = np.array([table.place(labels, self.budget) for labels in found.sets], np.int64)
        self._count(table, rows[found.index], found.time_ns, found.values)
        for labels, trace in table.pending.traces_until(self.times.certain_ns):
            one = Waiting([labels], np.zeros(1, np.int64), np.array([trace.time_ns]), None)
            self._trace(table, attribute(one, endpoints)[0].sets[0], trace)

    def _trace(self, table: Table, labels: LabelSet, trace: Trace) -> None:
        """Keep an exemplar if it is the newest of its series."""
        if labels.upstream:
            table.pending.note(labels, trace, self.budget.limits)
            return
        row = table.find(labels, self.budget)
        if row is not None:
            total = int(table.windows.facts[TOTAL][row])
            known = table.traces.get(total)
            if known is None or known.time_ns <= trace.time_ns:
                table.traces[total] = trace
