"""Which series there are: label sets, and the numbers under which their values are kept.

A number that is given back is used again. What is shown or written down goes by the order in which label sets came, so
that it does not depend on which numbers those were.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from monitor.metric import LabelSet
from monitor.series.cells import I64

_FIRST_ROOM: Final = 16


class Names:
    """See the module.

    Args:
        columns: How many numbers are kept of each series itself.

    Attributes:
        facts: int64, a row for each of `columns`, a column for each series' number.
    """

    def __init__(self, columns: int) -> None:
        self.facts: I64 = np.zeros((columns, _FIRST_ROOM), np.int64)
        self._rows: dict[LabelSet, int] = {}
        self._free: list[int] = []
        self._order: I64 | None = None
        self._sets: tuple[LabelSet, ...] | None = None
        self._of_apps: dict[str, list[int]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LabelSet]:
        return iter(self._rows)

    @property
    def room(self) -> int:
        """One more than the highest number that may be given without growing."""
        return len(self.facts[0])

    @property
    def used(self) -> int:
        """One more than the highest number that is given."""
        return len(self._rows) + len(self._free)

    def get(self, labels: LabelSet) -> int | None:
        """The number of a label set, if it has one."""
        return self._rows.get(labels)

    def add(self, labels: LabelSet, *facts: int) -> int:
        """Give a new label set a number."""
        row = self._free.pop() if self._free else len(self._rows)
        if row >= self.room:
            self.facts = np.concatenate((self.facts, np.zeros_like(self.facts)), 1)
        self.facts[:, row] = facts
        self._rows[labels] = row
        self._order = self._sets = self._of_apps = None
        return row

    def drop(self, gone: Iterable[LabelSet]) -> None:
        """Take numbers back."""
        for labels in gone:
            self._free.append(self._rows.pop(labels))
            self._order = self._sets = self._of_apps = None

    def rows(self) -> I64:
        """All numbers given, in the order in which the label sets came."""
        if self._order is None:
            self._order = np.fromiter(self._rows.values(), np.int64, len(self._rows))
        return self._order

    def sets(self) -> tuple[LabelSet, ...]:
        """All label sets, in that order."""
        if self._sets is None:
            self._sets = tuple(self._rows)
        return self._sets

    def of_apps(self, apps: Iterable[str]) -> Iterator[int]:
        """Places of the label sets of some apps in that order."""
        if self._of_apps is None:
            self._of_apps = {}
            for place, labels in enumerate(self.sets()):
                self._of_apps.setdefault(labels.app, []).append(place)
        return (place for app in sorted(apps) for place in self._of_apps.get(app, ()))

    def where(self, chosen: I64) -> list[LabelSet]:
        """The label sets at some places of that order."""
        sets = self.sets()
        return [sets[place] for place in chosen.tolist()]
