"""What was written against what came back on one way: pure, and told the time.

A line is in one of these states::

    waiting --seen--> seen --seen--> duplicated (counted)
       |
       '-- the logger says that it is complete beyond it, or the longest wait is over --> missing
                 missing --seen--> late                  missing --too old--> missing, and forgotten

Only what waits or is missing is remembered, each line by its number and time: what is below the next number and neither
of these has been seen.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum, unique
from itertools import islice, takewhile
from typing import Final

NS: Final = 1_000_000_000


@unique
class Reason(StrEnum):
    """Why a line counts as missing.

    COMPLETE is a loss, or a wrong word about completeness. WAITED says only that it took too long.
    """

    COMPLETE = "complete"
    WAITED = "waited"


@unique
class Verdict(StrEnum):
    """What a line that came is."""

    FIRST = "first"
    OUT_OF_ORDER = "out of order"
    LATE = "late"
    DUPLICATE = "duplicate"
    UNEXPECTED = "unexpected"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long what is waited for, in nanoseconds; see `AuditSettings`."""

    settle_ns: int
    wait_ns: int
    late_ns: int


@dataclass(frozen=True, slots=True)
class Missing:
    """A line that did not come."""

    time_ns: int
    reason: Reason


@dataclass(slots=True)
class Judge:
    """The state of one way.

    Attributes:
        patience: How long it waits.
        next: The number that the next line written gets.
        waiting: Time of each line that has not come yet, by number, ascending.
        missing: Lines given up and not come since, by number, ascending.
        given_up: How many lines are missing now, by reason, the forgotten ones too.
    """

    patience: Patience
    next: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    missing: dict[int, Missing] = field(default_factory=dict)
    given_up: Counter[Reason] = field(default_factory=Counter)
    _highest: int = -1
    _forgotten: int = -1

    def written(self, sequence: int, time_ns: int) -> None:
        """Expect a line; numbers without a gap, times that do not go back."""
        if sequence != self.next:
            raise ValueError(f"line {sequence} after {self.next - 1}")
        self.waiting[sequence] = time_ns
        self.next = sequence + 1

    def seen(self, sequence: int) -> Verdict:
        """Judge a line that came."""
        if sequence >= self.next:
            return Verdict.UNEXPECTED
        if self.waiting.pop(sequence, None) is not None:
            in_order = sequence > self._highest
            self._highest = max(self._highest, sequence)
            return Verdict.FIRST if in_order else Verdict.OUT_OF_ORDER
        given_up = self.missing.pop(sequence, None)
        if given_up is not None:
            self.given_up[given_up.reason] -= 1
            return Verdict.LATE
        return Verdict.FORGOTTEN if sequence <= self._forgotten else Verdict.DUPLICATE

    def settle(self, *, now_ns: int, complete_ns: int = 0) -> None:
        """Give up what should have come, and forget what is missing for too long.

        Args:
            now_ns: The time.
            complete_ns: All lines that were in their files before that have come; 0 while unknown.
        """
        settled_ns = complete_ns - self.patience.settle_ns
        limit_ns = max(settled_ns, now_ns - self.patience.wait_ns)
        for sequence, time_ns in list(takewhile(lambda line: line[1] < limit_ns, self.waiting.items())):
            reason = Reason.COMPLETE if time_ns < settled_ns else Reason.WAITED
            del self.waiting[sequence]
            self.missing[sequence] = Missing(time_ns, reason)
            self.given_up[reason] += 1
        old_ns = now_ns - self.patience.wait_ns - self.patience.late_ns
        for sequence in list(takewhile(lambda number: self.missing[number].time_ns < old_ns, self.missing)):
            del self.missing[sequence]
            self._forgotten = sequence

    def is_looked_for(self, sequence: int) -> bool:
        """Whether a line was written and has not come."""
        return sequence in self.waiting or sequence in self.missing

    def oldest(self) -> tuple[int, int] | None:
        """Number and time of the oldest line that is still looked for; `None` when there is none."""
        looked_for = [(number, line.time_ns) for number, line in islice(self.missing.items(), 1)]
        looked_for += islice(self.waiting.items(), 1)
        return min(looked_for, default=None)
