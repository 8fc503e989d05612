r"""The runtime's line format: what containerd and CRI-O write into a container's log file, one line at a time.

`<RFC 3339 time> <stdout|stderr> <tags> <content>\n`. The time has up to nine decimals with trailing zeros dropped, so
the header has no fixed width. The first tag is `F` (full) or `P` (partial: the line goes on in the next one of its
stream). This module is the plain form, line by line; the logger parses whole buffers and uses this one for the lines
that are unusual, and tests hold both against each other.

Source: Kubernetes, kubelet container log design; containerd, pkg/cri/io.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import msgspec

STDOUT: Final = 0
STDERR: Final = 1
STREAMS: Final = ("stdout", "stderr")

_LINE = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:(Z)|([+-])(\d\d):(\d\d)) "
    rb"(stdout|stderr) ([FP])(?::[^ \n]*)?(?: |(?=\n|\Z))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS: Final = 1_000_000_000


class CriLine(msgspec.Struct, frozen=True, gc=False):
    """One line in the runtime's format.

    Attributes:
        time_ns: Nanoseconds since the epoch.
        stream: `STDOUT` or `STDERR`.
        partial: Whether the logical line goes on in the next line of this stream.
        content_start: Index of the first byte of the content.
    """

    time_ns: int
    stream: int
    partial: bool
    content_start: int


def parse_header(line: bytes | memoryview) -> CriLine | None:
    """Parse the header of one line, with or without its newline; `None` when it is not in the runtime's format."""
    match = _LINE.match(line)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zulu, sign, zone_hour, zone_minute, stream, tag = match.groups()
    try:
        zone = UTC if zulu else timezone((1 if sign == b"+" else -1) * _delta(zone_hour, zone_minute))
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=zone)
        whole = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    time_ns = whole * _NS + int((fraction or b"0").ljust(9, b"0"))
    if not -(2**63) <= time_ns < 2**63:
        return None
    return CriLine(time_ns, STREAMS.index(stream.decode()), tag == b"P", match.end())


def _delta(hours: bytes, minutes: bytes) -> timedelta:
    return timedelta(hours=int(hours), minutes=int(minutes))


def format_time(time_ns: int) -> bytes:
    """Format nanoseconds since the epoch as the runtimes do: RFC 3339 in UTC, no trailing zeros in the fraction."""
    seconds, fraction = divmod(time_ns, _NS)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").encode()
    if fraction:
        return whole + b"." + str(fraction).zfill(9).rstrip("0").encode() + b"Z"
    return whole + b"Z"


def format_line(time: bytes, stream: int, content: bytes, *, partial: bool = False) -> bytes:
    """Format one line, newline included. `content` must hold no newline."""
    return b"%s %s %s %s\n" % (time, STREAMS[stream].encode(), b"P" if partial else b"F", content)
