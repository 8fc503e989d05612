"""Secrets in bytes that become several chunks, cut between lines: pieces of one line may lie in two of them.

A part is judged with the lines behind it in sight where a line in pieces goes on there, and what is known after it is
what the next part begins with. So it comes out as if all of it were one chunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from fluentd.rules.compiled import RunRules, goes_on
from fluentd.rules.judge import Input, Judged
from fluentd.rules.lines import lines_in_pieces, pack_offsets, split_lines, whole_lines
from fluentd.rules.state import RuleState


@dataclass(frozen=True, slots=True)
class Hiding:
    """What hides the secrets of one look at a source.

    Attributes:
        rules: Which do nothing but hide secrets: each line that is given is sent.
        at_end: Nothing followed when the source was read.
        waits: The last lines may wait for the end of a line in pieces.
        count: Called with what became of each part.
        wait: Called with the second of the first line that waits.
    """

    rules: RunRules
    at_end: bool
    waits: bool
    count: Callable[[Judged], None]
    wait: Callable[[int], None]


class Parts:
    """Lines that are judged part by part.

    Args:
        lines: All of one look, in the runtime's format, without newlines.
        ended: Whether the last one has its newline.
        mid_line: Whether the first of them began before.
    """

    def __init__(self, lines: Sequence[bytes], *, ended: bool, mid_line: bool) -> None:
        self._texts = lines
        data = b"\n".join((*lines, b"")) if ended else b"\n".join(lines)
        # Most logs have no line in pieces, and nothing more is to be known of them.
        self._lines = split_lines(data, mid_line=mid_line) if goes_on(data) else []
        self._pieces = lines_in_pieces(self._lines)

    def ready(self, *, more: bool) -> int:
        """How many lines can go now, when the others wait for the end of a line in pieces."""
        return whole_lines(self._lines, len(self._lines), more=more) if self._lines else len(self._texts)

    def second(self, index: int) -> int:
        """Time of a line, seconds since the epoch; at least 1."""
        return max(1, self._lines[index].second)

    def judge(self, given: Input, stop: int, rules: RunRules, state: RuleState | None) -> Judged | None:
        """Judge a part; see `RunRules.apply`.

        Args:
            given: The part.
            stop: Index of the first line behind it.
            rules: See `Hiding`.
            state: As the part before left it.
        """
        until = max((last + 1 for first, last in self._pieces if first < stop <= last), default=stop)
        ahead = self._texts[stop:until]
        if not ahead:
            return rules.apply(given, state)
        behind = list(accumulate((len(line) + 1 for line in ahead), initial=given.size))
        offsets = [*given.offsets(split_lines(given.data, mid_line=given.mid_line)), *behind[:-1]]
        return rules.apply(
            Input(
                given.data + b"".join(line + b"\n" for line in ahead),
                behind[-1],
                pack_offsets(offsets),
                given.start,
                given.source,
                mid_line=given.mid_line,
                final=True,
                ahead=len(ahead),
            ),
            state,
        )
