"""What arrives of an app at other loggers: brought here once for all who follow the app, as a small head of its own.

::

    owner of shards 1, 4 --stream--+--> Feed (one for each app followed) --> FollowHub --> followers
    owner of shards 2, 3 --stream--'    begins where the table ends; keeps the newest rows, bounded

A stream names the offset that each shard has reached, so that it goes on without gap or double whoever owns the shard
by then. Where an owner has let go of rows, the table has them: the feed goes on behind them, and followers read them
there.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import aiohttp
import structlog

from logger.reading.peers import Peers, checked
from logger.reading.peerswire import (
    ANYWHERE,
    ARRIVALS,
    EVICTED,
    FRAME_BYTES,
    KEEP_ALIVE_SECONDS,
    LENGTH_BYTES,
    ArrivalsFrame,
    ArrivalsQuestion,
    PeerFormatError,
    batch_of,
    decode,
    encode,
)
from pipeline.errors import QueueUnavailableError, RetriableError
from pipeline.limits import KIB, MIB
from pipeline.lines.batch import Batch
from pipeline.members import PeerError

log = structlog.get_logger()

SILENT_SECONDS: Final = 3 * KEEP_ALIVE_SECONDS
"""A stream that says nothing for so long is given up."""

FEEDS_BYTES: Final = 64 * MIB
"""Most bytes of rows that all feeds keep together, for followers that lag or join; older ones are read in the table."""

_LEAST_BYTES: Final = 256 * KIB
_TOLD_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 0.3


class TakesArrivals(Protocol):
    """Who passes on what feeds bring: `logger.reading.hub.FollowHub`."""

    def arrived(self, app: str, batch: Batch) -> None:
        """Rows of an app; the feed's position of the shard is still before them."""

    def skipped(self, app: str) -> None:
        """A follower must look in the table for what is next."""

    def announce(self) -> None:
        """Positions have moved."""


