"""Bytes that are missing and that nobody declared lost: named, listed, and accepted as lost by an operator.

A gap holds its node's watermark, and with it `Complete-Up-To`, until the bytes come or their source is forgotten. Once
it is accepted it is a loss that was declared: nothing waits for it, and if its bytes come after all they are taken.
Pure.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from pipeline.chunk import Origin
from pipeline.errors import FatalError
from pipeline.lines.resume import RunState, ShardState

_NAME: Final = re.compile(r"([0-9]{1,6}):((?:[0-9a-f]{2}){1,16}):([0-9]{1,19})-([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Gaps:
    """What is missing in a shard.

    Attributes:
        count: Missing ranges that nobody declared lost.
        bytes: Their bytes.
        accepted_bytes: Of those that an operator has accepted as lost, since the queue was made.
    """

    count: int
    bytes: int
    accepted_bytes: int


class GapName(NamedTuple):
    """What names a gap: `shard:source:start-end`, the source in hexadecimal. Bytes that came since make it another."""

    shard: int
    source: bytes
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.shard}:{self.source.hex()}:{self.start}-{self.end}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name.

        Raises:
            ValueError: It is none.
        """
        match = _NAME.fullmatch(text)
        if match is None or int(match[3]) >= int(match[4]):
            raise ValueError(f"{text[:100]!r} is no gap: expected shard:source:start-end, as `gaps` prints it")
        return cls(int(match[1]), bytes.fromhex(match[2]), int(match[3]), int(match[4]))


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap.

    Attributes:
        name: See `GapName`.
        node: Whose watermark it holds.
        origin: The run whose bytes they are, with the labels that it had last.
        ordinal: Of the file in its run.
        held_ns: Up to when that watermark stands, nanoseconds since the epoch; 0 for nowhere.
    """

    name: GapName
    node: str
    origin: Origin
    ordinal: int
    held_ns: int


def find_gaps(shard: int, state: ShardState) -> Iterator[Gap]:
    """All gaps of a shard, run by run."""
    for run in state.runs:
        for source in run.sources:
            for hole in source.holes:
                if not hole.declared:
                    name = GapName(shard, source.source, hole.start, hole.end)
                    held_ns = state.nodes[hole.node].effective_ns
                    yield Gap(name, hole.node, run.origin, source.ordinal, held_ns)


def gap_bytes(run: RunState) -> int:
    """Bytes of all gaps of a run."""
    return sum(hole.end - hole.start for source in run.sources for hole in source.holes if not hole.declared)


def accept_gaps(state: ShardState, names: Collection[GapName]) -> int:
    """Turn gaps of a shard into declared losses, in place.

    Returns:
        Their bytes.

    Raises:
        FatalError: One of them is no gap of the shard as it stands; nothing is to be kept of `state` then.
    """
    wanted = {(name.source, name.start, name.end): name for name in names}
    accepted_bytes = 0
    for source in (source for run in state.runs for source in run.sources):
        for hole in source.holes:
            if not hole.declared and wanted.pop((source.source, hole.start, hole.end), None) is not None:
                hole.declared = True
                state.nodes[hole.node].gaps -= 1
                accepted_bytes += hole.end - hole.start
    if wanted:
        first = next(iter(wanted.values()))
        raise FatalError(f"{first}: there is no such gap (any more); see `gaps`")
    state.accepted_bytes += accepted_bytes
    return accepted_bytes
