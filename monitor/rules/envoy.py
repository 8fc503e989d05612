"""Access lines of Envoy in JSON, with the keys that Envoy Gateway and Istio give them.

`upstream_host` is the last try's; of the tries before it, Envoy tells nothing.
"""

import math
from collections.abc import Sequence
from typing import Final

from monitor.rules.numbers import number
from monitor.rules.objects import Object, decode_objects
from monitor.rules.requests import Request, Try, method_code, no_usual_lines, status_of

_THOUSANDTHS: Final = 1e3

usual_lines = no_usual_lines


def other_lines(lines: Sequence[bytes]) -> list[Request | None]:
    """See `Format`."""
    return [_request(line) for line in decode_objects(lines)]


def _request(line: Object | None) -> Request | None:
    code = status_of(line.get("response_code")) if line is not None else None
    if line is None or code is None:
        return None
    server = str(line.get("upstream_host") or "").encode()
    took = Try(server, code, _seconds(line.get("x-envoy-upstream-service-time", line.get("upstream_service_time"))))
    return Request(
        str(line.get("upstream_cluster") or "").encode(),
        method_code(f"{line.get('method')} ".encode()),
        code,
        _seconds(line.get("duration")),
        number(str(line.get("bytes_sent")).encode()),
        (took,) if b":" in server else (),
    )


def _seconds(value: object) -> float:
    """Milliseconds as a number or its text; NaN for null and a dash."""
    return math.nan if value is None else number(str(value).encode()) / _THOUSANDTHS
