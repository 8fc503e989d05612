"""Where the secrets of a line are, and the line without them.

One automaton of all kinds' hints runs over a chunk as a whole; only lines with a hit are looked at. Measured in
`python -m bench rules`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fluentd.rules import keyblock
from fluentd.rules.secrets import PRIVATE_KEY, Kind, compile_pattern

_PIECE: Final = rb" std(?:out|err) P[ :]"
_FIXED: Final = (rb"^", rb"$", rb"\A", rb"\z", rb"\b", rb"\B")
"""What holds a pattern to the ends of a text: it must be tried on each line by itself."""


class Secret(NamedTuple):
    """Bytes `[start, stop)` of a content."""

    start: int
    stop: int
    kind: str


@dataclass(frozen=True, slots=True)
class UserPattern:
    """A pattern that somebody wrote; what its first group matches is hidden, or all of it.

    Attributes:
        name: Stands in the log in place of what is hidden.
        pattern: Compiled for RE2.
        floating: Whether it can be searched for in a whole chunk.
    """

    name: str
    pattern: Any
    floating: bool

    @classmethod
    def of(cls, name: str, pattern: str) -> "UserPattern":
        """Compile.

        Raises:
            re2.error: It is no pattern in RE2's syntax, or too large a one.
        """
        text = pattern.encode()
        return cls(name, compile_pattern(text, utf8=True), not any(mark in text for mark in _FIXED))


class Redactor:
    """Hides some kinds of secrets.

    Args:
        kinds: Which.
        keys: Whether private keys as well.
        patterns: Of users.
    """

    def __init__(self, kinds: Iterable[Kind], *, keys: bool, patterns: Sequence[UserPattern] = ()) -> None:
        self._kinds = [(kind, compile_pattern(kind.hints)) for kind in kinds]
        self._keys = compile_pattern(keyblock.HINT) if keys else None
        self._patterns = patterns
        hints = [kind.hints for kind, _ in self._kinds] + [keyblock.HINT] * keys + [_PIECE]
        self._hints = compile_pattern(b"|".join(hints))
        self._floating = [one.pattern for one in patterns if one.floating]
        self.each_line = len(self._floating) < len(patterns)
        """Whether every line must be looked at."""

    def suspicious(self, data: bytes) -> bool:
        """Whether a chunk may hold a secret, or has lines in pieces."""
        if self.each_line or self._hints.search(data) is not None:
            return True
        return any(pattern.search(data) is not None for pattern in self._floating)

    def begins_key(self, data: bytes) -> bool:
        """Whether a private key may begin in a chunk."""
        return self._keys is not None and self._keys.search(data) is not None

    def hits(self, data: bytes) -> list[int]:
        """Places in the lines of a chunk that may hold a secret, ascending, about one for each line."""
        found = list(one_for_each_line(self._hints, data))
        for pattern in self._floating:
            found += one_for_each_line(pattern, data)
        found.sort()
        return found

    def find(self, content: bytes, block: int = 0) -> tuple[list[Secret], int]:
        """Secrets of one line, ascending and apart.

        Args:
            content: The line without its header.
            block: See `keyblock.find_keys`.
        """
        found: list[Secret] = []
        if self._keys is not None:
            spans, block = keyblock.find_keys(content, block)
            found = [Secret(start, stop, PRIVATE_KEY) for start, stop in spans]
        for kind, hints in self._kinds:
            if hints.search(content) is not None:
                found += _matches(kind, content)
        for one in self._patterns:
            found += (Secret(*_span(match), one.name) for match in one.pattern.finditer(content))
        return _apart(found), block


def one_for_each_line(pattern: Any, data: bytes) -> Iterator[int]:
    """Places where a pattern matches, about one for each line."""
    at = 0
    while at < len(data) and (match := pattern.search(data, at)) is not None:
        yield match.start()
        newline = data.find(b"\n", match.start())
        if newline < 0:
            return
        at = newline + 1


def _matches(kind: Kind, content: bytes) -> Iterator[Secret]:
    for match in kind.pattern.finditer(content):
        start, stop = _span(match)
        if kind.check is None or kind.check(content, start, stop):
            yield Secret(start, stop, kind.name)


def _span(match: Any) -> tuple[int, int]:
    """The first group that matched, else all of it."""
    for group in range(1, match.re.groups + 1):
        start, stop = match.span(group)
        if start >= 0:
            return start, stop
    start, stop = match.span()
    return start, stop


def _apart(found: list[Secret]) -> list[Secret]:
    """Sorted, without empty ones; those that overlap become one."""
    if len(found) <= 1 and all(secret.stop > secret.start for secret in found):
        return found
    merged: list[Secret] = []
    for secret in sorted(found):
        if secret.stop <= secret.start:
            continue
        if merged and secret.start < merged[-1].stop:
            if secret.stop > merged[-1].stop:
                merged[-1] = merged[-1]._replace(stop=secret.stop)
        else:
            merged.append(secret)
    return merged


def hide(content: bytes, secrets: Sequence[Secret], *, start: int = 0, stop: int | None = None) -> bytes:
    """`content[start:stop]` with a mark in place of each secret; one that began before `start` has its mark there."""
    stop = len(content) if stop is None else stop
    out: list[bytes] = []
    at = start
    for secret in secrets:
        if secret.stop <= at or secret.start >= stop:
            continue
        if secret.start >= at:
            out += (content[at : secret.start], b"[redacted:%s]" % secret.kind.encode())
        at = min(secret.stop, stop)
    out.append(content[at:stop])
    return b"".join(out)
