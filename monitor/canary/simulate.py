"""Recorded counts against a policy: what the decider would have said at each minute.

Counts come as JSON, an `Observation` as an analysis keeps it for audit, or as CSV with a line for each minute of a
metric. All of it is text from outside, checked here.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.canary.counts import (
    MINUTE_NS,
    Decision,
    MetricCounts,
    Minute,
    Observation,
    Policy,
    Verdict,
)
from monitor.canary.decide import decide

COLUMNS: Final = ("metric", "minute", "stable_n", "stable_e", "canary_n", "canary_e")
"""Of CSV. `minute` counts from the beginning of the analysis; a minute that is not known has no line."""

MOST_MINUTES: Final = 7 * 24 * 60
"""A longer analysis is refused: each look weighs all minutes before it."""


class CountsError(ValueError):
    """What was given are no counts of an analysis; the message says where."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was decided at the end of a minute.

    Attributes:
        minute: How many minutes of the analysis were over, from 1.
        verdict: What followed.
    """

    minute: int
    verdict: Verdict


def replay(policy: Policy, observation: Observation) -> Iterator[Look]:
    """Decide after each minute, until a rollback or the end, with the counts known up to then.

    Signals are of the end of what was recorded, so crash loops and readiness count at the last look only.

    Raises:
        CountsError: The counts or the policy cannot be judged.
    """
    length = (observation.until_ns - observation.start_ns) // MINUTE_NS
    if length > MOST_MINUTES:
        raise CountsError(f"the analysis is of {length} minutes, more than {MOST_MINUTES}")
    for minute in range(1, length + 1):
        try:
            look = Look(minute, decide(policy, _up_to(observation, minute, last=minute == length)))
        except ValueError as error:
            raise CountsError(str(error)) from error
        yield look
        if look.verdict.decision is Decision.ROLLBACK:
            return


def _up_to(observation: Observation, minutes: int, *, last: bool) -> Observation:
    if last:
        return observation
    until_ns = observation.start_ns + minutes * MINUTE_NS
    known = tuple(
        MetricCounts(counts.metric, tuple(minute for minute in counts.minutes if minute.start_ns < until_ns))
        for counts in observation.metrics
    )
    return Observation(observation.start_ns, until_ns, known)


def read_json(text: bytes) -> Observation:
    """An observation as it is kept.

    Raises:
        CountsError: It is no observation.
    """
    try:
        return msgspec.json.decode(text, type=Observation)
    except msgspec.DecodeError as error:
        raise CountsError(str(error)) from error


def read_policy(text: bytes) -> Policy:
    """A policy as JSON, e.g. `{"metrics": [{"name": "errors", "phi": 1.3}]}`.

    Raises:
        CountsError: It is no policy.
    """
    try:
        return msgspec.json.decode(text, type=Policy)
    except msgspec.DecodeError as error:
        raise CountsError(str(error)) from error


def read_csv(text: str) -> Observation:
    """Minutes in any order, under a line with `COLUMNS`; the analysis ends with the newest of them.

    Raises:
        CountsError: A column is missing, or a field is no number that counts can have.
    """
    reader = csv.DictReader(text.splitlines(), strict=True)
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise CountsError(f"no column {', '.join(sorted(missing))}")
    by_metric: defaultdict[str, list[Minute]] = defaultdict(list)
    try:
        for line in reader:
            by_metric[line["metric"]].append(_minute(line))
    except (ValueError, TypeError, csv.Error) as error:
        raise CountsError(f"line {reader.line_num}: {error}") from error
    metrics = tuple(
        MetricCounts(name, tuple(sorted(minutes, key=lambda minute: minute.start_ns)))
        for name, minutes in sorted(by_metric.items())
    )
    until_ns = max((counts.minutes[-1].start_ns + MINUTE_NS for counts in metrics), default=0)
    return Observation(0, until_ns, metrics)


def _minute(line: dict[str, str]) -> Minute:
    number = int(line["minute"])
    counts = [float(line[name]) for name in COLUMNS[2:]]
    if not 0 <= number < MOST_MINUTES:
        raise CountsError(f"minute {number} is not between 0 and {MOST_MINUTES}")
    if not all(math.isfinite(count) and count >= 0 for count in counts):
        raise CountsError("a count is negative or no number")
    return Minute(number * MINUTE_NS, *counts)
