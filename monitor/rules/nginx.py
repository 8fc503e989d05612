"""What nginx writes of tries: `a, b : c` for the servers, the times and the answers of one request.

Source: nginx, ngx_http_upstream_module: servers are separated by commas, groups of an internal redirect by colons.
"""

import math
import re
from itertools import zip_longest
from typing import Final

from monitor.rules.access import NO_CODE
from monitor.rules.numbers import number
from monitor.rules.requests import Try

MOST_TRIES: Final = 64
"""A line with more tries of one request is not read."""

_BETWEEN: Final = re.compile(rb", | : ")
_CODE: Final = re.compile(rb"\d{3}")


def elements(field: bytes) -> list[bytes]:
    """The elements of a field."""
    return _BETWEEN.split(field)


def tries_of(addresses: list[bytes], seconds: list[bytes], codes: list[bytes]) -> tuple[Try, ...]:
    """The tries of one request; without a code, where none is told. What has no port was passed to nobody."""
    return tuple(
        Try(address, int(code) if _CODE.fullmatch(code) else NO_CODE, seconds_of(took))
        for address, took, code in zip_longest(addresses, seconds, codes, fillvalue=b"")
        if b":" in address
    )


def seconds_of(field: bytes) -> float:
    """Seconds; NaN for a dash, and for what is no number."""
    return math.nan if field == b"-" else number(field)
