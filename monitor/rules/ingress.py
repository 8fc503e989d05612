r"""Access lines of ingress-nginx, in the format `upstreaminfo` that it has unless told otherwise.

::

    $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"
        $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr
        $upstream_response_length $upstream_response_time $upstream_status $req_id

What clients send holds no quote: nginx writes it as `\x22`. So a line has six quotes, and what is between and behind
them is counted from there; the user before and the id at the end, which clients may choose, are not looked at.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from monitor.rules.access import NO_CODE
from monitor.rules.codes import I64
from monitor.rules.nginx import MOST_TRIES, elements, tries_of
from monitor.rules.numbers import number, thousandths, whole_numbers
from monitor.rules.requests import Request, Usual, method_code, methods, three_digits
from monitor.rules.rows import Fields, Places, Text

_LINE: Final = re.compile(
    rb'[^"]*\] "([^"]*)" ([0-9]{3}) ([^ "]+) "[^"]*" "[^"]*" [^ "]+ ([^ "]+) \[([^" ]*)\] \[[^" ]*\] ([^"]*)'
)
_ADDRESSES: Final = re.compile(rb"([^ ]*[^ ,](?:(?:, | : )[^ ]*[^ ,])*) ")


def usual_lines(text: Text) -> Usual:
    """The lines that were tried once at most, with an id without spaces."""
    quotes = Places.of(text, b'"')
    at = [quotes.nth(number) for number in range(6)]
    good = quotes.counts == len(at)
    good &= text.has(at[0] - 2, b'] "') & text.has(at[1], b'" ') & text.has(at[1] + 5, b" ") & text.has(at[3], b'" "')
    good &= text.has(at[2] - 1, b' "') & (at[2] > at[1] + 6)
    tail = Fields.of(text, at[5] + 1, text.stops, good)
    good &= (tail.counts == 10) & tail.empty(0)  # noqa: PLR2004 - see the module
    for bracketed in (3, 4):
        good &= tail.text.has(tail.start(bracketed), b"[") & tail.text.has(tail.stop(bracketed) - 1, b"]")
    good &= tail.single(5, 6, 7, 8)
    return _usual(text, tail, at, np.flatnonzero(good))


def _usual(text: Text, tail: Fields, quotes: list[I64], which: I64) -> Usual:
    ends = tail.text.chosen(which)
    try_code = three_digits(tail.text, tail.start(8)[which])
    told = (try_code >= 0) & (tail.stop(8) - tail.start(8) == 3)[which]  # noqa: PLR2004 - digits of a status
    return Usual(
        which=which,
        owner=tail.text.pieces(tail.start(3)[which] + 1, tail.stop(3)[which] - 1),
        method=methods(text, quotes[0][which] + 1),
        code=three_digits(text, quotes[1][which] + 2),
        seconds=thousandths(ends, tail.start(2)[which], tail.stop(2)[which]),
        size=whole_numbers(text, quotes[1][which] + 6, quotes[2][which] - 1),
        upstream=tail.text.pieces(tail.start(5)[which], tail.stop(5)[which]),
        try_code=np.where(told, try_code, np.int32(NO_CODE)),
        try_seconds=thousandths(ends, tail.start(7)[which], tail.stop(7)[which]),
    )


def other_lines(lines: Sequence[bytes]) -> list[Request | None]:
    """See `Format`."""
    return [other_line(line) for line in lines]


def other_line(line: bytes) -> Request | None:
    """Any line of this format, read by itself."""
    match = _LINE.fullmatch(line)
    addresses = _ADDRESSES.match(match[6]) if match is not None else None
    if match is None or addresses is None:
        return None
    servers = elements(addresses[1])
    end = _end(len(servers)).match(match[6], addresses.end()) if len(servers) <= MOST_TRIES else None
    if end is None:
        return None
    tries = tries_of(servers, elements(end[1]), elements(end[2]))
    return Request(match[5], method_code(match[1]), int(match[2]), number(match[4]), number(match[3]), tries)


@cache
def _end(tries: int) -> re.Pattern[bytes]:
    """Of each try a length, which is not kept, a time and an answer; then anything."""
    each = rb"[^ ]*[^ ,](?:(?:, | : )[^ ]*[^ ,]){%d}" % (tries - 1)
    return re.compile(rb"%s (%s) (%s)(?: |$)" % (each, each, each))
