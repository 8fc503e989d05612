"""Rules on single lines, and secrets, where they are: lines that nothing points at are not looked at.

What comes out is what `judge` makes of the same bytes, which tests compare; what is not simple is left to it.
"""

from itertools import accumulate

from fluentd.rules.judge import Input, Judged
from fluentd.rules.linerules import LineRules
from fluentd.rules.lines import Line, line_at, pack_offsets, unpack_offsets
from fluentd.rules.redact import Redactor, hide
from fluentd.rules.state import FRESH, Verdict, Working


def change_spots(given: Input, rules: LineRules | None, redactor: Redactor | None) -> tuple[bool, Judged | None]:
    """Judge whole lines by rules on single lines and hide secrets.

    Returns:
        Whether nothing is to be done; and what came of it, `None` when it is not so simple.
    """
    data = given.data
    if given.mid_line or not data.endswith(b"\n") or (redactor is not None and redactor.each_line):
        return False, None
    changes = _Changes(given, rules, redactor)
    places = [*(rules.hits(data) if rules else ()), *(redactor.hits(data) if redactor else ())]
    if not all(changes.change(place) for place in sorted(places)):
        return False, None
    return not changes.any, changes.judged() if changes.any else None


class _Changes:
    """What is sent so far, which lines are gone, and what was counted."""

    def __init__(self, given: Input, rules: LineRules | None, redactor: Redactor | None) -> None:
        self.any = False
        self._given, self._rules, self._redactor = given, rules, redactor
        self._offsets = unpack_offsets(given.line_offsets)
        self._out: list[bytes] = []
        self._gone: set[int] = set()
        self._hidden: dict[str, int] = {}
        self._work = Working.of(FRESH)
        self._at = 0
        self._seen = 0

    def change(self, place: int) -> bool:
        """Change the line at `place` if it is to be; returns whether it stands alone."""
        if place < self._seen:
            return True
        data = self._given.data
        start, self._seen = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place) + 1
        line = line_at(data, start, self._seen)
        if line.partial:
            return False
        content = line.content_of(data)
        if self._drop(line, content):
            return not self._begins_key(content)
        return self._hide(line, content)

    def _drop(self, line: Line, content: bytes) -> bool:
        """Drop a line if a rule says so; returns whether one does."""
        if self._rules is None:
            return False
        given, start = self._given, line.start
        offset = self._offsets[given.data.count(b"\n", 0, start)] if self._offsets else start
        verdict = self._rules.judge(content, line.stream, source=given.source, offset=given.start + offset)
        if verdict == Verdict.KEEP:
            return False
        self._replace(line, start)
        self._gone.add(start)
        self._work.count(verdict, 1, line.stop - start)
        return True

    def _begins_key(self, content: bytes) -> bool:
        """Whether a line that is dropped begins a key that goes on in lines that stay."""
        return self._redactor is not None and bool(self._redactor.find(content)[1])

    def _hide(self, line: Line, content: bytes) -> bool:
        """Hide what is secret in a line; returns whether no block of a key begins in it."""
        if self._redactor is None:
            return True
        secrets, block = self._redactor.find(content)
        if secrets:
            self._replace(line, line.content, hide(content, secrets), b"\n")
        for secret in secrets:
            self._hidden[secret.kind] = self._hidden.get(secret.kind, 0) + 1
        return not block

    def _replace(self, line: Line, start: int, *data: bytes) -> None:
        """Put `data` in the place of the rest of a line from `start` on."""
        self._out += (self._given.data[self._at : start], *data)
        self._at = line.stop
        self.any = True

    def judged(self) -> Judged:
        """What came of it."""
        given = self._given
        starts = list(accumulate((len(line) + 1 for line in given.data.split(b"\n")[:-2]), initial=0))
        offsets = self._offsets or starts
        left = [offset for start, offset in zip(starts, offsets, strict=True) if start not in self._gone]
        return Judged(
            b"".join((*self._out, given.data[self._at :])),
            pack_offsets(left),
            given.size,
            FRESH,
            0,
            mid_line=False,
            dropped=self._work.counted,
            hidden=self._hidden,
        )
