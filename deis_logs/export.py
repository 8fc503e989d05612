"""An export of any size, which goes on where it stopped: after a lost connection, and after the end of its process.

It pages through history in reading order. After each page the bytes are made durable, and then the place where they
end together with the cursor of the next page; whatever stands after that place is cut off before going on. So a page is
either in the export as a whole, or not at all.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from deis_logs.backoff import Backoff
from deis_logs.client import HISTORY_SILENCE_SECONDS, Client, blocks
from deis_logs.destination import Destination
from deis_logs.errors import LostError, ServerError
from deis_logs.history import PAGE_LINES
from deis_logs.lines import Line, decode_lines
from deis_logs.query import Parameters
from deis_logs.record import Place
from deis_logs.render import Renderer
from pipeline.limits import MIB

FIRST_PAGE_LINES: Final = 500
PAGE_BYTES: Final = 8 * MIB
"""A page aims at this size: what is asked for again at most when a connection breaks off."""

TRIES: Final = 8
"""Of one page, about 40 seconds; then the person decides."""


class Progress(Protocol):
    """Is told how far an export is."""

    def advance(self, *, lines: int, size_bytes: int, time: str) -> None:
        """So much has been written in all, up to the line of that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an export has written; `complete_up_to` is empty when unknown."""

    lines: int
    size_bytes: int
    complete_up_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    lines: int
    answer_bytes: int
    cursor: str
    complete_up_to: str
    last_time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export.

    Attributes:
        path: Path of the app's history.
        parameters: Of each request, without order, limit and cursor.
    """

    client: Client
    path: str
    parameters: Parameters
    renderer: Renderer
    destination: Destination
    progress: Progress

    async def run(self) -> Summary:
        """Write everything from the destination's place on.

        Raises:
            LostError: The logger did not answer after several tries; the destination can be resumed.
            ServerError, UsageError: A request is refused.
            OSError: The destination cannot take it.
        """
        place = self.destination.place
        limit = FIRST_PAGE_LINES
        while True:
            page = await self._page(place, limit=limit)
            place = self._place_after(place, page)
            if not page.cursor:
                return self._finish(place, page)
            self.destination.commit(place)
            self.progress.advance(lines=place.lines, size_bytes=place.size_bytes, time=page.last_time)
            limit = next_limit(limit, page.answer_bytes)

    def _place_after(self, place: Place, page: _Page) -> Place:
        if page.cursor == place.cursor and page.cursor:
            raise ServerError("the logger's cursor does not move: this export cannot go on")
        return Place(
            cursor=page.cursor,
            size_bytes=self.destination.size_bytes,
            lines=place.lines + page.lines,
            open_line=self.renderer.open_line,
        )

    def _finish(self, place: Place, page: _Page) -> Summary:
        self.destination.write(self.renderer.close())
        self.destination.finish()
        size_bytes = self.destination.size_bytes
        self.progress.advance(lines=place.lines, size_bytes=size_bytes, time=page.last_time)
        return Summary(lines=place.lines, size_bytes=size_bytes, complete_up_to=page.complete_up_to)

    async def _page(self, place: Place, *, limit: int) -> _Page:
        backoff = Backoff()
        while True:
            self.destination.rewind(place)
            self.renderer.open_line = place.open_line
            try:
                return await self._page_once(place, limit=limit)
            except LostError:
                begun = place.lines or backoff.tries or self.destination.size_bytes > place.size_bytes
                if not begun or backoff.tries >= TRIES:  # the very first request tells at once that there is no logger
                    raise
            await asyncio.sleep(backoff.next_seconds())

    async def _page_once(self, place: Place, *, limit: int) -> _Page:
        lines, answer_bytes = 0, 0
        last: Line | None = None
        async with self.client.get(
            self.path, self._request(place, limit=limit), silence_seconds=HISTORY_SILENCE_SECONDS
        ) as response:
            if not place.size_bytes:
                self.destination.write(self.renderer.header())
            async for block in blocks(response):
                found = decode_lines(block)
                self.destination.write(self.renderer.render(found))
                lines += len(found)
                answer_bytes += len(block)
                last = found[-1] if found else last
            headers = response.headers
        return _Page(
            lines=lines,
            answer_bytes=answer_bytes,
            cursor=headers.get("Next-Cursor", ""),
            complete_up_to=headers.get("Complete-Up-To", ""),
            last_time=last.time if last else "",
        )

    def _request(self, place: Place, *, limit: int) -> Parameters:
        cursor = [("cursor", place.cursor)] if place.cursor else []
        return [*self.parameters, ("order", "asc"), ("limit", str(limit)), *cursor]


def next_limit(limit: int, answer_bytes: int) -> int:
    """Choose how many lines to ask for next, so that an answer has about `PAGE_BYTES`; it doubles at most."""
    fitting = limit * PAGE_BYTES // max(answer_bytes, 1)
    return max(1, min(fitting, limit * 2, PAGE_LINES))
