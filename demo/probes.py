"""Probes: numbered lines in every shard whose acknowledgement is known to the moment, and what is wrong with an answer.

A probe's line is `probe <shard> <number>`, numbers counting from 0 in each shard. What a logger answers is held against
three promises: nothing comes twice or out of order; every line that the queue acknowledged long enough before the
question is there, unless the answer says that it lacks that shard; every line before `Complete-Up-To` is there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

OLD_SECONDS: Final = 5.0
"""A line acknowledged so long before a question is in the answer."""

_NAME: Final = re.compile(r"probe (\d+) (\d+)")
_MOST_SHOWN: Final = 5


@dataclass(slots=True)
class Probe:
    """A line.

    Attributes:
        time_ns: When it was written, nanoseconds since the epoch.
        acknowledged_at: When the queue said that it has it, monotonic seconds; infinite before.
    """

    time_ns: int
    acknowledged_at: float = float("inf")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a logger said, all pages together.

    Attributes:
        messages: The lines, in the answer's order.
        partial: Shards that it says may be missing.
        complete_up_to_ns: Everything written before is in it; `None` when it does not say.
    """

    messages: Sequence[str]
    partial: frozenset[int] = frozenset()
    complete_up_to_ns: int | None = None


def probe_message(shard: int, number: int) -> str:
    """The text of a line."""
    return f"probe {shard} {number}"


def find_answer_faults(
    answer: Answer, written: Mapping[int, Sequence[Probe]], *, asked_at: float, since_ns: int
) -> list[str]:
    """What is wrong with an answer.

    Args:
        answer: The answer.
        written: All lines written so far, by shard, in their order.
        asked_at: When the question was asked, monotonic seconds.
        since_ns: Lines from then on were asked for.

    Returns:
        One sentence for each shard and promise that is broken.
    """
    found: dict[int, list[int]] = {shard: [] for shard in written}
    faults: list[str] = []
    for message in answer.messages:
        match = _NAME.fullmatch(message)
        if match is None or int(match[1]) not in found:
            faults.append(f"never written: {message[:80]!r}")
        else:
            found[int(match[1])].append(int(match[2]))
    for shard, numbers in found.items():
        probes = written[shard]
        faults += [f"shard {shard}: {after} after {before}" for before, after in pairwise(numbers) if after <= before]
        wanted = {number: probe for number, probe in enumerate(probes) if probe.time_ns >= since_ns}
        if shard not in answer.partial:
            old = {number for number, probe in wanted.items() if probe.acknowledged_at <= asked_at - OLD_SECONDS}
            faults += _absent(shard, "acknowledged long before", old - set(numbers))
        if answer.complete_up_to_ns is not None:
            told = {number for number, probe in wanted.items() if probe.time_ns < answer.complete_up_to_ns}
            faults += _absent(shard, "said to be complete", told - set(numbers))
    return faults


def _absent(shard: int, why: str, numbers: set[int]) -> list[str]:
    if not numbers:
        return []
    shown = ", ".join(map(str, sorted(numbers)[:_MOST_SHOWN]))
    return [f"shard {shard}: {why}, and not there: {shown}; {len(numbers)} in all, up to {max(numbers)}"]
