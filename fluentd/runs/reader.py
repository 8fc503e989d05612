"""Reads all files of the node in turns: discovers, looks at what is due, hands chunks to the lanes, pauses.

One loud file does not delay the others (see `turns`), and neither does a partition that takes nothing: its lane
has a part of the budget, and the runs of the others are read on. When the budget is used up, reading stops until the
queue has taken something.
"""

import asyncio
import time
from contextlib import suppress

from fluentd.files.discovery import Discovery, Listing
from fluentd.files.watch import DirectoryWatch
from fluentd.lanes.sender import Budget, Sender
from fluentd.metrics import AgentMetrics
from fluentd.runs.keeper import CheckpointKeeper
from fluentd.runs.run import Run
from fluentd.runs.tree import Tree
from fluentd.runs.turns import Turns
from pipeline.failpoints import failpoint
from pipeline.limits import CHUNK_BYTES, MIB
from pipeline.service import Health

_PASS_SECONDS = 0.1  # a pass with more to read than this ends, so that new files are seen
_TICK_SECONDS = 0.02  # hot runs are looked at this often: little beside the linger of a pack
_LONG_TICK_SECONDS = 0.1  # with a thousand hot runs a look at all takes 6 ms
_BLIND_SECONDS = 0.25  # rescans without inotify
_THOROUGH_SECONDS = 120.0  # of 500 idle files, one costs 60 ms of CPU; all else takes 270 ms a minute
_YIELD_BYTES = 1 * MIB
_YIELD_LOOKS = 64


