r"""Access lines of the Deis router.

::

    [$time_iso8601] - $app_name - $remote_addr - $remote_user - $status - "$request" - $bytes_sent - "$http_referer"
        - "$http_user_agent" - "$server_name" - $upstream_addr - $http_host - $upstream_response_time - $request_time

What clients send may hold " - " anywhere, but no quote: nginx writes it as `\x22`. So a line has eight quotes. What
stands before the first and behind the last one is counted from both ends, and what a client may have put between cannot
shift anything. How many tries there were is told by the addresses, which no client writes.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from monitor.rules.codes import I64
from monitor.rules.nginx import MOST_TRIES, elements, tries_of
from monitor.rules.numbers import number, thousandths, whole_numbers
from monitor.rules.requests import Request, Usual, method_code, methods, three_digits
from monitor.rules.rows import Fields, Places, Text

_LINE: Final = re.compile(
    rb'\[[^ "]*\] - ([^ "]+) - [^ "]+ - [^"]* - ([0-9]{3}) - "([^"]*)" - ([^ "]+)'
    rb' - "[^"]*" - "[^"]*" - "[^"]*" - ([^"]*)'
)
_ADDRESSES: Final = re.compile(rb"([^ ]*[^ ,](?:(?:, | : )[^ ]*[^ ,])*) - ")


def usual_lines(text: Text) -> Usual:
    """The lines where no client's text holds a space outside of quotes, and that were tried once at most."""
    quotes = Places.of(text, b'"')
    at = [quotes.nth(number) for number in range(8)]
    good = quotes.counts == len(at)
    good &= text.has(at[1], b'" - ') & text.has(at[2] - 3, b' - "')
    good &= text.has(at[3], b'" - "') & text.has(at[5], b'" - "')
    head = Fields.of(text, text.starts, at[0], good)
    tail = Fields.of(text, at[7] + 1, text.stops, good)
    good &= (head.counts == 11) & head.dashes(1, 3, 5, 7, 9) & head.text.has(head.start(0), b"[")  # noqa: PLR2004 - see the module
    good &= (tail.counts == 9) & tail.dashes(1, 3, 5, 7) & head.text.has(head.stop(0) - 1, b"]")  # noqa: PLR2004 - same
    good &= (head.stop(8) == head.start(8) + 3) & (head.start(10) == head.text.stops) & tail.empty(0)
    good &= tail.single(2, 6)
    return _usual(text, head, tail, at, np.flatnonzero(good))


def _usual(text: Text, head: Fields, tail: Fields, quotes: list[I64], which: I64) -> Usual:
    ends = tail.text.chosen(which)
    code = three_digits(head.text, head.start(8)[which])
    return Usual(
        which=which,
        owner=head.text.pieces(head.start(2)[which], head.stop(2)[which]),
        method=methods(text, quotes[0][which] + 1),
        code=code,
        seconds=thousandths(ends, tail.start(8)[which], ends.stops),
        size=whole_numbers(text, quotes[1][which] + 4, quotes[2][which] - 3),
        upstream=tail.text.pieces(tail.start(2)[which], tail.stop(2)[which]),
        try_code=code,
        try_seconds=thousandths(ends, tail.start(6)[which], tail.stop(6)[which]),
    )


def other_lines(lines: Sequence[bytes]) -> list[Request | None]:
    """See `Format`."""
    return [other_line(line) for line in lines]


def other_line(line: bytes) -> Request | None:
    """Any line of this format, read by itself."""
    match = _LINE.fullmatch(line)
    addresses = _ADDRESSES.match(match[5]) if match is not None else None
    if match is None or addresses is None:
        return None
    servers = elements(addresses[1])
    end = _end(len(servers)).fullmatch(match[5], addresses.end()) if len(servers) <= MOST_TRIES else None
    if end is None:
        return None
    # Of the answers, only that of the last try is told: it is the request's.
    codes = [b""] * (len(servers) - 1) + [match[2]]
    tries = tries_of(servers, elements(end[1]), codes)
    return Request(match[1], method_code(match[3]), int(match[2]), number(end[2]), number(match[4]), tries)


@cache
def _end(tries: int) -> re.Pattern[bytes]:
    """The host, which a client writes, then a time for each try, and the time of all."""
    return re.compile(rb".* - ([^ ]*[^ ,](?:(?:, | : )[^ ]*[^ ,]){%d}) - ([^ ]+)" % (tries - 1))
