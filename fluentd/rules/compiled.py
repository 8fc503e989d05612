"""The rules of one run, ready to be applied: around the line by line where that is possible."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from fluentd.pods.podrules import RateLimit
from fluentd.rules.judge import Input, Judge, Judged
from fluentd.rules.linerules import LineRule, LineRules
from fluentd.rules.redact import Redactor
from fluentd.rules.seconds import limit_seconds
from fluentd.rules.spots import change_spots
from fluentd.rules.state import FRESH, RuleState
from pipeline.chunk import cut_chunk
from pipeline.limits import CHUNK_BYTES

_PIECES: Final = (b"out P", b"err P")


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
        judged: Judged | None = None
        if state is None or not _is_open(state):
            untouched, judged = self._quickly(given, state)
            if untouched:
                return None
        if judged is None or len(judged.data) + len(judged.line_offsets) > 2 * CHUNK_BYTES:
            judged = self._judge(given, state or FRESH)
        if self._limit is None and not judged.state.dropped:
            return replace(judged, state=msgspec.structs.replace(judged.state, second=0, tokens=0, since=0))
        return judged

    def _quickly(self, given: Input, state: RuleState | None) -> tuple[bool, Judged | None]:
        """Judge without a look at each line.

        Returns:
            Whether nothing is to be done; and what came of it, `None` when it is not so simple.
        """
        lines = self._lines if self._lines is not None and self._lines.may_concern(given.data) else None
        secrets = self._redactor if self._redactor is not None and self._redactor.suspicious(given.data) else None
        if self._limit is None and state is None:
            if lines is None and secrets is None:
                return self._lines is None or not goes_on(given.data), None
            if goes_on(given.data) or (lines is not None and lines.each_line):
                return False, None
            return change_spots(given, lines, secrets)
        if self._limit is None or lines is not None or goes_on(given.data):
            return False, None
        limited = limit_seconds(given, state or FRESH, self._limit)
        if limited is None or secrets is None or not limited.data:
            return False, limited
        return False, _without_secrets(given, limited, secrets)

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
    return replace(given, data=data, size=size, line_offsets=offsets, final=False, more=True, ahead=0)


def goes_on(data: bytes) -> bool:
    """Whether a chunk may have lines in pieces, or ends inside of one."""
    return not data.endswith(b"\n") or any(mark in data for mark in _PIECES)


def _is_open(state: RuleState) -> bool:
    """Whether something of the lines before goes on."""
    return any(state.verdicts) or any(state.hidden) or any(state.block)


def _without_secrets(given: Input, limited: Judged, redactor: Redactor) -> Judged | None:
    """What a rate limit left, without its secrets; `None` when it is not so simple."""
    if redactor.begins_key(given.data):
        return None  # maybe in a line that is dropped, and it goes on in lines that are not
    left = replace(given, data=limited.data, line_offsets=limited.line_offsets, size=limited.taken)
    untouched, hidden = change_spots(left, None, redactor)
    if untouched or hidden is None:
        return limited if untouched else None
    return replace(limited, data=hidden.data, line_offsets=hidden.line_offsets, hidden=hidden.hidden)
