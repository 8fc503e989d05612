"""A rate limit over a chunk without a look at each line: lines of one second are counted, not read.

What comes out is what `judge` makes of the same bytes, which tests compare; what is not simple is left to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules import limit as bucket
from fluentd.rules.judge import Input, Judged, notice
from fluentd.rules.lines import LOOSE, Line, line_at, pack_offsets, unpack_offsets
from fluentd.rules.state import RuleState, Verdict, Working

_SECOND_BYTES: Final = 19
"""`YYYY-MM-DDTHH:MM:SS`."""

_MOST_STRETCHES: Final = 12
"""A chunk of more seconds is read line by line."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Consecutive lines of one second: bytes `[start, stop)`, `count` lines, the last one at `last`."""

    start: int
    stop: int
    last: int
    count: int
    second: int


@dataclass(slots=True)
class _Outcome:
    """What is sent so far: stretches of bytes, and notices in the place of single lines."""

    data: list[bytes] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)


def limit_seconds(given: Input, state: RuleState, limit: RateLimit) -> Judged | None:
    """Judge whole lines by a rate limit alone; `None` when it is not so simple."""
    data = given.data
    stretches = [] if given.mid_line or not data.endswith(b"\n") else list(_stretches(data))
    if not stretches or stretches[-1].stop != len(data) or stretches[0].second < state.second:
        return None
    if state.dropped and stretches[0].second > state.second:
        return None
    work, out, first = Working.of(state), _Outcome(), 0
    for stretch in stretches:
        bucket.refill(work, limit, stretch.second)
        passed = _pass(data, stretch, work, limit)
        if passed > stretch.start and work.dropped:
            return None
        kept = data.count(b"\n", stretch.start, passed)
        lost = stretch.count - kept
        out.data.append(data[stretch.start : passed])
        out.indices += range(first, first + kept)
        first += stretch.count
        if lost and stretch.stop == len(data) and not given.final:
            _lose(work, lost - 1, stretch.last - passed)
            waits = first > 1 or not given.more
            return _judged(given, out, work, taken_lines=first - 1, waits_from=stretch.second) if waits else None
        if lost:
            _lose(work, lost, stretch.stop - passed)
            line = line_at(data, stretch.last, stretch.stop)
            out.data.append(notice(data, line, line.stream, work))
            out.indices.append(first - 1)
    return _judged(given, out, work, taken_lines=first, waits_from=0)


def _stretches(data: bytes) -> Iterator[_Stretch]:
    """Lines of one second each, ascending; ends early where the lines are not simply so."""
    start, before = 0, -1
    for _ in range(_MOST_STRETCHES):
        first: Line = line_at(data, start, data.index(b"\n", start) + 1)
        if first.stream == LOOSE or first.second <= before:
            return
        mark = b"\n" + data[start : start + _SECOND_BYTES]
        last = max(data.rfind(mark, start) + 1, start)
        stop = data.index(b"\n", last) + 1
        count = data.count(b"\n", start, stop)
        if data.count(mark, start, stop) != count - 1 or line_at(data, last, stop).second != first.second:
            return
        yield _Stretch(start, stop, last, count, first.second)
        start, before = stop, first.second
        if start == len(data):
            return


def _pass(data: bytes, stretch: _Stretch, work: Working, limit: RateLimit) -> int:
    """Let lines pass while there are tokens; returns where they end."""
    cost = stretch.count if limit.unit is Unit.LINES else stretch.stop - stretch.start
    if work.tokens >= cost:
        work.tokens -= cost
        return stretch.stop
    at = stretch.start
    while work.tokens > 0 and at < stretch.stop:
        stop = data.index(b"\n", at) + 1
        work.tokens -= bucket.cost_of(limit, stop - at)
        at = stop
    return at


def _lose(work: Working, lines: int, size: int) -> None:
    if lines:
        work.since = work.since if work.dropped else work.second
        work.dropped += lines
        work.count(Verdict.LIMIT, lines, size)


def _judged(given: Input, out: _Outcome, work: Working, *, taken_lines: int, waits_from: int) -> Judged:
    data = given.data
    if not waits_from and not work.counted:
        return Judged(data, given.line_offsets, given.size, work.freeze(), 0, mid_line=False, dropped={}, hidden={})
    sent = b"".join(out.data)
    offsets = unpack_offsets(given.line_offsets) if given.line_offsets else _starts(data)
    taken = offsets[taken_lines] if waits_from else given.size
    untouched = len(out.indices) == taken_lines and not work.counted and not given.line_offsets
    line_offsets = b"" if untouched else pack_offsets([offsets[index] for index in out.indices])
    return Judged(sent, line_offsets, taken, work.freeze(), waits_from, mid_line=False, dropped=work.counted, hidden={})


def _starts(data: bytes) -> list[int]:
    return list(accumulate((len(line) + 1 for line in data.split(b"\n")[:-1]), initial=0))
