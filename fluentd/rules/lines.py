"""Physical lines of a chunk: what rules must know of each, and no more."""

import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

import msgspec

from pipeline.cri import STDERR, STDOUT

LOOSE: Final = 2
"""Stands for a stream, of lines without a header and of what goes on inside a physical line."""

SLOTS: Final = 3

_HEADER: Final = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d) "
    rb"std(out|err) ([FP])(?::[^ \n]*)?(?: |(?=\n|\Z))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Line(msgspec.Struct, frozen=True, gc=False):
    """One physical line, or what a chunk has of one.

    Attributes:
        start: Index of its first byte in the chunk's data.
        stop: Index after its last one, newline included.
        content: Index of the first byte after its header.
        second: Of its time, since the epoch; 0 where it has none.
        stream: `STDOUT`, `STDERR` or `LOOSE`.
        partial: Tagged `P`: it goes on in the next line of its stream.
        ended: Whether its newline is there.
        going_on: It began in the chunk before.
    """

    start: int
    stop: int
    content: int
    second: int
    stream: int
    partial: bool
    ended: bool
    going_on: bool = False

    @property
    def parsed(self) -> bool:
        """Whether it has a header."""
        return self.stream != LOOSE

    def content_of(self, data: bytes) -> bytes:
        """Its content, without header and newline."""
        return data[self.content : self.stop - self.ended]


def split_lines(data: bytes, *, mid_line: bool) -> list[Line]:
    """Lines of a chunk's `data`; the first one is taken for what follows its beginning when `mid_line`."""
    lines: list[Line] = []
    start, size = 0, len(data)
    while start < size:
        newline = data.find(b"\n", start)
        stop = size if newline < 0 else newline + 1
        if mid_line and not start:
            lines.append(Line(0, stop, 0, 0, LOOSE, partial=False, ended=newline >= 0, going_on=True))
        else:
            lines.append(line_at(data, start, stop, ended=newline >= 0))
        start = stop
    return lines


def line_at(data: bytes, start: int, stop: int, *, ended: bool = True) -> Line:
    """The line in `data[start:stop]`."""
    match = _HEADER.match(data, start, stop)
    if match is not None:
        time, zone, stream, tag = match.groups()
        second = second_of(time, zone)
        if second is not None:
            slot = STDOUT if stream == b"out" else STDERR
            return Line(start, stop, match.end(), second, slot, partial=tag == b"P", ended=ended)
    return Line(start, stop, start, 0, LOOSE, partial=False, ended=ended)


def lines_in_pieces(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """First and last index of each line in pieces, by its end; one that goes on behind them ends at `len(lines)`."""
    open_since: list[int | None] = [None, None]
    found: list[tuple[int, int]] = []
    for index, line in enumerate(lines):
        if line.stream == LOOSE:
            continue
        since = open_since[line.stream]
        if line.partial:
            open_since[line.stream] = index if since is None else since
        elif since is not None:
            found.append((since, index))
            open_since[line.stream] = None
    return found + [(since, len(lines)) for since in open_since if since is not None]


def whole_lines(lines: Sequence[Line], stop: int, *, more: bool) -> int:
    """How many of the first `stop` lines can go so that no line in pieces is torn: a secret may be in two of them.

    Args:
        lines: All.
        stop: At least 0.
        more: Bytes follow that had no room: where there is nothing but pieces, all but the last one go.
    """
    for first, last in reversed(lines_in_pieces(lines)):
        if first < stop <= last:
            stop = first
    return stop if stop or not more else max(1, len(lines) - 1)


def time_of(data: bytes, line: Line) -> bytes:
    """The time of a line with a header, as the runtime wrote it."""
    return data[line.start : data.index(b" ", line.start)]


@lru_cache(maxsize=64)
def second_of(time: bytes, zone: bytes) -> int | None:
    """Seconds since the epoch of `YYYY-MM-DDTHH:MM:SS` and `Z` or `+hh:mm`; `None` when there is no such time."""
    try:
        moment = datetime.fromisoformat(time.decode()).replace(tzinfo=_zone(zone))
        return (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def _zone(zone: bytes) -> timezone:
    if zone == b"Z":
        return UTC
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return timezone(-offset if zone[:1] == b"-" else offset)


def pack_offsets(offsets: Sequence[int]) -> bytes:
    """As `Chunk.line_offsets` has them."""
    return struct.pack(f"<{len(offsets)}I", *offsets)


def unpack_offsets(line_offsets: bytes) -> Sequence[int]:
    """From `Chunk.line_offsets`."""
    return struct.unpack(f"<{len(line_offsets) // 4}I", line_offsets)
