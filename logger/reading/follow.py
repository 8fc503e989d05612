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
from logger.reading.backlog import Backlog, FollowRequest
from logger.reading.context import LiveContext
from logger.reading.cursor import ArrivalKey, LiveCursor, encode_cursor
from logger.reading.hub import FollowHub, Lines, Segment, Subscription, live_tokens
from logger.reading.lines import integers, lines_of_table, taken
from logger.reading.pieces import Reach
from logger.reading.query import LogReader

WATERMARK_SECONDS: Final = 3.0
"""A watermark comes at least this often, and whether the reader may still read is looked at."""

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
            async for event in self._backlog():
                yield event
                if isinstance(event, End):
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

    async def _backlog(self) -> AsyncGenerator[Event, None]:
        """What was there at the start."""
        backlog = Backlog(
            reader=self._reader,
            request=self._request,
            positions=self._positions,
            queue=self._hub.queue,
            seconds=WATERMARK_SECONDS,
        )
        async for lines in backlog.lines():
            yield lines if lines.lines else Watermark(None, backlog.token)
            if self._must_end():
                yield self._end()
                return
        self._positions = backlog.positions
        self._token = self._live_token()

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
            # As it is here by now: it may have come while the table was read, and its rows not yet.
            newer = [batch.first_offset for batch in view.batches if batch.shard == shard and batch.next_offset > start]
            have = self._reader.head.ends().get(shard, start)
            self._passed(shard, max(start, min([have, *newer])))
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
