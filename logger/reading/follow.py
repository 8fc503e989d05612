"""Following an app: the last lines, then every new one, with no gap and no double.

::

    backlog          rows before the positions P that the head had at the start, in reading order
    catching up      rows from P on in arrival order, private to this follower: table, then head
    live             one pass over each new batch serves all followers of its app (`FollowHub`)

A follower whose buffer is full goes back to catching up, from memory that is there anyway. One that takes nothing is
cut off by whoever writes to it (see `logger.api.stream`).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from logger.reading.arrival import arrival_key, arrival_keys, table_window
from logger.reading.context import LiveContext
from logger.reading.cursor import ArrivalKey, BacklogCursor, LiveCursor, ReadingKey, encode_cursor, just_before
from logger.reading.filter import EVERY_LINE, LineFilter
from logger.reading.hub import FollowHub, Lines, Segment, Subscription, live_tokens
from logger.reading.lines import integers, lines_of_table, reading_keys, taken
from logger.reading.page import Page, Selection, message_bytes
from logger.reading.pieces import Reach
from logger.reading.query import LAST_LINES_BYTES, LogReader, PartialError
from logger.reading.search import Mask

WATERMARK_SECONDS: Final = 3.0
"""A watermark comes at least this often, and whether the reader may still read is looked at."""

_BACKLOG_PAGE: Final = 2000
_AGAIN_SECONDS: Final = 0.5
_THREAD_BYTES: Final = 16 * 1024  # an expression over more than this is matched in a thread


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything written before this time has been sent; `None` while unknown. `token` is a cursor, if there is one."""

    complete_up_to_ns: int | None
    token: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The follow is over."""

    reason: str


Event = Lines | Watermark | End


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


class Follower:
    """One follow.

    Args:
        hub: Where it goes live.
        reader: Answers for what is there already.
        request: What is asked for.
        allowed: Whether the reader may still read; asked every `WATERMARK_SECONDS`.
    """

    def __init__(
        self, *, hub: FollowHub, reader: LogReader, request: FollowRequest, allowed: Callable[[], bool]
    ) -> None:
        self._hub = hub
        self._reader = reader
        self._request = request
        self._allowed = allowed
        self._keys: dict[int, ArrivalKey] = {}
        self._subscription: Subscription | None = None
        has_context = request.before or request.after
        self._context = LiveContext(request.before, request.after) if has_context else None
        self._due = time.monotonic() + WATERMARK_SECONDS
        cursor = request.cursor
        # From here on the start is fixed: these positions part the backlog from what comes live.
        self._positions: dict[int, int] = dict(reader.head.ends() if cursor is None else cursor.positions)
        if isinstance(cursor, LiveCursor):
            self._keys = _open_keys(cursor)
        self._later: dict[int, float] = {}  # shards to be looked at again, and when
        self._backlog_token = ""
        self._token = self._live_token()

    def _live_token(self) -> str:
        return encode_cursor(LiveCursor(self._positions, self._keys, self._hub.queue))

    @property
    def waiting(self) -> int:
        """Lines that wait for this follower, or that were passed over because too many did."""
        return self._subscription.waiting if self._subscription is not None else 0

    @property
    def overflowed(self) -> bool:
        """Whether too many lines wait."""
        return self._subscription is not None and self._subscription.overflowed

    async def events(self) -> AsyncGenerator[Event, None]:
        """Everything that the client is to get, in order; ends with an `End`, if at all."""
        async with self._hub.fed(self._request.app):
            await self._complete_positions()
            async for lines in self._backlog():
                yield lines if lines.lines else Watermark(None, self._backlog_token)
                if self._must_end():
                    yield self._end()
                    return
            while True:
                async for event in self._catch_up():
                    yield event
                    if isinstance(event, End):
                        return
                async for event in self._live():
                    yield event
                    if isinstance(event, End):
                        return

    async def _complete_positions(self) -> None:
        """Begin the shards of other loggers where they are now; of what is not known, where the table ends."""
        if self._request.cursor is not None or self._reader.peers is None:
            return
        in_table = await self._reader.positions()
        self._positions = {
            **{shard: in_table.get(shard, 0) for shard in range(self._reader.peers.partitions)},
            **self._hub.ends(self._request.app),
        }
        self._token = self._live_token()

    # --- what was there at the start

    async def _backlog(self) -> AsyncGenerator[Lines, None]:
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
            page = await self._whole_page(_BACKLOG_PAGE, beyond=beyond)
            if page is None:
                yield Lines((), ())
                continue
            lines = await asyncio.to_thread(self._backlog_lines, page.table, page.context)
            beyond = page.following
            if beyond is not None:
                self._backlog_token = encode_cursor(BacklogCursor(self._positions, beyond, self._hub.queue))
            yield lines
            if beyond is None:
                return

    async def _last(self, count: int) -> AsyncGenerator[Lines, None]:
        """The last lines; while they are looked for, empty ones come as a sign of life."""
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
        yield await asyncio.to_thread(self._backlog_lines, table, np.concatenate(contexts)[::-1])

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
            self._positions |= {
                shard: min(self._positions.get(shard, 0), in_table.get(shard, 0)) for shard in error.shards
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
            ends=dict(self._positions),
            seconds=WATERMARK_SECONDS,
            before=request.before,
            after=request.after,
        )

    def _backlog_lines(self, table: pa.Table, context: Mask | None) -> Lines:
        keys = reading_keys(table)
        flags = [False] * len(keys) if context is None else context.tolist()
        # Context has the cursor of the match before: whoever stops there gets the match that it belongs to again.
        last = next((just_before(key) for key, flag in zip(keys, flags, strict=True) if not flag), None)
        tokens = []
        for key, flag in zip(keys, flags, strict=True):
            last = key if not flag or last is None else last
            tokens.append(encode_cursor(BacklogCursor(self._positions, last, self._hub.queue)))
        return Lines(lines_of_table(table, flags if context is not None else None), tokens)

    # --- what arrived since, on its own

    async def _catch_up(self) -> AsyncGenerator[Event, None]:
        """Go on from `_positions` until the hub can take over."""
        self._subscription = None
        while not self._must_end():
            changes, moved = self._reader.head.changes, self._hub.moved
            shard = self._shard_behind()
            if shard is None:
                if not self._keys:
                    self._subscription = self._hub.subscribe(self._request.app, self._positions)
                if self._subscription is not None:
                    return
                # A restarted logger is still behind what the client had seen from the one before, at times in the
                # middle of a record.
                await self._wait_for_more(changes, moved)
            else:
                async for lines in self._step(shard):
                    yield lines
                await asyncio.sleep(0)  # a step that finds nothing has not let anybody else have a turn
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + WATERMARK_SECONDS
                yield Watermark(None, self._live_token())
        yield self._end()

    def _shard_behind(self) -> int | None:
        now = time.monotonic()
        for shard, end in self._hub.ends(self._request.app).items():
            if self._positions.setdefault(shard, 0) < end and self._later.get(shard, 0.0) <= now:
                self._later.pop(shard, None)
                return shard
        return None

    async def _wait_for_more(self, changes: int, moved: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_AGAIN_SECONDS if self._later else WATERMARK_SECONDS):
                if self._reader.peers is None:
                    await self._reader.head.wait(changes)
                else:
                    await moved.wait()
        except TimeoutError:
            pass

    async def _step(self, shard: int) -> AsyncGenerator[Lines, None]:
        """The next batch of a shard, or a window of the table where nothing is in memory any more."""
        app, start = self._request.app, self._positions[shard]
        end = self._hub.ends(app).get(shard, start)
        batches = self._hub.batches(app, shard, start)
        if batches and batches[0].first_offset <= start:
            batch = batches[0]
            for segment in self._hub.segments(batch, app, self._positions, self._keys):
                yield await self._wanted(segment)
            self._passed(shard, batch.next_offset)
        elif self._hub.has_nothing(app, shard, start):
            self._passed(shard, end)
        else:
            async for lines in self._from_table(shard, start, batches[0].first_offset if batches else end):
                yield lines

    async def _from_table(self, shard: int, start: int, stop: int) -> AsyncGenerator[Lines, None]:
        view = await self._reader.view()
        end = min(stop, view.snapshot.positions.get(shard, 0))
        if end <= start and self._hub.is_elsewhere(shard):
            self._later[shard] = time.monotonic() + _AGAIN_SECONDS  # its owner has it, and commits it before long
            return
        if end <= start:  # neither has it: the queue began later
            newer = [batch.first_offset for batch in view.batches if batch.shard == shard and batch.next_offset > start]
            self._passed(shard, max(start, min([stop, *newer])))
            return
        table, following = await asyncio.to_thread(
            table_window,
            view.snapshot,
            self._reader.table,
            app=self._request.app,
            shard=shard,
            start=start,
            stop=end,
        )
        yield await asyncio.to_thread(self._table_lines, table, shard)
        self._passed(shard, following)

    def _table_lines(self, table: pa.Table, shard: int) -> Lines:
        reach = Reach(self._reader.tombstones.boundary(self._request.app) or {})
        mask = reach.mask(integers(table["shard"]), integers(table["queue_offset"]))
        if self._context is None:
            mask &= self._request.wanted.mask(table)
        keys, after = arrival_keys(table), self._keys.get(shard)
        places = [place for place in np.flatnonzero(mask).tolist() if after is None or keys[place] > after]
        before = LiveCursor(self._positions, self._keys, self._hub.queue)
        tokens = live_tokens(shard, [keys[place] for place in places], before)
        whole = Lines(lines_of_table(taken(table, np.array(places, np.int64))), tokens)
        return whole if self._context is None else self._with_context(whole, self._context)

    def _passed(self, shard: int, next_offset: int) -> None:
        self._positions[shard] = next_offset
        if shard in self._keys and self._keys[shard].queue_offset < next_offset:
            del self._keys[shard]

    # --- what arrives now, with all others

    async def _live(self) -> AsyncGenerator[Event, None]:
        subscription = self._subscription
        if subscription is None:
            return
        try:
            while not subscription.overflowed:
                if self._must_end():
                    yield self._end()
                    return
                segment = subscription.take()
                if segment is not None:
                    yield await self._wanted(segment)
                    last = arrival_key(segment.batch, int(segment.rows[-1]))
                    self._positions = {**segment.positions, segment.batch.shard: last.queue_offset}
                    self._keys = {segment.batch.shard: last}
                    continue
                if time.monotonic() >= self._due:
                    self._due = time.monotonic() + WATERMARK_SECONDS
                    self._hub.pump()
                    if not (subscription.waiting or subscription.overflowed):
                        # Everything up to there has been looked at, whether or not it was wanted.
                        self._positions, self._keys = dict(self._hub.positions_of(self._request.app)), {}
                        yield Watermark(self._hub.watermark(self._request.app), self._live_token())
                    continue
                await subscription.wait(self._due - time.monotonic())
        finally:
            self._hub.unsubscribe(subscription)

    async def _wanted(self, segment: Segment) -> Lines:
        wanted = self._request.wanted
        if self._context is not None:
            if segment.content_bytes > _THREAD_BYTES:
                return await asyncio.to_thread(self._with_context, segment.whole, self._context)
            return self._with_context(segment.whole, self._context)
        if wanted.regex and segment.content_bytes > _THREAD_BYTES:
            return await asyncio.to_thread(segment.filtered, wanted)
        return segment.filtered(wanted)

    def _with_context(self, whole: Lines, context: LiveContext) -> Lines:
        due = context.choose(whole.lines, self._request.wanted.wants)
        tokens = [whole.tokens[place] if place >= 0 else self._token for _, place in due]
        self._token = whole.tokens[-1] if whole.tokens else self._token
        return Lines([line for line, _ in due], tokens)

    def _must_end(self) -> bool:
        return self._hub.stopping.is_set() or not self._allowed()

    def _end(self) -> End:
        return End("the logger stops" if self._hub.stopping.is_set() else "the token is no longer valid")


def _open_keys(cursor: LiveCursor) -> dict[int, ArrivalKey]:
    """The keys of records that may have rows left."""
    return {shard: key for shard, key in cursor.keys.items() if key.queue_offset >= cursor.positions.get(shard, 0)}
