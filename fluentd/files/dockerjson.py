r"""Docker's json-file format, turned into the runtime interface's at the edge, so that the pipeline knows one format.

`{"log":"text\n","stream":"stdout","time":"2026-11-24T12:00:00.123456789Z"}` becomes
`2026-11-24T12:00:00.123456789Z stdout F text`. Docker stores a line over 16 KiB in pieces whose `log` does not end in a
newline: these become `P`. A line's name is still its place in the file, which `line_offsets` of the chunk tell.

A line that is no such object, or whose `log` holds a newline inside, which docker never writes, is kept as it is and
counted: the logger stores it with the time of the line before. So data grows by a bounded part, and no line's text can
pass for a line of its own.

Source: moby, daemon/logger/jsonfilelog.
"""

import sys
from array import array
from itertools import accumulate
from typing import Annotated, Final, Literal

import msgspec

from pipeline.cri import STDOUT, format_line, format_time, parse_header

_TIME: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])\Z"
)


class _DockerLine(msgspec.Struct, frozen=True, gc=False):
    stream: Literal["stdout", "stderr"]
    time: Annotated[str, msgspec.Meta(pattern=_TIME, max_length=40)]
    log: str = ""  # docker omits it when empty


class CriData(msgspec.Struct, frozen=True, gc=False):
    """Converted lines.

    Attributes:
        data: What goes into the chunk in place of the file's bytes.
        line_offsets: For the chunk: where each line of `data` starts in the bytes that were given, uint32 LE each.
        malformed: How many lines were kept as they are.
    """

    data: bytes
    line_offsets: bytes
    malformed: int


_decoder = msgspec.json.Decoder(_DockerLine)


def looks_like_docker_json(first_line: bytes) -> bool:
    """Whether a file that begins with this line, whole or its first part, is docker's. CRI lines begin with a digit."""
    if first_line.startswith(b'{"log":"'):
        return True
    return first_line.startswith(b"{") and _decode(first_line) is not None


class DockerJsonToCri:
    """Converts the lines of one file, in the file's order. Holds the time of the line before."""

    def __init__(self) -> None:
        self._time = format_time(0).decode()

    def convert(self, data: bytes, *, mid_line: bool = False) -> CriData:
        r"""Convert a chunk's bytes.

        Args:
            data: As `cut_chunk` cuts: ends in a newline, or inside a line that is longer than a chunk or never ended.
                Such a part of a line stays as it is, so that the chunk's flags mean what they mean for other files.
            mid_line: Whether `data` begins inside a line (`Flag.MID_LINE`).
        """
        lines = data.split(b"\n")
        tail = lines.pop()
        starts = accumulate(map(len, lines), lambda start, size: start + size + 1, initial=0)
        offsets = array("I", starts)
        malformed = 0
        out: list[bytes] = []
        for index, line in enumerate(lines):
            converted = None if mid_line and index == 0 else self._convert_line(line)
            malformed += converted is None
            out.append(converted or (line + b"\n" if mid_line and index == 0 else self._keep(line)))
        if tail:
            out.append(tail)
            malformed += 1
        else:
            offsets.pop()
        return CriData(b"".join(out), _little_endian(offsets), malformed)

    def _convert_line(self, line: bytes) -> bytes | None:
        entry = _decode(line)
        if entry is None:
            return None
        content, newline, rest = entry.log.partition("\n")
        if rest:
            return None
        text = f"{entry.time} {entry.stream} {'F' if newline else 'P'} {content}\n"
        self._time = entry.time
        return text.encode()

    def _keep(self, line: bytes) -> bytes:
        if parse_header(line) is None:
            return line + b"\n"
        return format_line(self._time.encode(), STDOUT, line)


def _decode(line: bytes) -> _DockerLine | None:
    try:
        return _decoder.decode(line)
    except (ValueError, RecursionError):  # msgspec's errors, UnicodeDecodeError, and too deep a field not known here
        return None


def _little_endian(offsets: "array[int]") -> bytes:
    if sys.byteorder == "big":
        offsets.byteswap()
    return offsets.tobytes()
