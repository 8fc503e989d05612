"""Lines around those that match: from the same container, each given once, whatever the pages are cut into.

The answer is a sequence of groups, one for each line that matches: its neighbours that no group before had, and itself.
What the groups before had is seen from the neighbours alone, so that a page needs to know nothing of the last one.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from logger.reading.lines import Line, taken
from logger.reading.pieces import ReadsTable
from logger.reading.search import Mask
from logger.rows import SCHEMA
from logger.table.snapshot import FileEntry

SAME: Final = ("pod", "container", "node")
"""Rows that agree in these are of the same container."""

_KEPT_GROUPS: Final = 8
_HELD_BYTES: Final = 4 * 1024 * 1024  # of lines that a follower keeps for context
_CONTAINERS: Final = 256  # containers whose last lines a follower keeps; of more, the quietest are forgotten first


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What one matching line finds around it, in the direction of reading.

    Attributes:
        earlier: Rows before it, nearest first: as many as `lead` and `trail` together, if there are.
        earlier_match: Which of them match, too.
        later: Rows after it, nearest first: `trail` of them, if there are.
        later_match: Which of them match, too.
    """

    earlier: pa.Table
    earlier_match: Mask
    later: pa.Table
    later_match: Mask


def group_of(match: pa.Table, around: Neighbours, *, lead: int, trail: int) -> tuple[pa.Table, Mask]:
    """The rows that one matching line adds to the answer, and which of them are context.

    Args:
        match: The line, one row.
        around: Its neighbours.
        lead: How many rows before a matching line are wanted.
        trail: How many after.
    """
    places = np.flatnonzero(around.earlier_match)
    if len(places):
        between = int(places[0])  # rows between this match and the one before; that one's group has `trail` of them
        count, is_new, had = max(0, min(lead, between - trail)), between >= trail, max(0, trail - between - 1)
    else:
        count, is_new, had = min(lead, around.earlier.num_rows), True, 0
    before = taken(around.earlier, np.arange(count)[::-1])
    after = around.later.slice(had)
    table = pa.concat_tables([before, match.slice(0, int(is_new)), after])
    context = np.concatenate([np.ones(count, np.bool_), np.zeros(int(is_new), np.bool_), ~around.later_match[had:]])
    return table, context


class KeptGroups:
    """Reads of one query that go to the same places again and again: row groups stay decoded for its time.

    Args:
        table: What is read.
    """

    def __init__(self, table: ReadsTable) -> None:
        self._table = table
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()

    @property
    def queue_id(self) -> str:
        """See `ReadsTable`."""
        return self._table.queue_id

    def row_group_ends(self, entry: FileEntry) -> Sequence[int]:
        """See `ReadsTable`."""
        return self._table.row_group_ends(entry)

    def read(self, entry: FileEntry, *, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """See `ReadsTable`."""
        ends = np.array(self.row_group_ends(entry))
        first, last = np.searchsorted(ends, (start, start + count - 1), side="right").tolist()
        if last - first >= _KEPT_GROUPS:
            return self._table.read(entry, start=start, count=count, columns=columns)
        begins = [0, *ends.tolist()]
        groups = [self._group(entry, number, begins[number], begins[number + 1]) for number in range(first, last + 1)]
        return pa.concat_tables(groups).select(list(columns)).slice(start - begins[first], count)

    def _group(self, entry: FileEntry, number: int, start: int, stop: int) -> pa.Table:
        key = (entry.path, number)
        if key not in self._groups:
            self._groups[key] = self._table.read(entry, start=start, count=stop - start, columns=SCHEMA.names)
            if len(self._groups) > _KEPT_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


@dataclass
class LiveContext:
    """Context of lines as they come, for one follower; bounded by the containers that are alive.

    Attributes:
        before: Lines before one that matches.
        after: Lines after it.
    """

    before: int
    after: int
    _containers: OrderedDict[tuple[str, ...], "_Recent"] = field(default_factory=OrderedDict)
    _held_bytes: int = 0

    def choose(self, lines: Sequence[Line], wants: Callable[[Line], bool]) -> list[tuple[Line, int]]:
        """Tell which lines are due, in order, with the place in `lines` up to which they are given then.

        A line given late, as context of a match, has the place of that match: a cursor must not go back.
        """
        due: list[tuple[Line, int]] = []
        for place, line in enumerate(lines):
            recent = self._recent(line)
            if wants(line):
                due.extend((_as_context(held), place - 1) for held in recent.held)
                self._forget(recent)
                recent.left = self.after
                due.append((line, place))
            elif recent.left:
                recent.left -= 1
                due.append((_as_context(line), place))
            elif self.before:
                self._hold(recent, line)
        return due

    def _recent(self, line: Line) -> "_Recent":
        key = (line.pod, line.container, line.node)
        recent = self._containers.setdefault(key, _Recent())
        self._containers.move_to_end(key)
        return recent

    def _hold(self, recent: "_Recent", line: Line) -> None:
        recent.held.append(line)
        self._held_bytes += len(line.message)
        if len(recent.held) > self.before:
            self._held_bytes -= len(recent.held.popleft().message)
        while len(self._containers) > 1 and (len(self._containers) > _CONTAINERS or self._held_bytes > _HELD_BYTES):
            _, quietest = self._containers.popitem(last=False)
            self._forget(quietest)
        if self._held_bytes > _HELD_BYTES:
            self._forget(recent)

    def _forget(self, recent: "_Recent") -> None:
        self._held_bytes -= sum(len(line.message) for line in recent.held)
        recent.held.clear()


def _as_context(line: Line) -> Line:
    return msgspec.structs.replace(line, context=True)


@dataclass(slots=True)
class _Recent:
    held: deque[Line] = field(default_factory=deque)
    left: int = 0
