"""One pass over each new batch for all who follow its apps: what many want is made once."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from logger.reading.arrival import arrival_key, rows_in_arrival_order
from logger.reading.cursor import ArrivalKey, LiveCursor, encode_cursor, queue_mark
from logger.reading.filter import LineFilter
from logger.reading.gate import BusyError
from logger.reading.lines import Line, lines_of_batch
from logger.reading.peers import Peers
from logger.reading.peersfeed import Feed, Feeds
from logger.reading.pieces import Rows
from logger.reading.pinned import ReadsHead
from pipeline.lines.batch import Batch

SEGMENT_ROWS: Final = 256
"""Lines that are made at a time on the event loop: about two milliseconds."""


_NONE: Final[Mapping[int, ArrivalKey]] = MappingProxyType({})


@dataclass(frozen=True)
class Lines:
    """Lines and, for each, the cursor that goes on after it. What a format makes of them is made once."""

    lines: Sequence[Line]
    tokens: Sequence[str]
    _encoded: dict[str, bytes] = field(default_factory=dict)

    def encoded(self, form: str, encode: Callable[["Lines"], bytes]) -> bytes:
        """The lines in the format `form`, as `encode` makes it."""
        if form not in self._encoded:
            self._encoded[form] = encode(self)
        return self._encoded[form]


@dataclass
class Segment:
    """Some rows of one app in one batch, in arrival order; made into lines when the first follower wants them.

    Attributes:
        batch: Where the rows are.
        rows: Which they are.
        positions: Everything before is sent, when a follower comes to these rows.
        keys: The last row sent, for each other shard whose record at its position may not be sent as a whole.
        queue: What cursors have for the queue's name.
    """

    batch: Batch
    rows: Rows
    positions: Mapping[int, int]
    keys: Mapping[int, ArrivalKey]
    queue: bytes
    _filtered: dict[LineFilter, Lines] = field(default_factory=dict)

    @cached_property
    def content_bytes(self) -> int:
        """Bytes of the rows' lines."""
        return int((self.batch.stops[self.rows] - self.batch.starts[self.rows]).sum())

    @cached_property
    def whole(self) -> Lines:
        """All the lines."""
        keys = [arrival_key(self.batch, row) for row in self.rows.tolist()]
        tokens = live_tokens(self.batch.shard, keys, LiveCursor(dict(self.positions), dict(self.keys), self.queue))
        return Lines(lines_of_batch(self.batch, self.rows), tokens)

    def filtered(self, lines: LineFilter) -> Lines:
        """The lines that a filter wants."""
        if lines.passes_all:
            return self.whole
        if lines not in self._filtered:
            self._filtered[lines] = chosen_lines(self.whole, lines)
        return self._filtered[lines]


def live_tokens(shard: int, rows: Sequence[ArrivalKey], before: LiveCursor) -> list[str]:
    """The cursor of each of some rows of a shard, when all shards stood at `before`."""
    now, last = dict(before.positions), dict(before.keys)
    tokens = []
    for key in rows:
        now[shard], last[shard] = key.queue_offset, key
        tokens.append(encode_cursor(LiveCursor(now, last, before.queue)))
    return tokens


def chosen_lines(whole: Lines, lines: LineFilter) -> Lines:
    """Those that a filter wants."""
    places = [place for place, line in enumerate(whole.lines) if lines.wants(line)]
    return Lines([whole.lines[place] for place in places], [whole.tokens[place] for place in places])


