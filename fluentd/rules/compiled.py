"""The rules of one run, ready to be applied; and the ways around judging a chunk line by line."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

import msgspec

from fluentd.podrules import RateLimit, Unit
from fluentd.rules import limit as bucket
from fluentd.rules.judge import Input, Judge, Judged
from fluentd.rules.lines import LOOSE, Line, line_at, pack_offsets
from fluentd.rules.redact import Redactor, hide
from fluentd.rules.state import FRESH, RuleState, Verdict, Working
from pipeline.chunk import cut_chunk
from pipeline.limits import CHUNK_BYTES

_HASHES: Final = 1 << 32
_PIECES: Final = (b"out P", b"err P")


@dataclass(frozen=True, slots=True)
class LineRule:
    """Drops lines, or all but some of them.

    Attributes:
        verdict: `DROP`, `SAMPLE` or `STREAM`.
        stream: Of this stream only; `None` for any.
        pattern: RE2 that the message's first piece matches somewhere; `None` for any message.
        floating: Whether `pattern` can be searched for in a whole chunk.
        keep: Of `SAMPLE`: the share of lines that stay, 0 to 1.
    """

    verdict: Verdict
    stream: int | None = None
    pattern: Any = None
    floating: bool = False
    keep: float = 0.0

    def may_concern(self, data: bytes) -> bool:
        """Whether there may be such a line in a chunk."""
        return self.pattern is None or not self.floating or self.pattern.search(data) is not None

    def concerns(self, content: bytes, stream: int) -> bool:
        """Whether it is such a line."""
        if self.stream is not None and stream != self.stream:
            return False
        return self.pattern is None or self.pattern.search(content) is not None

    def keeps(self, source: bytes, offset: int) -> bool:
        """Whether a line stays: by a hash of its name, so that it is the same whenever it is read."""
        name = source + offset.to_bytes(8, "little")
        return int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "little") < self.keep * _HASHES


class LineRules:
    """Rules on lines, the first one that concerns a line decides.

    Args:
        rules: In their order.
    """

    def __init__(self, rules: Sequence[LineRule]) -> None:
        self._rules = rules

    def may_concern(self, data: bytes) -> bool:
        """Whether there may be a line in a chunk that one of them concerns, or one whose verdict must be remembered."""
        return any(rule.may_concern(data) for rule in self._rules) or _goes_on(data)

    def judge(self, content: bytes, stream: int, *, source: bytes, offset: int) -> Verdict:
        """See `fluentd.rules.judge.LineRules`."""
        for rule in self._rules:
            if rule.concerns(content, stream):
                return Verdict.KEEP if rule.keeps(source, offset) else rule.verdict
        return Verdict.KEEP


class RunRules:
    """The rules of one run.

    Args:
        lines: Rules on lines.
        limit: Rate limit.
        redactor: Hides secrets.
    """

    def __init__(
        self,
        *,
        lines: Sequence[LineRule] = (),
        limit: RateLimit | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._lines = LineRules(lines) if lines else None
        self._limit = limit
        self._redactor = redactor

    def apply(self, given: Input, state: RuleState | None) -> Judged | None:
        """Judge the next bytes of a source; `None` when they are sent as they are and leave no state.

        Args:
            given: The bytes, at least one.
            state: As the bytes before left it.
        """
        lines = self._lines is not None and self._lines.may_concern(given.data)
        secrets = self._redactor is not None and self._redactor.suspicious(given.data)
        judged: Judged | None = None
        if not lines and (state is None or not _is_open(state)):
            if not secrets:
                if self._limit is None and state is None:
                    return None
                judged = _count_only(given, state or FRESH, self._limit)
            elif self._limit is None and self._redactor is not None:
                untouched, judged = _redact_only(given, self._redactor)
                if untouched:
                    return None
        if judged is None:
            judged = self._judge(given, state or FRESH)
        return replace(judged, state=judged.state if self._limit or judged.state.dropped else _plain(judged.state))

    def _judge(self, given: Input, state: RuleState) -> Judged:
        """Judge line by line as much as makes no more than two chunks: marks and offsets may be more than the lines."""
        while True:
            judge = Judge(given, state, rules=self._lines, limit=self._limit, redactor=self._redactor)
            judged = judge.run()
            if len(judged.data) + len(judged.line_offsets) <= 2 * CHUNK_BYTES:
                return judged
            given = _half(given)


NOTHING: Final = RunRules()
"""Ends what rules have begun that are no more: the rest of a line, a count that is not told."""


def _half(given: Input) -> Input:
    """The first lines of `given`, about half of its bytes."""
    stop = cut_chunk(given.data, limit_bytes=len(given.data) // 2)
    data = given.data[:stop]
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    offsets = given.line_offsets[: 4 * lines]
    rest = given.line_offsets[4 * lines :]
    size = int.from_bytes(rest[:4], "little") if rest else stop
    return replace(given, data=data, size=size, line_offsets=offsets, final=False, more=True)


def _goes_on(data: bytes) -> bool:
    """Whether a chunk may have lines in pieces, or ends inside of one."""
    return not data.endswith(b"\n") or any(mark in data for mark in _PIECES)


def _is_open(state: RuleState) -> bool:
    """Whether something of the lines before goes on."""
    return any(state.verdicts) or any(state.hidden) or any(state.block)


def _plain(state: RuleState) -> RuleState:
    """A state without what only a rate limit needs."""
    return msgspec.structs.replace(state, second=0, tokens=0, since=0)


def _count_only(given: Input, state: RuleState, limit: RateLimit | None) -> Judged | None:
    """Judge lines of one second of which all pass, or none does; `None` when it is not so simple."""
    data = given.data
    last_at = data.rfind(b"\n", 0, -1) + 1
    second = _one_second(given, state, last_at)
    if limit is None or second is None:
        return None
    count, work = data.count(b"\n"), Working.of(state)
    bucket.refill(work, limit, second)
    cost = count if limit.unit is Unit.LINES else len(data)
    if work.tokens >= cost and not work.dropped:
        work.tokens -= cost
        return Judged(data, given.line_offsets, given.size, work.freeze(), 0, mid_line=False, dropped={}, hidden={})
    if work.tokens > 0 or given.final or count == 1:
        return None
    work.since = work.since if work.dropped else work.second
    work.dropped += count - 1
    work.count(Verdict.LIMIT, count - 1, last_at)
    taken = int.from_bytes(given.line_offsets[-4:], "little") if given.line_offsets else last_at
    return Judged(b"", b"", taken, work.freeze(), second, mid_line=False, dropped=work.counted, hidden={})


def _one_second(given: Input, state: RuleState, last_at: int) -> int | None:
    """The second of all lines of a chunk, as far as its first and last line tell; `None` for lines in pieces and so on.

    Args:
        given: The bytes.
        state: Before them.
        last_at: Where the last line starts.
    """
    data = given.data
    if given.mid_line or _goes_on(data):
        return None
    first, last = line_at(data, 0, data.index(b"\n") + 1), line_at(data, last_at, len(data))
    second = max(last.second, state.second)
    if LOOSE in (first.stream, last.stream) or max(first.second, state.second) != second:
        return None
    return None if state.dropped and second > state.second else second


def _redact_only(given: Input, redactor: Redactor) -> tuple[bool, Judged | None]:
    """Hide the secrets of lines that stand alone.

    Returns:
        Whether there is nothing to hide; and what came of it, `None` when it is not so simple.
    """
    data = given.data
    if redactor.each_line or given.mid_line or not data.endswith(b"\n"):
        return False, None
    out: list[bytes] = []
    hidden: dict[str, int] = {}
    at = 0
    for place in redactor.hits(data):
        if place < at:
            continue
        start, stop = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place) + 1
        line: Line = line_at(data, start, stop)
        content = line.content_of(data)
        secrets, block = redactor.find(content)
        if line.partial or block:
            return False, None
        if secrets:
            out += (data[at : line.content], hide(content, secrets), b"\n")
            at = stop
            for secret in secrets:
                hidden[secret.kind] = hidden.get(secret.kind, 0) + 1
    if not out:
        return True, None
    out.append(data[at:])
    offsets = given.line_offsets or pack_offsets(_starts(data))
    sent = b"".join(out)
    if len(sent) + len(offsets) > 2 * CHUNK_BYTES:
        return False, None
    return False, Judged(sent, offsets, given.size, FRESH, 0, mid_line=False, dropped={}, hidden=hidden)


def _starts(data: bytes) -> list[int]:
    """Where each line starts."""
    sizes = [len(line) + 1 for line in re.split(rb"\n", data)]
    return [0, *accumulate(sizes[:-2])]
