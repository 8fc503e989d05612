r"""Messages as lines in the runtime's format.

A newline inside a message ends a line, as it would on a container's stdout: a message of three lines becomes three
lines of the log with one time. A last newline ends the last line and makes no empty one. A line that is long is cut
into pieces (`P`, the last one `F`), as containerd does; the logger joins them.
"""

import functools
from typing import Final

from pipeline.cri import STDOUT, STREAMS, format_line, format_time
from pipeline.limits import CHUNK_BYTES

PIECE_BYTES: Final = CHUNK_BYTES // 2
"""Longest content of one physical line: with its header it always fits into a chunk."""

_NS: Final = 1_000_000_000
_TAIL: Final = tuple(b"Z %s F " % name.encode() for name in STREAMS)


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> bytes:
    """A whole second without its zone: lines that come together share it."""
    return format_time(seconds * _NS)[:-1]


def cri_lines(time_ns: int, message: bytes, *, stream: int = STDOUT) -> bytes:
    """Lines of one message.

    Args:
        time_ns: Nanoseconds since the epoch, in 64 bits: from the year 1677 to 2262.
        message: Any bytes.
        stream: `pipeline.cri.STDOUT` or `STDERR`.

    Returns:
        At least one line, each with its newline.
    """
    seconds, fraction = divmod(time_ns, _NS)
    head = b"%s.%09d%s" % (_second(seconds), fraction, _TAIL[stream])
    if len(message) <= PIECE_BYTES and b"\n" not in message:
        return b"%s%s\n" % (head, message)
    lines = message.removesuffix(b"\n").split(b"\n")
    return b"".join([_line(head, line, time_ns, stream) for line in lines])


def _line(head: bytes, line: bytes, time_ns: int, stream: int) -> bytes:
    if len(line) <= PIECE_BYTES:
        return b"%s%s\n" % (head, line)
    time = format_time(time_ns)
    pieces = [line[start : start + PIECE_BYTES] for start in range(0, len(line), PIECE_BYTES)]
    return b"".join([format_line(time, stream, piece, partial=piece is not pieces[-1]) for piece in pieces])