class Subscription:
    """What the hub has for one follower, in bounded memory.

    Attributes:
        app: The app.
        waiting: Lines in the buffer, or lines passed over since it was full.
        overflowed: Whether it was full: the follower must catch up on its own.
    """

    def __init__(self, app: str, *, limit_lines: int) -> None:
        self.app = app
        self.waiting = 0
        self.overflowed = False
        self._limit_lines = limit_lines
        self._segments: deque[Segment] = deque()
        self._something = asyncio.Event()

    def push(self, segments: Sequence[Segment]) -> None:
        """Add what arrived; a client that keeps up takes a batch of any size."""
        if self.waiting > self._limit_lines:
            self.overflow()
        self.waiting += sum(len(segment.rows) for segment in segments)
        if not self.overflowed:
            self._segments.extend(segments)
        self._something.set()

    def overflow(self) -> None:
        """Let go of everything: the follower has to catch up on its own."""
        self.overflowed = True
        self._segments.clear()
        self._something.set()

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._something.set()

    def take(self) -> Segment | None:
        """The oldest segment, if there is one."""
        if not self._segments:
            self._something.clear()
            return None
        segment = self._segments.popleft()
        self.waiting -= len(segment.rows)
        return segment

    async def wait(self, seconds: float) -> None:
        """Wait until there may be something, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._something.wait()
        except TimeoutError:
            pass


class FollowHub:
    """Passes over each new batch once, for all followers.

    Args:
        head: The newest rows.
        boundary: Which rows of an app are deleted (see `logger.table.tombstones`).
        limit_lines: Lines that may wait for a follower.
        limit_followers: Most followers.
        registry: Where metrics are registered.
        queue_id: The queue that offsets refer to.
        peers: The loggers that own other shards; `None` when all are owned here.
        pin: Reads the positions of the newest version of the table; needed with `peers`.
    """

    def __init__(
        self,
        *,
        head: ReadsHead,
        boundary: Callable[[str], Mapping[int, int] | None],
        limit_lines: int,
        limit_followers: int,
        registry: CollectorRegistry,
        queue_id: str = "",
        peers: Peers | None = None,
        pin: Callable[[], Awaitable[Mapping[int, int]]] | None = None,
    ) -> None:
        self._head = head
        self._boundary = boundary
        self._limit_lines = limit_lines
        self._limit_followers = limit_followers
        self._followers = 0
        self._feeds: Feeds | None = None
        if peers is not None and pin is not None:
            self._feeds = Feeds(peers=peers, here=head.shards, pin=pin, hub=self)
        self._watches: dict[str, list[asyncio.Event]] = {}
        self.queue = queue_mark(queue_id)
        self.moved = asyncio.Event()
        self._subscriptions: dict[str, list[Subscription]] = {}
        self.positions: dict[int, int] = dict(head.ends())
        self.stopping = asyncio.Event()
        Gauge("logger_followers", "Follows that are open.", registry=registry).set_function(lambda: self._followers)

    async def run(self) -> None:
        """Pass over batches as they arrive, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._feeds is not None:
                tasks.create_task(self._feeds.run(), name="follow feeds")
            seen = 0
            while True:
                seen = await self._head.wait(seen)
                self.pump()
                self.announce()

    def pump(self) -> None:
        """Pass over what has arrived since the last time."""
        ends = self._head.ends()
        for shard in self.positions.keys() - ends.keys():
            # Another logger has it now. What it has beyond is no follower's yet: each goes on from where it is.
            del self.positions[shard]
            self._overflow_all()
        for shard, end in ends.items():
            position = self.positions.get(shard)
            if position == end:
                continue
            if position is None:
                # It has come here, from where the table ends. Followers are elsewhere, each where it is.
                self.positions[shard] = end
                self._overflow_all()
                continue
            if self._subscriptions or self._watches:
                self._pass_all(self._head.batches(shard, position), shard, position)
            self.positions[shard] = end

    def _pass_all(self, batches: Sequence[Batch], shard: int, position: int) -> None:
        if not batches or batches[0].first_offset > position:
            # Committed and let go before this pass: only the table has them now.
            self._overflow_all()
        for batch in batches:
            for app in self._subscriptions:
                self._pass(batch, app)
            for app, watches in self._watches.items():
                if len(batch.of_app(app)):
                    _set_all(watches)
            self.positions[shard] = batch.next_offset

    def _pass(self, batch: Batch, app: str) -> None:
        segments = self.segments(batch, app, self.positions_of(app))
        if segments:
            for subscription in self._subscriptions[app]:
                subscription.push(segments)

    def _overflow_all(self) -> None:
        for subscription in chain.from_iterable(self._subscriptions.values()):
            subscription.overflow()
        _set_all(chain.from_iterable(self._watches.values()))

    # --- what feeds bring

    def arrived(self, app: str, batch: Batch) -> None:
        """Pass over rows that arrived at another logger."""
        self.pump()  # first what has come here or gone, so that positions are those of all shards
        if app in self._subscriptions:
            self._pass(batch, app)

    def skipped(self, app: str) -> None:
        """Let followers look in the table for what is next."""
        for subscription in self._subscriptions.get(app, ()):
            subscription.overflow()

    def announce(self) -> None:
        """Wake whoever catches up: positions have moved."""
        self.moved.set()
        self.moved = asyncio.Event()

    # --- all shards, as the followers of one app see them

    def positions_of(self, app: str) -> Mapping[int, int]:
        """How far those who are live have got, for each shard."""
        feed = self._feed(app)
        return self.positions if feed is None else {**feed.positions, **self.positions}

    def ends(self, app: str) -> Mapping[int, int]:
        """Offset after the last record that is here, for each shard."""
        feed = self._feed(app)
        return self._head.ends() if feed is None else {**feed.positions, **self._head.ends()}

    def batches(self, app: str, shard: int, from_offset: int) -> Sequence[Batch]:
        """Batches of a shard from an offset on, as far as they are still in memory."""
        feed = self._feed(app)
        if feed is None or shard in self._head.shards():
            return self._head.batches(shard, from_offset)
        return feed.batches(shard, from_offset)

    def has_nothing(self, app: str, shard: int, from_offset: int) -> bool:
        """Whether it is known that there are no rows from an offset on, up to the end."""
        feed = self._feed(app)
        if feed is None or shard in self._head.shards():
            return False
        return feed.begins(shard) <= from_offset and not feed.batches(shard, from_offset)

    def is_elsewhere(self, shard: int) -> bool:
        """Whether another logger has the shard."""
        return self._feeds is not None and shard not in self._head.shards()

    def watermark(self, app: str) -> int | None:
        """Time up to which all lines of the app have been passed on."""
        feed = self._feed(app)
        if self._feeds is None or feed is None:
            return self._head.watermark(app)
        marks = [
            self._head.shard_watermark(shard) if shard in self._head.shards() else feed.watermarks.get(shard)
            for shard in range(self._feeds.partitions)
        ]
        known = [mark for mark in marks if mark is not None]
        return min(known) if known and len(known) == len(marks) else None

    @contextlib.asynccontextmanager
    async def fed(self, app: str) -> AsyncIterator[None]:
        """Have what arrives at other loggers inside the block; it begins when they have told how far they are."""
        if self._feeds is None:
            yield
            return
        feed = self._feeds.open(app)
        try:
            await feed.told()
            yield
        finally:
            self._feeds.close(app)

    def _feed(self, app: str) -> Feed | None:
        return None if self._feeds is None else self._feeds.of_app(app)

    @contextlib.contextmanager
    def watching(self, app: str) -> Iterator[asyncio.Event]:
        """Have an event set inside the block whenever rows of the app arrive."""
        self.pump()
        event = asyncio.Event()
        self._watches.setdefault(app, []).append(event)
        try:
            yield event
        finally:
            self._watches[app].remove(event)
            if not self._watches[app]:
                del self._watches[app]

    def segments(
        self, batch: Batch, app: str, positions: Mapping[int, int], keys: Mapping[int, ArrivalKey] = _NONE
    ) -> list[Segment]:
        """An app's rows in a batch that are not deleted, from `positions` on and beyond `keys`."""
        start = max(positions.get(batch.shard, 0), (self._boundary(app) or {}).get(batch.shard, 0))
        rows = rows_in_arrival_order(batch, app, start=start, after=keys.get(batch.shard))
        if not len(rows):
            return []
        then, last = dict(positions), dict(keys)
        return [
            Segment(batch, rows[at : at + SEGMENT_ROWS], then, last, self.queue)
            for at in range(0, len(rows), SEGMENT_ROWS)
        ]

    def admit(self) -> None:
        """Count one more follower; pairs with `dismiss`.

        Raises:
            BusyError: There are as many as allowed.
        """
        if self._followers >= self._limit_followers:
            raise BusyError(f"{self._followers} follows are open, no more are allowed")
        self._followers += 1

    def dismiss(self) -> None:
        """Count one follower less."""
        self._followers -= 1

    def subscribe(self, app: str, positions: Mapping[int, int]) -> Subscription | None:
        """Go live, if `positions` is exactly how far all others are; pairs with `unsubscribe`.

        Whoever still has keys cannot: the record is not here that they are of.
        """
        self.pump()
        if dict(positions) != dict(self.positions_of(app)):
            return None
        subscription = Subscription(app, limit_lines=self._limit_lines)
        self._subscriptions.setdefault(app, []).append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Leave."""
        of_app = self._subscriptions[subscription.app]
        of_app.remove(subscription)
        if not of_app:
            del self._subscriptions[subscription.app]

    def stop(self) -> None:
        """End all follows, since the service ends."""
        self.stopping.set()
        for subscription in chain.from_iterable(self._subscriptions.values()):
            subscription.wake()
        _set_all(chain.from_iterable(self._watches.values()))


def _set_all(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        event.set()
