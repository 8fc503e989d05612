"""A follow that survives its connection: it goes on after the last line that was taken, without gap or double."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from deis_logs.backoff import Backoff
from deis_logs.client import FOLLOW_SILENCE_SECONDS, Client, blocks
from deis_logs.errors import GoneError, LostError
from deis_logs.history import WAITING
from deis_logs.lines import End, Event, LineEvent, Watermark, decode_events
from deis_logs.output import Stdout
from deis_logs.query import Parameters, Query
from deis_logs.render import Renderer, is_cut
from deis_logs.times import format_time, parse_time

PATIENT_WATERMARKS: Final = 3

RECENT_LINES: Final = 50_000
"""Most lines that are remembered since a watermark; of more, the oldest may be printed twice after a new beginning."""

_Place: TypeAlias = tuple[str, int, int]


@dataclass(slots=True)
class Position:
    """Where a follow goes on when its connection is lost.

    After a line that is its cursor. Before the first line a follow of the last N lines has a watermark at best: what
    was written before it would have been sent, so everything since then is wanted. So it is when a cursor has become
    void; then what was printed since the watermark is known by its place in its file, and not printed again.
    """

    start: Parameters
    cursor: str = ""
    complete_up_to: str = ""
    _first_time: str = ""
    _recent: dict[_Place, str] = field(default_factory=dict)
    _since: str = ""

    def parameters(self) -> Parameters:
        """Return the parameters of the next request."""
        if self.cursor:
            return [("cursor", self.cursor)]
        if self._since:
            return [("since", self._since)]
        if self.complete_up_to and self.start[0][0] == "lines":
            return [("since", self.complete_up_to)]
        return self.start

    def begin_anew(self) -> str:
        """Give the cursor up; returns since when lines are asked for now, empty for as at the start.

        Since the watermark, up to which every line was sent; but nothing from before the follow's own beginning.
        """
        known = self.complete_up_to or min(self._recent.values(), default="")
        if self.start[0][0] == "since":
            known = max(known, format_time(int(self.start[0][1]))) if known else ""
        else:
            known = max(known, self._first_time)
        self.cursor, self._since = "", known
        return known

    def new(self, events: Sequence[Event]) -> list[Event]:
        """Leave out the lines that were printed before the follow began anew."""
        if not self._since:
            return list(events)
        return [event for event in events if not (isinstance(event, LineEvent) and _place(event) in self._recent)]

    def advance(self, events: Sequence[Event]) -> None:
        """Take note of events that have been dealt with."""
        for event in events:
            self.cursor = event.cursor or self.cursor
            if isinstance(event, LineEvent):
                self._first_time = self._first_time or event.time
                self._recent[_place(event)] = event.time
            elif isinstance(event, Watermark):
                self._complete(event.complete_up_to or "")
        if len(self._recent) > RECENT_LINES:
            self._recent = dict(list(self._recent.items())[-RECENT_LINES // 2 :])

    def _complete(self, up_to: str) -> None:
        if up_to > self.complete_up_to:  # times of a logger have one form, and compare as they are
            self.complete_up_to = up_to
            self._recent = {place: time for place, time in self._recent.items() if time >= up_to}


def _place(line: LineEvent) -> _Place:
    """What names a line, whichever queue brought it."""
    return line.source, line.offset, line.continuation


async def follow(
    client: Client, query: Query, *, start: Parameters, note: Callable[[str], None]
) -> AsyncGenerator[list[Event], None]:
    """Yield the events of a follow as they arrive; the position advances when the caller comes back for more.

    Args:
        client: The logger.
        query: App and filters; its range is not used.
        start: Where to begin: `[("lines", "10")]` or `[("since", "<nanoseconds>")]`.
        note: Is told when the connection is lost for the first time.

    Raises:
        LostError: There was no answer to the very first request.
        ServerError, UsageError: The request is refused.
    """
    position = Position(start)
    backoff = Backoff()
    answered = told = False
    while True:
        parameters = [("format", "ndjson"), *position.parameters(), *query.filters.parameters()]
        try:
            async with client.get(query.follow_path, parameters, silence_seconds=FOLLOW_SILENCE_SECONDS) as response:
                answered = True
                async for block in blocks(response, endless=True):
                    events = position.new(decode_events(block))
                    yield events
                    position.advance(events)
                    backoff.reset()
                    _end_of(events)
        except GoneError as error:
            if not position.cursor:
                raise
            note(f"{error}; {_told_since(position.begin_anew())}")
        except LostError as error:
            if not answered:
                raise
            if not told:  # once: whoever reads on a bad network knows by then
                told = True
                note(f"{error}; going on from the last line when it answers again")
        await asyncio.sleep(backoff.next_seconds())


def _told_since(since: str) -> str:
    if not since:
        return "beginning anew"
    return f"going on with what was not printed of the lines since {since}"


def _end_of(events: Sequence[Event]) -> None:
    """Raise `LostError` if the logger has ended the stream."""
    for event in events:
        if isinstance(event, End):
            raise LostError(f"the logger ended the stream: {event.reason}")


@dataclass(slots=True, kw_only=True)
class Printer:
    """Prints the lines of a follow as they come.

    Attributes:
        renderer: Makes bytes of them.
        stdout: Takes the bytes.
        note: Tells the person something.
        until_ns: Lines from here on are left out; `None` for no end.
    """

    renderer: Renderer
    stdout: Stdout
    until_ns: int | None = None
    note: Callable[[str], None]
    _waited: int = field(default=0, init=False)

    def print(self, events: Sequence[Event]) -> bool:
        """Print the lines among `events`; returns whether everything before `until_ns` has been printed."""
        lines = [event for event in events if isinstance(event, LineEvent) and self._wanted(event)]
        self.stdout.write(self.renderer.render(lines))
        if lines and not is_cut(self.renderer, lines[-1]):
            self.stdout.write(self.renderer.close())
        self.stdout.flush()
        marks = [event for event in events if isinstance(event, Watermark)]
        complete = any(map(self._passed, marks))
        if marks and not complete:
            self._wait()
        return complete

    def _wanted(self, line: LineEvent) -> bool:
        return self.until_ns is None or (parse_time(line.time) or 0) < self.until_ns

    def _wait(self) -> None:
        """Say, once, why a follow of the past does not end."""
        if self.until_ns is not None and self.until_ns <= time.time_ns():
            self._waited += 1
            if self._waited == PATIENT_WATERMARKS:
                self.note(WAITING)

    def _passed(self, watermark: Watermark) -> bool:
        moment_ns = parse_time(watermark.complete_up_to or "")
        return self.until_ns is not None and moment_ns is not None and moment_ns >= self.until_ns


async def print_follow(client: Client, query: Query, *, start: Parameters, printer: Printer) -> None:
    """Follow `query` and print it, until `printer` has all that it wants. Raises what `follow` does."""
    async with aclosing(follow(client, query, start=start, note=printer.note)) as batches:
        async for events in batches:
            if printer.print(events):
                break
    printer.stdout.write(printer.renderer.close())
    printer.stdout.flush()
