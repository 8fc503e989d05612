"""What a follow begins with: rows that were there when it started, in reading order."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from logger.reading.cursor import BacklogCursor, LiveCursor, ReadingKey, encode_cursor, just_before
from logger.reading.filter import EVERY_LINE, LineFilter
from logger.reading.hub import Lines
from logger.reading.lines import lines_of_table, reading_keys, taken
from logger.reading.page import Page, Selection, message_bytes
from logger.reading.query import LAST_LINES_BYTES, LogReader, PartialError
from logger.reading.search import Mask

_PAGE: Final = 2000
_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """What a follower asks for.

    Attributes:
        app: The app.
        lines: Last lines to begin with; not used with `since_ns` or a cursor.
        since_ns: Begin with all lines from here on.
        cursor: Go on after it.
        wanted: Which lines.
        before: Lines of context before each of them, from the same container.
        after: Lines of context after it.
    """

    app: str
    lines: int = 10
    since_ns: int | None = None
    cursor: BacklogCursor | LiveCursor | None = None
    wanted: LineFilter = EVERY_LINE
    before: int = 0
    after: int = 0


class Backlog:
    """The rows before some positions.

    Args:
        reader: Reads them.
        request: What is asked for.
        positions: Where what arrives later begins, for each shard.
        queue: What cursors have for the queue's name.
        seconds: A sign of life comes at least this often.

    Attributes:
        positions: As given; less where nobody can say what a shard had, and nothing was sent yet.
        token: A cursor that goes on after what was sent; empty while there is none.
    """

    def __init__(
        self, *, reader: LogReader, request: FollowRequest, positions: dict[int, int], queue: bytes, seconds: float
    ) -> None:
        self.positions = positions
        self.token = ""
        self._reader = reader
        self._request = request
        self._queue = queue
        self._seconds = seconds

    async def lines(self) -> AsyncGenerator[Lines, None]:
        """All of it, in order; while it is looked for, empty ones come as a sign of life."""
        request = self._request
        if isinstance(request.cursor, LiveCursor):
            return
        if request.cursor is None and request.since_ns is None:
            if request.lines:
                async for lines in self._last(request.lines):
                    yield lines
            return
        beyond = None if request.cursor is None else request.cursor.key
        while True:
            page = await self._whole_page(_PAGE, beyond=beyond)
            if page is None:
                yield Lines((), ())
                continue
            lines = await asyncio.to_thread(self._lines, page.table, page.context)
            beyond = page.following
            if beyond is not None:
                self.token = encode_cursor(BacklogCursor(self.positions, beyond, self._queue))
            yield lines
            if beyond is None:
                return

    async def _last(self, count: int) -> AsyncGenerator[Lines, None]:
        """The last lines."""
        newest_first: list[pa.Table] = []
        contexts = [np.zeros(0, np.bool_)]
        found, found_bytes, beyond = 0, 0, None
        while True:
            page = await self._whole_page(count - found, beyond=beyond, descending=True)
            if page is None:
                yield Lines((), ())
                continue
            newest_first.append(page.table)
            context = np.zeros(page.table.num_rows, np.bool_) if page.context is None else page.context
            contexts.append(context)
            found, found_bytes = found + int((~context).sum()), found_bytes + message_bytes(page.table)
            beyond = page.following
            if beyond is None or found >= count or found_bytes >= LAST_LINES_BYTES:
                break
            yield Lines((), ())
        table = pa.concat_tables(newest_first)
        table = taken(table, np.arange(table.num_rows)[::-1])
        yield await asyncio.to_thread(self._lines, table, np.concatenate(contexts)[::-1])

    async def _whole_page(
        self, limit: int, *, beyond: ReadingKey | None = None, descending: bool = False
    ) -> Page | None:
        """A page that lacks nothing; `None`, after a while, when the owner of a shard is away."""
        selection = self._selection(limit, beyond=beyond, descending=descending)
        try:
            return await self._reader.page(selection, whole=True)
        except PartialError as error:
            if beyond is not None or self._request.cursor is not None:
                await asyncio.sleep(_AGAIN_SECONDS)
                return None
            # Nothing is sent yet: what the shard has beyond the table may come later, as what arrives.
            in_table = await self._reader.positions()
            self.positions |= {
                shard: min(self.positions.get(shard, 0), in_table.get(shard, 0)) for shard in error.shards
            }
            return None

    def _selection(self, limit: int, *, beyond: ReadingKey | None = None, descending: bool = False) -> Selection:
        request = self._request
        return Selection(
            request.app,
            limit,
            descending=descending,
            since_ns=request.since_ns,
            beyond=beyond,
            lines=request.wanted,
            ends=dict(self.positions),
            seconds=self._seconds,
            before=request.before,
            after=request.after,
        )

    def _lines(self, table: pa.Table, context: Mask | None) -> Lines:
        keys = reading_keys(table)
        flags = [False] * len(keys) if context is None else context.tolist()
        # Context has the cursor of the match before: whoever stops there gets the match that it belongs to again.
        last = next((just_before(key) for key, flag in zip(keys, flags, strict=True) if not flag), None)
        tokens = []
        for key, flag in zip(keys, flags, strict=True):
            last = key if not flag or last is None else last
            tokens.append(encode_cursor(BacklogCursor(self.positions, last, self._queue)))
        return Lines(lines_of_table(table, flags if context is not None else None), tokens)
