"""Bounded reads of history: the newest or the oldest lines of a range, held in memory and given in reading order."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deis_logs.backoff import Backoff
from deis_logs.client import HISTORY_SILENCE_SECONDS, Client, blocks
from deis_logs.errors import LostError
from deis_logs.lines import Line, decode_lines
from deis_logs.query import Query
from deis_logs.times import parse_time
from pipeline.limits import MIB

PAGE_LINES: Final = 10_000
"""Most lines that the logger gives in one answer."""

MEMORY_BYTES: Final = 256 * MIB
"""Most bytes of answers held at once; an export has no such bound."""

TRIES: Final = 4
_UNREAD: Final = "unread"  # stands for a cursor where reading ends for want of memory
SETTLE_SECONDS: Final = 1.0
PATIENT_LOOKS: Final = 5  # more than a heartbeat takes to come through
WAITING: Final = "waiting until all lines of that time have arrived; --no-follow shows what is there now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Lines in reading order.

    Attributes:
        more: Whether the range holds more lines than these.
    """

    lines: list[Line]
    more: bool


@dataclass(frozen=True, slots=True)
class _Page:
    lines: list[Line]
    cursor: str
    size_bytes: int


async def read_history(client: Client, query: Query, *, limit: int, newest: bool) -> Found:
    """Read at most `limit` lines: the newest of the range, or the oldest.

    Raises:
        LostError: The logger did not answer after several tries.
        ServerError, UsageError: The request is refused.
    """
    lines: list[Line] = []
    size_bytes = 0
    cursor = ""
    more = True
    while more and len(lines) < limit and size_bytes < MEMORY_BYTES:
        wanted = min(PAGE_LINES, limit - len(lines))
        page = await _retried(client, query, limit=wanted, newest=newest, cursor=cursor)
        lines += page.lines
        size_bytes += page.size_bytes
        more = page.cursor not in {"", cursor}  # a page may be empty and yet not the last
        cursor = page.cursor
    if newest:
        lines.reverse()
    return Found(lines=lines, more=more)


async def _retried(client: Client, query: Query, *, limit: int, newest: bool, cursor: str) -> _Page:
    backoff = Backoff()
    while True:
        try:
            return await _read_page(client, query, limit=limit, newest=newest, cursor=cursor)
        except LostError:
            if not cursor or backoff.tries >= TRIES:  # the first request tells at once that there is no logger
                raise
        await asyncio.sleep(backoff.next_seconds())


async def _read_page(client: Client, query: Query, *, limit: int, newest: bool, cursor: str) -> _Page:
    parameters = [*query.history_parameters(), ("order", "desc" if newest else "asc"), ("limit", str(limit))]
    if cursor:
        parameters.append(("cursor", cursor))
    lines: list[Line] = []
    size_bytes = 0
    async with client.get(query.history_path, parameters, silence_seconds=HISTORY_SILENCE_SECONDS) as response:
        async for block in blocks(response):
            lines += decode_lines(block)
            size_bytes += len(block)
            if size_bytes >= MEMORY_BYTES:  # the rest of the page is not read: the bound has been reached
                break
        beyond = _UNREAD if size_bytes >= MEMORY_BYTES else ""
        return _Page(lines, response.headers.get("Next-Cursor", beyond), size_bytes)


async def wait_complete(client: Client, query: Query, *, until_ns: int, note: Callable[[str], None]) -> None:
    """Wait until every line of the app written before `until_ns` is in reach of a query."""
    parameters = [*query.history_parameters(), ("order", "desc"), ("limit", "1")]
    for looks in itertools.count(1):
        async with client.get(query.history_path, parameters, silence_seconds=HISTORY_SILENCE_SECONDS) as response:
            await response.read()
            moment_ns = parse_time(response.headers.get("Complete-Up-To", ""))
        if moment_ns is not None and moment_ns >= until_ns:
            return
        if looks == PATIENT_LOOKS:
            note(WAITING)
        await asyncio.sleep(SETTLE_SECONDS)
