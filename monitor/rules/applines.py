"""Access lines that apps write themselves: the common log format, and JSON with the names that are usual.

A line of an app is taken for one only if nothing else can be meant: with a method of HTTP and a status.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from monitor.rules.access import METHODS, OTHER_METHOD, Access
from monitor.rules.codes import I64
from monitor.rules.columns import Who
from monitor.rules.numbers import number
from monitor.rules.objects import Object, decode_objects, value_at
from monitor.rules.requests import Request, method_code, status_of
from monitor.rules.rows import Text, lines_with
from monitor.rules.traces import traces_of
from monitor.rules.units import seconds_of

_LINE: Final = re.compile(
    rb'[^ ]+ [^ ]+ [^\["]*\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    rb'(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*")?(?: "?(\d+\.\d+|\d+(?:\.\d+)?(?:ms|us|s))"?)?'
)

_METHODS: Final = (
    "method",
    "request_method",
    "requestMethod",
    "http_method",
    "verb",
    "req.method",
    "request.method",
    "http.request.method",
    "httpRequest.requestMethod",
    "http.method",
)
_STATUSES: Final = (
    "status",
    "status_code",
    "statusCode",
    "http_status",
    "res.statusCode",
    "response.status_code",
    "http.response.status_code",
    "httpRequest.status",
    "http.status_code",
    "response.status",
)
_SIZES: Final = (
    "bytes_sent",
    "body_bytes_sent",
    "bytes_out",
    "response_size",
    "responseSize",
    "size",
    "bytes",
    "http.response.body.bytes",
    "httpRequest.responseSize",
    "contentLength",
    "content_length",
)
_TIMES: Final = {
    1.0: (
        "request_time",
        "duration_seconds",
        "duration_s",
        "elapsed_seconds",
        "latency_seconds",
        "response_time_seconds",
    ),
    1e3: ("duration_ms", "durationMs", "elapsed_ms", "latency_ms", "latencyMs", "response_time_ms", "responseTime"),
    1e6: ("duration_us", "latency_us"),
    1e9: ("duration_ns", "latency_ns", "event.duration"),
}
"""Names that say their unit, by how many of it are a second. A number called `duration` may be anything."""
_WITH_UNITS: Final = ("duration", "latency", "latency_human", "elapsed", "took", "httpRequest.latency")


def app_access(text: Text, times_ns: I64, writers: Who) -> Access:
    """The access lines among apps' own lines.

    Args:
        text: The lines.
        times_ns: int64, times of all rows of the batch.
        writers: Of all rows of the batch.
    """
    objects = text.has(text.starts, b"{") & (text.stops > text.starts)
    read = _common(text, np.flatnonzero(~objects & lines_with(text, b" HTTP/")))
    read |= _json(text, np.flatnonzero(objects & (lines_with(text, b'ethod"') | lines_with(text, b'verb"'))))
    which = np.array(sorted(read), np.int64)
    requests = [read[index] for index in which.tolist()]
    rows = text.rows[which]
    return Access(
        source="app",
        rows=rows,
        time_ns=times_ns[rows],
        who=writers.of(rows),
        method=np.array([each.method for each in requests], np.int32),
        code=np.array([each.code for each in requests], np.int32),
        seconds=np.array([each.seconds for each in requests], np.float64),
        size=np.array([each.size for each in requests], np.float64),
        traces=traces_of(text.chosen(which)),
    )


def _common(text: Text, which: I64) -> dict[int, Request]:
    """The lines of the common log format, with or without referer, user agent and time."""
    read = {}
    for index in which.tolist():
        match = _LINE.fullmatch(text.line(index))
        method = method_code(match[1]) if match is not None else OTHER_METHOD
        if match is not None and method != OTHER_METHOD:
            read[index] = Request(b"", method, int(match[2]), _time(match[4]), number(match[3]), ())
    return read


def _time(field: bytes | None) -> float:
    """Seconds: with a point, as nginx and gunicorn write them, or with a unit."""
    if field is None:
        return math.nan
    return seconds_of(field.decode()) if field.endswith(b"s") else number(field)


def _json(text: Text, which: I64) -> dict[int, Request]:
    objects = decode_objects([text.line(index) for index in which.tolist()])
    read = {index: _request(one) for index, one in zip(which.tolist(), objects, strict=True) if one is not None}
    return {index: request for index, request in read.items() if request is not None}


def _request(line: Object) -> Request | None:
    method = _first(line, _METHODS)
    code = status_of(_first(line, _STATUSES))
    if not isinstance(method, str) or method not in METHODS[:OTHER_METHOD] or code is None:
        return None
    size = _first(line, _SIZES)
    return Request(b"", METHODS.index(method), code, _seconds(line), number(str(size).encode()), ())


def _first(line: Object, fields: Sequence[str]) -> Any:
    return next((value for field in fields if (value := value_at(line, field)) is not None), None)


def _seconds(line: Object) -> float:
    for per_second, fields in _TIMES.items():
        value = _first(line, fields)
        if value is not None:
            return number(str(value).encode()) / per_second
    for field in _WITH_UNITS:
        value = value_at(line, field)
        if isinstance(value, str):
            return seconds_of(value)
    if str(line.get("logger")).startswith("http.log.access"):  # Caddy: seconds
        return number(str(line.get("duration")).encode())
    return math.nan
