"""Access lines of Traefik, in its common format and in JSON.

::

    <client> - <user> [<time>] "<method> <path> <protocol>" <status> <size> "<referer>" "<user agent>" <count>
        "<router>" "<server>" <milliseconds>ms

Traefik escapes nothing. What stands behind the user agent is counted from the end: no client can speak of another
router or server. A path has no spaces, so that status and size are counted from its end. Only the try that was answered
is told.

Source: Traefik, pkg/middlewares/accesslog.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from monitor.rules.access import NO_CODE
from monitor.rules.numbers import number
from monitor.rules.objects import Object, decode_objects
from monitor.rules.requests import Request, Try, method_code, no_usual_lines, status_of

_LINE: Final = re.compile(
    rb'[^ ]+ - [^\["]* \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
    rb'"([^ ]* [^ ]*) [^ "]*" (\d{3}|-) (\d+|-) ".*" (?:\d+|-) "([^" ]*)" "([^" ]*)" (\d+)ms'
)
_THOUSANDTHS: Final = 1e3
_NS: Final = 1e9

usual_lines = no_usual_lines


def other_lines(lines: Sequence[bytes]) -> list[Request | None]:
    """See `Format`."""
    objects = iter(decode_objects([line for line in lines if line.startswith(b"{")]))
    return [_of_object(next(objects)) if line.startswith(b"{") else _of_line(line) for line in lines]


def _of_line(line: bytes) -> Request | None:
    match = _LINE.fullmatch(line)
    if match is None or not match[2].isdigit():
        return None
    code = int(match[2])
    server = match[5].rpartition(b"://")[2].partition(b"/")[0]
    # To the server it was nearly as long as in all: that is all that this format tells.
    seconds = int(match[6]) / _THOUSANDTHS
    tries = (Try(server, code, seconds),) if b":" in server else ()
    return Request(match[4].partition(b"@")[0], method_code(match[1]), code, seconds, number(match[3]), tries)


def _of_object(line: Object | None) -> Request | None:
    code = status_of(line.get("DownstreamStatus")) if line is not None else None
    if line is None or code is None:
        return None
    method = f"{line.get('RequestMethod')} ".encode()
    server = str(line.get("ServiceAddr") or "").encode()
    answer = status_of(line.get("OriginStatus"))
    took = Try(server, NO_CODE if answer is None else answer, _seconds(line.get("OriginDuration")))
    owner = str(line.get("RouterName") or "").partition("@")[0].encode()
    return Request(
        owner,
        method_code(method),
        code,
        _seconds(line.get("Duration")),
        _size(line.get("DownstreamContentSize")),
        (took,) if b":" in server else (),
    )


def _seconds(value: object) -> float:
    return value / _NS if isinstance(value, int | float) else math.nan


def _size(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