class Feed:
    """One app.

    Args:
        app: Its name.
        peers: Who owns the shards.
        here: The shards that this logger owns.
        pin: Reads the positions of the newest version of the table.
        hub: Is told of what arrives.
        limit_bytes: Most bytes of rows that are kept.

    Attributes:
        positions: For each shard of another logger, the offset up to which its rows have come here.
        watermarks: Time up to which they are complete.
    """

    def __init__(
        self,
        app: str,
        *,
        peers: Peers,
        here: Callable[[], frozenset[int]],
        pin: Callable[[], Awaitable[Mapping[int, int]]],
        hub: TakesArrivals,
        limit_bytes: Callable[[], int],
    ) -> None:
        self.app = app
        self.positions: dict[int, int] = {}
        self.watermarks: dict[int, int] = {}
        self._peers = peers
        self._here = here
        self._pin = pin
        self._hub = hub
        self._limit_bytes = limit_bytes
        self._begins: dict[int, int] = {}  # everything from here to the position is in memory
        self._kept: dict[int, deque[Batch]] = {}
        self._kept_bytes = 0
        self._untold: set[int] | None = None  # shards whose owners have not told yet how far they are
        self._told = asyncio.Event()

    def batches(self, shard: int, from_offset: int) -> Sequence[Batch]:
        """Batches of a shard from an offset on, as `logger.head.Head` gives them."""
        if from_offset >= self.positions.get(shard, 0):
            return ()
        return [batch for batch in self._kept.get(shard, ()) if batch.next_offset > from_offset]

    def begins(self, shard: int) -> int:
        """Everything from this offset up to the position is in memory."""
        return self._begins.get(shard, 0)

    async def told(self) -> None:
        """Wait until all owners that answer have told how far they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TOLD_SECONDS):
                await self._told.wait()

    async def run(self) -> None:
        """Bring rows until cancelled."""
        while True:
            try:
                await self._run_groups()
            except RetriableError as error:
                log.warning("feed waits for the table", app=self.app, error=str(error))
            except Exception:
                log.exception("feed failed, begins anew", app=self.app)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _run_groups(self) -> None:
        """Have a stream from each owner until owners change."""
        here = self._here()
        await self._peers.refresh(since=time.monotonic() - _AGAIN_SECONDS)
        changed = self._peers.changed
        await self._begin(here)
        groups: dict[str, list[int]] = {}
        for shard in self.positions:
            groups.setdefault(self._peers.owners().get(shard, ""), []).append(shard)
        if self._untold is None:
            self._untold = set(self.positions)
        for url in ("", self._peers.url):
            self._tell(groups.pop(url, ()))
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(self._keep(url, shards)) for url, shards in groups.items()]
            while not changed.is_set() and self._here() == here:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN_SECONDS):
                        await changed.wait()
            for stream in streams:
                stream.cancel()

    async def _begin(self, here: frozenset[int]) -> None:
        """Let go of shards that are here now, and begin those that are not where the table ends."""
        for shard in here & self.positions.keys():
            del self.positions[shard]
            self._forget(shard)
        new = frozenset(range(self._peers.partitions)) - here - self.positions.keys()
        if new:
            ends = await self._pin()
            for shard in new:
                self.positions[shard] = self._begins[shard] = ends.get(shard, 0)

    async def _keep(self, url: str, shards: Sequence[int]) -> None:
        """Have one owner's stream, again and again."""
        asked = set(shards)
        anywhere: set[int] = set()
        while True:
            begun = time.monotonic()
            try:
                refused = await self._stream(url, asked, anywhere)
            except PeerError as error:
                log.debug("stream of arrivals ended", url=url, error=str(error))
                refused = {}
            self._tell(shards)
            evicted = {shard for shard, why in refused.items() if why == EVICTED}
            behind, anywhere = await self._skip(evicted)
            if behind or not evicted:
                await self._peers.refresh(since=begun)
                await asyncio.sleep(_AGAIN_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def _skip(self, shards: Collection[int]) -> tuple[set[int], set[int]]:
        """Go on where the table ends.

        Returns:
            Shards that the table has nothing more of, and those of them that it has nothing of at all: they begin
            wherever their queue does.
        """
        if not shards:
            return set(), set()
        try:
            ends = await self._pin()
        except RetriableError as error:
            log.debug("feed waits for the table", app=self.app, error=str(error))
            return set(shards), set()
        ahead = {shard for shard in shards if ends.get(shard, 0) > self.positions[shard]}
        for shard in ahead:
            self._forget(shard)
            self.positions[shard] = self._begins[shard] = ends[shard]
            self._hub.skipped(self.app)
        return set(shards) - ahead, set(shards) - ends.keys()

    async def _stream(self, url: str, shards: set[int], anywhere: set[int]) -> Mapping[int, str]:
        """Take frames until a shard is refused; returns which, and why.

        Raises:
            PeerError: The stream ended, or never began.
        """
        positions = {shard: ANYWHERE if shard in anywhere else self.positions[shard] for shard in sorted(shards)}
        question = ArrivalsQuestion(self._peers.queue_id, self.app, positions)
        async with self._peers.stream(url, ARRIVALS, encode(question)) as content:
            while True:
                frame = await _read_frame(url, content)
                self._take(url, frame, shards)
                if frame.standing.refused:
                    return frame.standing.refused

    def _take(self, url: str, frame: ArrivalsFrame, shards: set[int]) -> None:
        try:
            batches = [batch_of(form) for form in frame.batches]
        except PeerFormatError as error:
            raise checked(url, error) from error
        for batch in batches:
            if batch.shard in shards:
                self._append(batch)
        for shard, end in frame.standing.ends.items():
            if shard in shards:
                self.positions[shard] = max(end, self.positions[shard])
                mark = frame.standing.watermarks.get(shard)
                if mark is not None:
                    self.watermarks[shard] = max(mark, self.watermarks.get(shard, mark))
        if frame.is_current:
            self._tell(frame.standing.ends)
        self._hub.announce()

    def _append(self, batch: Batch) -> None:
        shard = batch.shard
        if batch.next_offset <= self.positions[shard]:
            return
        kept = self._kept.setdefault(shard, deque())
        # What lies between has no rows of this app.
        batch.first_offset = kept[-1].next_offset if kept else self._begins[shard]
        kept.append(batch)
        self._kept_bytes += batch.memory_bytes
        self._hub.arrived(self.app, batch)
        self.positions[shard] = batch.next_offset
        self._evict(shard)

    def _evict(self, newest: int) -> None:
        """Let the oldest rows go, but not the last batch that came."""
        while self._kept_bytes > self._limit_bytes():
            shard = max(self._kept, key=lambda number: (len(self._kept[number]), number != newest))
            if len(self._kept[shard]) <= 1:
                return
            batch = self._kept[shard].popleft()
            self._kept_bytes -= batch.memory_bytes
            self._begins[shard] = batch.next_offset

    def _forget(self, shard: int) -> None:
        self._kept_bytes -= sum(batch.memory_bytes for batch in self._kept.pop(shard, ()))
        self._begins.pop(shard, None)
        self.watermarks.pop(shard, None)

    def _tell(self, shards: "Mapping[int, int] | Sequence[int]") -> None:
        if self._untold is not None:
            self._untold.difference_update(shards)
            if not self._untold:
                self._told.set()


async def _read_frame(url: str, content: aiohttp.StreamReader) -> ArrivalsFrame:
    """The next frame.

    Raises:
        PeerError: The stream ended, is silent, or has no frame.
    """
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            length = int.from_bytes(await content.readexactly(LENGTH_BYTES))
            if length > FRAME_BYTES:
                raise PeerError(f"{url} sends a frame of {length} bytes")
            return decode(await content.readexactly(length), ArrivalsFrame)
    except (aiohttp.ClientError, asyncio.IncompleteReadError, TimeoutError, OSError) as error:
        raise PeerError(f"{url} sends no more arrivals: {str(error) or type(error).__name__}") from error
    except PeerFormatError as error:
        raise checked(url, error) from error


class Feeds:
    """The feeds of all apps that are followed here.

    Args:
        peers: Who owns the shards.
        here: The shards that this logger owns.
        pin: Reads the positions of the newest version of the table.
        hub: Is told of what arrives.
    """

    def __init__(
        self,
        *,
        peers: Peers,
        here: Callable[[], frozenset[int]],
        pin: Callable[[], Awaitable[Mapping[int, int]]],
        hub: TakesArrivals,
    ) -> None:
        self.partitions = peers.partitions
        self._peers = peers
        self._here = here
        self._pin = pin
        self._hub = hub
        self._open: dict[str, tuple[Feed, asyncio.Task[None]]] = {}
        self._followers: Counter[str] = Counter()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Run the feeds until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.get_running_loop().create_future()

    def of_app(self, app: str) -> Feed | None:
        """The feed of an app that is followed."""
        opened = self._open.get(app)
        return None if opened is None else opened[0]

    def open(self, app: str) -> Feed:
        """Have the feed of an app; pairs with `close`.

        Raises:
            QueueUnavailableError: Follows are not served yet.
        """
        if self._tasks is None:
            raise QueueUnavailableError("other loggers are not known yet")
        if app not in self._open:
            feed = Feed(
                app, peers=self._peers, here=self._here, pin=self._pin, hub=self._hub, limit_bytes=self._limit_bytes
            )
            self._open[app] = feed, self._tasks.create_task(feed.run(), name=f"feed of {app}")
        self._followers[app] += 1
        return self._open[app][0]

    def close(self, app: str) -> None:
        """One follower less; the last one ends the feed."""
        self._followers[app] -= 1
        if not self._followers[app]:
            del self._followers[app]
            _, task = self._open.pop(app)
            task.cancel()

    def _limit_bytes(self) -> int:
        return max(_LEAST_BYTES, FEEDS_BYTES // max(len(self._open), 1))
