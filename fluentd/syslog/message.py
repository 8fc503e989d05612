"""One syslog message. What is no such message is told as that, and kept by whoever asked.

`<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG` (RFC 5424), or `<PRI>Mmm dd hh:mm:ss HOSTNAME
TAG[PID]: CONTENT` (RFC 3164) in the forms that are seen: with an RFC 3339 time (Go's log/syslog, rsyslog), without a
host (local loggers), without any of it (Python's SysLogHandler).

All patterns are linear in the message's length.
"""

import re
from datetime import tzinfo
from enum import Enum
from typing import Final, NamedTuple

from fluentd.syslog.times import rfc3339_ns, stamp_ns

NIL: Final = b"-"
MOST_PRIORITY: Final = 191

_PRIORITY = re.compile(rb"<(0|[1-9][0-9]{0,2})>")
_RFC5424 = re.compile(rb"1 (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,255}) (\S{1,255}) ")
_DATA = re.compile(rb'-|(?:\[[^ =\]"]{1,128}(?: [^ =\]"]{1,128}="(?:[^"\\]++|\\.)*+")*+\])++', re.DOTALL)
_TIME = re.compile(rb"([A-Z][a-z]{2} [ 0-3]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{4}-\d\d-\d\dT\S{1,40}) ")
_TAG = re.compile(rb"([^\s:\[\]]{1,255})(?:\[([^\]\s]{0,255})\])?:(?: |\Z)")
_HOST = re.compile(rb"(\S{1,255}) ")
_MARK: Final = b"\xef\xbb\xbf"


class Time(Enum):
    """Where a message's time is from."""

    STATED = 1
    ARRIVAL = 2
    """It states none."""
    WRONG = 3
    """It states none that is one; that of the arrival is taken."""


class Message(NamedTuple):
    """One message. Names and text are as they were sent; a name that it does not state is empty.

    Attributes:
        facility: 0 to 23.
        severity: 0 (emergency) to 7 (debug).
        time_ns: Nanoseconds since the epoch.
        time: See `Time`.
        host: Who sent it.
        name: The program: APP-NAME, or the tag.
        process: PROCID, or the number behind the tag.
        kind: MSGID.
        data: Structured data, with its brackets.
        text: What is said.
    """

    facility: int
    severity: int
    time_ns: int
    time: Time
    host: bytes
    name: bytes
    process: bytes
    kind: bytes
    data: bytes
    text: bytes


def parse_message(message: bytes, *, now_ns: int, zone: tzinfo) -> Message | None:
    """Parse one message; `None` when it is none.

    Args:
        message: Without framing.
        now_ns: When it came, nanoseconds since the epoch.
        zone: Of times that state none.
    """
    priority = _PRIORITY.match(message)
    if priority is None or int(priority[1]) > MOST_PRIORITY:
        return None
    facility, severity = divmod(int(priority[1]), 8)
    fields = _RFC5424.match(message, priority.end())
    if fields is not None:
        return _parse_5424(message, fields, facility, severity, now_ns=now_ns)
    return _parse_3164(message, priority.end(), facility, severity, now_ns=now_ns, zone=zone)


def _parse_5424(
    message: bytes, fields: re.Match[bytes], facility: int, severity: int, *, now_ns: int
) -> Message | None:
    data = _DATA.match(message, fields.end())
    if data is None or message[data.end() : data.end() + 1] not in (b"", b" "):
        return None
    time, *names = fields.groups()
    host, name, process, kind, told = (b"" if field == NIL else field for field in (*names, data[0]))
    time_ns = None if time == NIL else rfc3339_ns(time)
    source = Time.ARRIVAL if time == NIL else Time.WRONG if time_ns is None else Time.STATED
    text = message[data.end() + 1 :].removeprefix(_MARK)
    time_ns = now_ns if time_ns is None else time_ns
    return Message(facility, severity, time_ns, source, host, name, process, kind, told, text)


def _parse_3164(message: bytes, start: int, facility: int, severity: int, *, now_ns: int, zone: tzinfo) -> Message:
    time_ns, source, host = now_ns, Time.ARRIVAL, b""
    time = _TIME.match(message, start)
    if time is not None:
        start = time.end()
        stated_ns = rfc3339_ns(time[1]) if time[1][:1].isdigit() else stamp_ns(time[1], now_ns=now_ns, zone=zone)
        time_ns, source = (now_ns, Time.WRONG) if stated_ns is None else (stated_ns, Time.STATED)
    tag = _TAG.match(message, start)
    if tag is None and time is not None and (named := _HOST.match(message, start)) is not None:
        host, start = named[1], named.end()
        tag = _TAG.match(message, start)
    name, process = (b"", b"") if tag is None else (tag[1], tag[2] or b"")
    text = message[start if tag is None else tag.end() :]
    return Message(facility, severity, time_ns, source, host, name, process, b"", b"", text)
