"""What a shard's windows hold of a question."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from monitor.metric import OVERFLOW, STANDING, Kind, LabelSet, Metric
from monitor.pods.attribution import Endpoints
from monitor.reading import SLOT_NS, Question
from monitor.series.book import Book
from monitor.series.budget import Budget
from monitor.series.cells import I64, Cells
from monitor.series.gather import Newests, Sums
from monitor.series.part import Group, Newest
from monitor.series.pending import Waiting, attribute
from monitor.series.table import Table

_STANDING = frozenset({*STANDING, "pod"})


@dataclass(slots=True)
class Found:
    """What was found of one metric; names as in `monitor.series.part.Part`."""

    metric: Metric
    groups: tuple[Group, ...] = ()
    newest: tuple[Newest, ...] = ()
    unattributed: int = 0
    overflowed: int = 0

    @property
    def count(self) -> int:
        """Samples in the window."""
        counted = sum(group.count for group in self.groups) + sum(newest.count for newest in self.newest)
        return counted + self.unattributed + self.overflowed


def look(book: Book, endpoints: Endpoints, question: Question, *, certain_ns: int) -> list[Found]:
    """Look a question up.

    Args:
        book: The series.
        endpoints: Who was at which address, for samples that still wait.
        question: What is asked.
        certain_ns: Up to when it is certain who was there.

    Returns:
        One for each metric of that name, those with the most samples first.
    """
    found = [_Look(table, book.budget, question).look(endpoints, certain_ns) for table in book.named(question.metric)]
    return sorted(found, key=attrgetter("count"), reverse=True)


class _Look:
    """One metric's windows, and what is asked of them."""

    def __init__(self, table: Table, budget: Budget, question: Question) -> None:
        self._table = table
        self._question = question
        self._places = {name: place for place, name in enumerate(table.metric.labels)}
        self._hidden = _may_be_hidden(question, budget)

    def look(self, endpoints: Endpoints, certain_ns: int) -> Found:
        """See `look`."""
        table, found = self._table, Found(self._table.metric)
        sets, rows, over = self._choose()
        slots = self._slots()
        found.overflowed = sum(int(cells.counts(over).sum()) for cells in slots)
        found.unattributed, certain = self._waiting(endpoints, certain_ns)
        if table.metric.kind == Kind.GAUGE:
            newests = Newests(self._values)
            newests.add_slots(sets, rows, slots)
            newests.add_samples(certain)
            found.newest = newests.newest()
        else:
            sums = Sums(table.metric, self._values)
            sums.add_slots(sets, rows, slots)
            sums.add_samples(certain)
            found.groups = sums.groups()
        return found

    def _choose(self) -> tuple[list[LabelSet], I64, I64]:
        """The series that match, and those that stand for some that may."""
        names = self._table.windows
        sets, chosen, over = names.sets(), [], []
        apps = self._question.match.get("app")
        for place in range(len(sets)) if apps is None else names.of_apps({*apps, OVERFLOW}):
            labels = sets[place]
            if self._matches(labels):
                chosen.append(place)
            elif OVERFLOW in (labels.release, labels.pod) and self._may_match(labels):
                over.append(place)
        rows = names.rows()
        return [sets[place] for place in chosen], rows[np.array(chosen, np.int64)], rows[np.array(over, np.int64)]

    def _slots(self) -> list[Cells]:
        numbers = range(self._question.start_ns // SLOT_NS, self._question.stop_ns // SLOT_NS)
        return [self._table.slots[number] for number in numbers if number in self._table.slots]

    def _waiting(self, endpoints: Endpoints, certain_ns: int) -> tuple[int, Waiting]:
        """How many samples must wait; and those that match and are certain, though it is not yet time for the state."""
        waiting = self._table.pending.all()
        inside = (waiting.time_ns >= self._question.start_ns) & (waiting.time_ns < self._question.stop_ns)
        certain = inside & (waiting.time_ns <= certain_ns)
        known, _ = attribute(waiting.chosen(certain), endpoints)
        matching = np.array([self._matches(labels) for labels in known.sets], np.bool_)
        return int(np.count_nonzero(inside & ~certain)), known.chosen(matching[known.index])

    def _value(self, labels: LabelSet, name: str) -> str:
        """A label by its name; one that the metric does not have is empty."""
        if name in _STANDING:
            value: str = getattr(labels, name)
            return value
        place = self._places.get(name)
        return "" if place is None else labels.labels[place]

    def _values(self, labels: LabelSet) -> tuple[str, ...]:
        return tuple(self._value(labels, name) for name in self._question.by)

    def _matches(self, labels: LabelSet) -> bool:
        return all(self._value(labels, name) in allowed for name, allowed in self._question.match.items())

    def _may_match(self, labels: LabelSet) -> bool:
        """Whether some of the label sets that this one stands for may match."""
        if labels.app == OVERFLOW and not self._hidden:
            return False
        values = ((self._value(labels, name), allowed) for name, allowed in self._question.match.items())
        return all(value == OVERFLOW or value in allowed for value, allowed in values)


def _may_be_hidden(question: Question, budget: Budget) -> bool:
    """Whether samples of what is asked for may be among those of apps that are one too many.

    Not when all apps of these names had label sets of their own before the window began.
    """
    names, spaces = question.match.get("app"), question.match.get("namespace")
    if names is None:
        return True
    uses = {app: use for app, use in budget.apps.items() if app[1] in names and (spaces is None or app[0] in spaces)}
    return {app for _, app in uses} != names or any(use.since_ns > question.start_ns for use in uses.values())
