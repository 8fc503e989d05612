"""What rules must know of the lines before a chunk. It travels with the source's position, and so into the checkpoint.

That makes them exact. The decision about a line follows from the bytes of its file up to the second after it, and
from this state at any place in it. So what is read again after a crash comes out as it did the first time, wherever the
chunks are cut now: the logger may take some lines of the one and some of the other, and no notice counts a line twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from fluentd.rules.lines import SLOTS


class Verdict(IntEnum):
    """What becomes of a line; of one in pieces it is decided at the first piece."""

    UNDECIDED = 0
    KEEP = 1
    LIMIT = 2
    """By a rate limit: counted, and told in the log itself."""
    DROP = 3
    """By a rule on lines."""
    SAMPLE = 4
    """By a rule that keeps some of them."""
    STREAM = 5
    """Its stream is excluded by an annotation of the pod."""


class RuleState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state at a place between two lines.

    Attributes:
        second: The latest second of any line so far, since the epoch.
        tokens: Of the rate limit in that second: lines or bytes that may still pass.
        dropped: Lines dropped by the rate limit and not told of yet.
        since: Second of the first of them.
        verdicts: For each stream, the verdict on a line that goes on, else `UNDECIDED`.
        hidden: For each stream, how many bytes at the beginning of what follows belong to a secret.
        block: For each stream, how many lines more a block of a private key may have; 0 outside of one.
    """

    second: int = 0
    tokens: int = 0
    dropped: int = 0
    since: int = 0
    verdicts: tuple[int, ...] = (0,) * SLOTS
    hidden: tuple[int, ...] = (0,) * SLOTS
    block: tuple[int, ...] = (0,) * SLOTS


FRESH = RuleState()
"""The state before the first line of a run."""


@dataclass(slots=True)
class Working:
    """A state while a chunk is judged."""

    second: int
    tokens: int
    dropped: int
    since: int
    verdicts: list[int]
    hidden: list[int]
    block: list[int]
    counted: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: RuleState) -> "Working":
        """A working copy of `state`."""
        return cls(
            state.second,
            state.tokens,
            state.dropped,
            state.since,
            _slots(state.verdicts),
            _slots(state.hidden),
            _slots(state.block),
        )

    def count(self, verdict: int, lines: int, size: int) -> None:
        """Count what is dropped."""
        count = self.counted.setdefault(verdict, [0, 0])
        count[0] += lines
        count[1] += size

    def freeze(self) -> RuleState:
        """The state as it is now."""
        return RuleState(
            self.second,
            self.tokens,
            self.dropped,
            self.since,
            tuple(self.verdicts),
            tuple(self.hidden),
            tuple(self.block),
        )


def _slots(values: Sequence[int]) -> list[int]:
    """Values of each stream, whatever a checkpoint says."""
    return [*values[:SLOTS], *[0] * (SLOTS - len(values))]
