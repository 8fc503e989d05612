"""Counts of both arms as arrays over a grid of minutes: one analysis, or many at once along leading axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from monitor.canary.counts import MINUTE_NS, Minute

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Arms:
    """Counts of minutes that follow each other; all arrays are float64 or bool of shape (..., minutes).

    Attributes:
        stable_n: n of the stable arm; 0 where the minute is not known, which leaves it out.
        stable_e: e of the stable arm.
        canary_n: n of the canary.
        canary_e: e of the canary.
        known: Which minutes are known.
    """

    stable_n: Floats
    stable_e: Floats
    canary_n: Floats
    canary_e: Floats
    known: Bools

    @property
    def informative(self) -> Bools:
        """Minutes in which both arms had something to count; the others cannot compare them."""
        return (self.stable_n > 0) & (self.canary_n > 0)

    @property
    def share(self) -> Floats:
        """w: the canary's part of n, strictly between 0 and 1; 0.5 where the minute is not informative."""
        total = self.stable_n + self.canary_n
        return np.where(self.informative, self.canary_n / np.where(total > 0, total, 1.0), 0.5)

    @property
    def size(self) -> Floats:
        """n_c n_s / (n_c + n_s): how much a minute compares; w (1 - w) k is this times the rate of events."""
        share = self.share
        return np.where(self.informative, share * (1.0 - share) * (self.stable_n + self.canary_n), 0.0)

    def from_minute(self, first: int) -> "Arms":
        """The same without what was counted before a minute; the grid keeps its length."""
        return self._where(np.arange(self.known.shape[-1]) >= first)

    def compared(self) -> "Arms":
        """The same with zeros where the minute is not informative."""
        return self._where(self.informative)

    def _where(self, kept: Bools) -> "Arms":
        stable_n, stable_e, canary_n, canary_e = (
            np.where(kept, counts, 0.0) for counts in (self.stable_n, self.stable_e, self.canary_n, self.canary_e)
        )
        return Arms(stable_n, stable_e, canary_n, canary_e, self.known & kept)


def in_a_row(minutes: Sequence[Minute]) -> Arms:
    """Known minutes as if each followed the one before, whatever is missing between them.

    Raises:
        ValueError: Minutes do not ascend, or do not begin at a multiple of a minute.
    """
    _check_order(minutes)
    return _placed(minutes, list(range(len(minutes))), len(minutes))


def lay_out(minutes: Sequence[Minute], *, start_ns: int, until_ns: int) -> Arms:
    """Put minutes on the grid from `start_ns` to `until_ns`.

    Raises:
        ValueError: A bound or a minute is no multiple of a minute, minutes do not ascend, or one is out of bounds.
    """
    if start_ns % MINUTE_NS or until_ns % MINUTE_NS or until_ns < start_ns:
        raise ValueError(f"an analysis is of whole minutes, not from {start_ns} to {until_ns}")
    _check_order(minutes)
    at = [(minute.start_ns - start_ns) // MINUTE_NS for minute in minutes]
    length = (until_ns - start_ns) // MINUTE_NS
    if at and not 0 <= at[0] <= at[-1] < length:
        raise ValueError(f"a minute is not between {start_ns} and {until_ns}")
    return _placed(minutes, at, length)


def _check_order(minutes: Sequence[Minute]) -> None:
    if any(minute.start_ns % MINUTE_NS for minute in minutes):
        raise ValueError("a minute begins at a multiple of a minute")
    if any(later.start_ns <= earlier.start_ns for earlier, later in pairwise(minutes)):
        raise ValueError("minutes ascend, and each comes once")


def _placed(minutes: Sequence[Minute], at: list[int], length: int) -> Arms:
    stable_n, stable_e, canary_n, canary_e = (np.zeros(length) for _ in range(4))
    stable_n[at] = [minute.stable_n for minute in minutes]
    stable_e[at] = [minute.stable_e for minute in minutes]
    canary_n[at] = [minute.canary_n for minute in minutes]
    canary_e[at] = [minute.canary_e for minute in minutes]
    known = np.zeros(length, np.bool_)
    known[at] = True
    return Arms(stable_n, stable_e, canary_n, canary_e, known)
