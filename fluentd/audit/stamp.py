"""A stamped line: `deis-audit <run> <sequence> <time> <padding> <check>`.

`run` is 16 random hex digits of one start of the audit, `sequence` counts its lines from 0, `time` is in nanoseconds
since the epoch, and `check` is the CRC-32 of all that stands before it, so that a line cut, mixed or changed shows.
"""

import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

_FORM = re.compile(r"deis-audit ([0-9a-f]{16}) ([0-9]{1,18}) ([0-9]{1,19}) [A-Za-z]* ([0-9a-f]{8})")
_CHECK_BYTES: Final = 9
_PADDING: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_run() -> str:
    """Name of a new run."""
    return secrets.token_hex(8)


def beginning(run: str) -> str:
    """What each line of a run begins with, and no other line."""
    return f"deis-audit {run} "


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a line says.

    Attributes:
        run: Which start of which audit wrote it.
        sequence: Its number in the run, from 0.
        time_ns: When it was written, or a little before.
    """

    run: str
    sequence: int
    time_ns: int


def format_stamp(stamp: Stamp, *, line_bytes: int) -> str:
    """Make the line, without its newline; longer than `line_bytes` where the stamp itself is."""
    head = f"{beginning(stamp.run)}{stamp.sequence} {stamp.time_ns} "
    length = max(0, line_bytes - len(head) - _CHECK_BYTES)
    checked = head + (_PADDING * (length // len(_PADDING) + 1))[:length] + " "
    return f"{checked}{zlib.crc32(checked.encode()):08x}"


def parse_stamp(line: str) -> Stamp | None:
    """Read a line; `None` when it is none, or not as it was written."""
    match = _FORM.fullmatch(line)
    if match is None or zlib.crc32(line[: match.start(4)].encode()) != int(match[4], 16):
        return None
    return Stamp(match[1], int(match[2]), int(match[3]))
