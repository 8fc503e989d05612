"""Which run is read next: turns of one chunk each, so that nobody waits for more than a bounded number of bytes.

A pass looks at every run that is due, then goes on with those that had something, turn by turn. It ends at the end of
a turn, when nothing is left or when it has read `PASS_BYTES`: then all runs are looked at again, also those that had
nothing a moment ago. So between two looks at any run, another one is served `PASS_BYTES` and a chunk at most.

What lies behind at the start is read in the same turns, or the newest first: runs that nobody has written to for a
while get one turn in `OLD_TURNS` as long as others have something.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from pipeline.limits import MIB

R = TypeVar("R")

PASS_BYTES: Final = 4 * MIB
"""10 ms of reading: little beside the linger of a pack, much beside a look at a hundred runs that have nothing."""

OLD_TURNS: Final = 8


class Turns(Generic[R]):
    """The turns of all passes.

    Args:
        is_old: Which runs stand back while others have something to read; none by default.
    """

    def __init__(self, *, is_old: Callable[[R], bool] | None = None) -> None:
        self._is_old = is_old
        self._count = 0
        self._first: list[R] = []
        self._old: list[R] = []
        self._read_bytes = 0

    def begin(self, due: Sequence[R]) -> None:
        """Begin a pass over the runs that are due."""
        self._read_bytes = 0
        self._old = [] if self._is_old is None else [run for run in due if self._is_old(run)]
        old = set(map(id, self._old))
        self._first = [run for run in due if id(run) not in old] if old else list(due)

    def next_turn(self) -> list[R]:
        """Runs to be served one chunk each; empty when the pass is over. Tell `served` of each."""
        if self._read_bytes >= PASS_BYTES:
            return []
        self._count += 1
        turn, self._first = self._first, []
        if not turn or self._count % OLD_TURNS == 0:
            turn += self._old
            self._old = []
        return turn

    def served(self, run: R, size: int) -> None:
        """A run had its turn, and may have another one in this pass.

        Args:
            run: Of the last turn.
            size: Bytes that were read; 0 if it has to wait for its lane.
        """
        self._read_bytes += size
        if self._is_old is not None and self._is_old(run):
            self._old.append(run)
        else:
            self._first.append(run)

    @property
    def left(self) -> bool:
        """Whether runs are left that may have more."""
        return bool(self._first or self._old)