class Reader:
    """See the module.

    Args:
        discovery: Finds files.
        tree: Knows them.
        watch: Tells of changes.
        sender: Takes chunks.
        budget: What may be in flight.
        keeper: Makes new sources known on disk.
        metrics: Of the agent.
        health: Its part `discovery`.
        rescan_seconds: Between two scans of everything.
        turns: Which run is next.
    """

    def __init__(
        self,
        *,
        discovery: Discovery,
        tree: Tree,
        watch: DirectoryWatch,
        sender: Sender,
        budget: Budget,
        keeper: CheckpointKeeper,
        metrics: AgentMetrics,
        health: Health,
        wake: asyncio.Event,
        rescan_seconds: float,
        turns: Turns[Run] | None = None,
    ) -> None:
        self._discovery, self._tree, self._watch = discovery, tree, watch
        self._sender, self._budget, self._keeper = sender, budget, keeper
        self._metrics, self._health, self._wake = metrics, health, wake
        self._rescan_seconds = rescan_seconds
        self._turns: Turns[Run] = turns or Turns()
        self._places = Listing(0, {}, {}, [], [])
        self._scan_at = 0.0
        self._thorough_at = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until told to stop."""
        while not stopping.is_set():
            await self._discover()
            began = time.monotonic()
            more = await self._pass(stopping)
            if any(run.unsaved for run in self._tree.due()):
                self._keeper.touch()
                more = await self._keeper.save() or more
            if not more:
                await self._pause(time.monotonic() - began)

    async def _discover(self) -> None:
        self._wake.clear()
        names, writes = self._watch.take()
        for path in writes:
            self._tree.touch(path)
        now = time.monotonic()
        if now >= self._scan_at or self._watch.stale or names - self._places.places.keys():
            await self._scan(now)
        elif names:
            self._look(names, now)

    async def _scan(self, now: float) -> None:
        """Look at the whole tree."""
        self._watch.stale = False
        thorough = now >= self._thorough_at
        if thorough:
            self._thorough_at = now + _THOROUGH_SECONDS
        listing = await asyncio.to_thread(self._discovery.scan, started_ns=time.time_ns(), thorough=thorough)
        self._places = listing
        self._tree.apply(listing, now=time.monotonic())
        self._keeper.touch()
        if self._tree.unlisted:
            self._tree.unlisted = False
            self._thorough_at = 0.0
        rescan_seconds = min(self._rescan_seconds, _BLIND_SECONDS) if self._watch.blind else self._rescan_seconds
        # What was made before its folder was watched was maybe made after it was listed.
        again = self._watch_all(listing) or not self._thorough_at
        self._scan_at = now if again else now + rescan_seconds
        self._report(listing)

    def _look(self, paths: set[str], now: float) -> None:
        """Look at the container directories in which names changed."""
        listing = Listing(time.time_ns(), self._places.places, {}, [], [])
        for path in paths:
            self._discovery.look(self._places.places[path], listing)
        self._tree.apply(listing, now=now, complete=False)

    def _watch_all(self, listing: Listing) -> bool:
        """Watch every directory; returns whether one was not watched before."""
        root = self._discovery.root
        pods = {path.rpartition("/")[0] for path in listing.places}
        self._watch.keep_only({root, *pods, *listing.places})
        news = [self._watch.watch(path, writes=False) for path in (root, *pods) if not self._watch.knows(path)]
        news += [self._watch.watch(path, writes=True) for path in listing.places if not self._watch.knows(path)]
        for path in self._tree.skipped:
            self._watch.watch(path, writes=False)
        return any(news)

    def _report(self, listing: Listing) -> None:
        self._metrics.ignored_paths.set(len(listing.ignored))
        problems = listing.problems + self._tree.problems()
        if problems:
            self._thorough_at = 0.0  # what could not be opened is tried again, whatever its folder's time says
            self._health.broken("discovery", problems[0])
        else:
            self._health.ready("discovery")

    async def _pass(self, stopping: asyncio.Event) -> bool:
        """Look at every due run, in turns of one chunk; returns whether there is more to read now."""
        pass_ns, until = time.time_ns(), time.monotonic() + _PASS_SECONDS
        self._turns.begin(self._tree.due())
        while turn := self._turns.next_turn():
            waiting = await self._take_turn(turn, pass_ns, stopping)
            if stopping.is_set() or time.monotonic() >= until:
                break
            if waiting:
                await self._lane_moves()
                break
        return self._turns.left

    async def _take_turn(self, turn: list[Run], pass_ns: int, stopping: asyncio.Event) -> bool:
        """Take one chunk of each run; returns whether all that have more wait for their lanes."""
        read_bytes = looks = 0
        waiting = read = False
        for run in turn:
            if self._sender.is_crowded(run.partition):
                self._turns.served(run, 0)
                waiting = True
                continue
            while not self._budget.has_room(2 * CHUNK_BYTES):
                if stopping.is_set():
                    return False
                await self._budget.wait()
            size = self._look_at(run, pass_ns)
            if size:
                self._turns.served(run, size)
                read = True
            read_bytes, looks = read_bytes + size, looks + 1
            if read_bytes >= _YIELD_BYTES or looks >= _YIELD_LOOKS:
                read_bytes = looks = 0
                await asyncio.sleep(0)
        return waiting and not read

    async def _lane_moves(self) -> None:
        """Wait until the queue has taken something, but not for so long that others' lines wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_SECONDS):
                await self._budget.wait()

    def _look_at(self, run: Run, pass_ns: int) -> int:
        """Take one chunk of `run`, if there is one; returns its size."""
        now = time.monotonic()
        outgoing = self._tree.next_chunk(run, now=now, pass_ns=pass_ns)
        path = run.place.path
        if outgoing is None:
            # One more look after events were asked for: what was written before that made none.
            if self._tree.may_rest(run, now=now) and not self._watch.watch(path, writes=True):
                self._tree.rest(run)
            return 0
        failpoint("agent.read")
        self._watch.watch(path, writes=False)
        self._sender.put(run.partition, outgoing)
        size = outgoing.after.offset - outgoing.chunk.prev_end
        self._metrics.read_bytes.inc(size)
        return size + 1

    async def _pause(self, pass_seconds: float) -> None:
        now = time.monotonic()
        if self._tree.due():
            await asyncio.sleep(min(max(_TICK_SECONDS, 4 * pass_seconds), _LONG_TICK_SECONDS))
            return
        try:
            async with asyncio.timeout(max(0.0, self._scan_at - now)):
                await self._wake.wait()
        except TimeoutError:
            return
