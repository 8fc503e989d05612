"""Rules on bytes given in any cuts, what a logger would have of it, and a corpus of secrets."""

import itertools
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Input, Judged
from fluentd.rules.state import FRESH, RuleState


def lines_of(judged: Judged, given: Input) -> dict[int, bytes]:
    """Lines that are sent, by their offset in the source."""
    lines = judged.data.split(b"\n")[:-1] if judged.data.endswith(b"\n") else judged.data.split(b"\n")
    if not judged.data:
        return {}
    if judged.line_offsets:
        offsets = struct.unpack(f"<{len(judged.line_offsets) // 4}I", judged.line_offsets)
    else:
        assert judged.taken == len(judged.data)
        offsets, at = (), 0
        for line in lines:
            offsets, at = (*offsets, at), at + len(line) + 1
    assert len(offsets) == len(lines)
    assert all(first < second for first, second in itertools.pairwise(offsets))
    assert not offsets or offsets[-1] < judged.taken
    return {given.start + offset: line for offset, line in zip(offsets, lines, strict=True)}


@dataclass
class Stream:
    """One source under rules, cut at will, and what a logger has of it.

    Attributes:
        rules: Under which.
        data: The source's bytes.
        position: How far it was sent.
        state: There.
        have: How far the logger has it.
        lines: What it has, by offset.
    """

    rules: RunRules
    data: bytes
    position: int = 0
    state: RuleState | None = None
    have: int = 0
    lines: dict[int, bytes] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)

    def send(self, stop: int, *, final: bool = False, mid_line: bool = False, more: bool = False) -> bool:
        """Send the bytes up to `stop`, where a line ends; returns whether anything was sent."""
        data = self.data[self.position : stop]
        if not data:
            return False
        given = Input(data, len(data), start=self.position, source=b"source", mid_line=mid_line, final=final, more=more)
        judged = self.rules.apply(given, self.state)
        if judged is None:
            judged = Judged(data, b"", len(data), FRESH, 0, mid_line=mid_line, dropped={}, hidden={})
        self.judged.append(judged)
        if not judged.taken:
            return False
        for offset, line in lines_of(judged, given).items():
            if offset >= self.have:
                self.lines[offset] = line
        self.position += judged.taken
        self.have = max(self.have, self.position)
        self.state = None if judged.state == FRESH else judged.state
        return True

    def go_back(self, position: int, state: RuleState | None) -> None:
        """The agent crashed, and goes on from a checkpoint."""
        self.position, self.state = position, state

    def finish(self) -> dict[int, bytes]:
        """Send the rest; what the logger has in the end."""
        while self.send(len(self.data), final=True):
            pass
        return self.lines


def written(contents: Iterable[bytes | tuple[int, bytes]], *, stream: bytes = b"stdout", tag: bytes = b"F") -> bytes:
    """Lines as the runtime stores them; at second 0, or at the seconds given."""
    out = []
    for number, content in enumerate(contents):
        second, text = content if isinstance(content, tuple) else (0, content)
        out.append(b"2026-11-24T12:%02d:%02d.%09dZ %s %s %s\n" % (second // 60, second % 60, number, stream, tag, text))
    return b"".join(out)


def messages(lines: dict[int, bytes]) -> list[bytes]:
    """Contents, in order."""
    return [lines[offset].split(b" ", 3)[3] for offset in sorted(lines)]


@pytest.fixture(scope="session")
def make_stream() -> type[Stream]:
    return Stream


@pytest.fixture(scope="session")
def write() -> Callable[..., bytes]:
    return written


@pytest.fixture(scope="session")
def contents() -> Callable[[dict[int, bytes]], list[bytes]]:
    return messages
