"""Parameters of requests: what is allowed, and what is wrong with one that is not."""

import re
import time
from collections.abc import Callable, Collection
from typing import Final, NoReturn

from multidict import MultiMapping

from logger.reading.cursor import (
    BacklogCursor,
    CursorError,
    LiveCursor,
    PageCursor,
    ReadingKey,
    decode_cursor,
    queue_mark,
)
from logger.reading.filter import EXACT, LineFilter
from logger.reading.search import PatternError, check_text, compile_regex
from pipeline.cri import STREAMS, parse_header
from pipeline.limits import NAME_BYTES

PAGE_LINES: Final = 10_000
"""Most lines of one answer."""

CONTEXT_LINES: Final = 1000
"""Most lines of context on either side."""

VALUES: Final = 100
"""Most values of one parameter that may be repeated."""

FILTERS: Final = (*EXACT, "text", "regex", "before", "after")
PAGE_PARAMETERS: Final = ("since", "until", "limit", "order", *FILTERS, "cursor", "format")
FOLLOW_PARAMETERS: Final = ("lines", "since", *FILTERS, "cursor", "format")
PAGE_FORMATS: Final = ("ndjson", "text", "csv", "arrow")
FOLLOW_FORMATS: Final = ("sse", "ndjson")

_UNIT_NS: Final = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_NANOSECONDS = re.compile(r"-?[0-9]{1,19}")
_INTEGER = re.compile(r"[0-9]{1,9}")


class ParameterError(ValueError):
    """A parameter is wrong; the message names it."""


class GoneError(ParameterError):
    """A cursor that meant something once."""


def _refuse(name: str, why: str) -> NoReturn:
    raise ParameterError(f"{name}: {why}")


class Parameters:
    """The query string of one request.

    Args:
        query: Names and values.
        known: Names that the route knows; any other is refused, since a filter misspelt is one not applied.

    Raises:
        ParameterError: A name is unknown, or a value given too often.
    """

    def __init__(self, query: MultiMapping[str], *, known: Collection[str]) -> None:
        for name in query:
            if name not in known:
                _refuse(name[:64], "no such parameter")
            if len(query.getall(name)) > (VALUES if name in EXACT else 1):
                _refuse(name, "given too often")
        self._query = query

    def text(self, name: str) -> str:
        """The value, empty when it is not there."""
        return self._query.get(name, "")

    def integer(self, name: str, *, default: int, least: int, most: int) -> int:
        """A number within bounds."""
        value = self.text(name)
        if not value:
            return default
        if not _INTEGER.fullmatch(value) or not least <= int(value) <= most:
            _refuse(name, f"not an integer from {least} to {most}")
        return int(value)

    def choice(self, name: str, allowed: Collection[str], *, default: str) -> str:
        """One of some words."""
        value = self.text(name) or default
        if value not in allowed:
            _refuse(name, f"not one of {', '.join(allowed)}")
        return value

    def moment(self, name: str, *, clock: Callable[[], int] = time.time_ns) -> int | None:
        """A time, in nanoseconds since the epoch; `None` when it is not there."""
        value = self.text(name)
        if not value:
            return None
        moment = parse_moment(value, now_ns=clock())
        if moment is None:
            _refuse(name, "not a time: RFC 3339, a duration before now such as 90s, 5m, 2h, 7d, or nanoseconds")
        return moment

    def line_filter(self) -> LineFilter:
        """The filters of lines."""
        text, regex = self.text("text"), self.text("regex")
        for name, value, check in (("text", text, check_text), ("regex", regex, compile_regex)):
            if value:
                try:
                    check(value)
                except PatternError as error:
                    raise ParameterError(f"{name}: {error}") from error
        return LineFilter(tuple(filter(lambda pair: pair[1], map(self._values, EXACT))), text, regex)

    def _values(self, name: str) -> tuple[str, frozenset[str]]:
        values = self._query.getall(name, [])
        if any(len(value) > NAME_BYTES for value in values):
            _refuse(name, f"longer than {NAME_BYTES} characters")
        if name == "stream" and not set(values) <= set(STREAMS):
            _refuse(name, f"not one of {', '.join(STREAMS)}")
        return name, frozenset(values)

    def context(self) -> tuple[int, int]:
        """Lines of context before and after a line that matches."""
        before, after = (self.integer(name, default=0, least=0, most=CONTEXT_LINES) for name in ("before", "after"))
        if (before or after) and not (self.text("text") or self.text("regex")):
            _refuse("before" if before else "after", "is for use with text or regex")
        return before, after

    def page_cursor(self) -> ReadingKey | None:
        """Where an earlier page stopped."""
        token = self.text("cursor")
        if not token:
            return None
        cursor = _decoded(token)
        if not isinstance(cursor, PageCursor):
            _refuse("cursor", "is one of a follow")
        return cursor.key

    def follow_cursor(self, last_event_id: str, *, queue_id: str) -> BacklogCursor | LiveCursor | None:
        """Where a follow stopped; the parameter comes before the header `Last-Event-ID`.

        Raises:
            GoneError: It is of a queue that is not this one: its offsets mean nothing here.
        """
        token = self.text("cursor") or last_event_id
        if not token:
            return None
        cursor = _decoded(token)
        if isinstance(cursor, PageCursor):
            _refuse("cursor", "is one of a page")
        if cursor.queue != queue_mark(queue_id):
            raise GoneError("cursor: its queue was replaced; begin anew, with since")
        return cursor


def _decoded(token: str) -> PageCursor | BacklogCursor | LiveCursor:
    try:
        return decode_cursor(token)
    except CursorError as error:
        raise ParameterError(f"cursor: {error}") from error


def parse_moment(value: str, *, now_ns: int) -> int | None:
    """Read a time as users write it; `None` when it is none."""
    ago = _AGO.fullmatch(value)
    if ago is not None:
        return max(now_ns - int(ago[1]) * _UNIT_NS[ago[2]], -(2**63))
    if _NANOSECONDS.fullmatch(value):
        return int(value) if -(2**63) <= int(value) < 2**63 else None
    # An RFC 3339 time is what the runtimes write, once letters are large and a space in "+01:00" is a plus again.
    header = parse_header(value.upper().replace(" ", "+").encode(errors="replace") + b" stdout F ")
    return None if header is None else header.time_ns


def check_app(name: str) -> str:
    """Return the name of an app in a path if it can be one.

    Raises:
        ParameterError: It is empty, too long, or holds a slash or a control character.
    """
    if not 0 < len(name.encode(errors="replace")) <= NAME_BYTES or not name.isprintable() or "/" in name:
        _refuse("app", "not the name of an app")
    return name
