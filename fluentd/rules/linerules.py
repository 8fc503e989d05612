"""Rules on single lines: dropped, or all but a share of them, by what they say and on which stream."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fluentd.rules.redact import one_for_each_line
from fluentd.rules.state import Verdict

_HASHES: Final = 1 << 32


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
        """Whether there may be a line in a chunk that one of them concerns."""
        return any(rule.may_concern(data) for rule in self._rules)

    @property
    def each_line(self) -> bool:
        """Whether every line must be looked at."""
        return not all(rule.floating for rule in self._rules)

    def hits(self, data: bytes) -> Iterator[int]:
        """Places in the lines that one of them may concern."""
        for rule in self._rules:
            yield from one_for_each_line(rule.pattern, data)

    def judge(self, content: bytes, stream: int, *, source: bytes, offset: int) -> Verdict:
        """See `fluentd.rules.judge.LineRules`."""
        for rule in self._rules:
            if rule.concerns(content, stream):
                return Verdict.KEEP if rule.keeps(source, offset) else rule.verdict
        return Verdict.KEEP
