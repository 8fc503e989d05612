"""The head: the newest rows, in memory, and how far each shard is complete.

Everything here runs on the event loop; only what is inside a batch is ever handed to a thread, and it never changes.
A batch goes through three ages: waiting (not committed), kept (committed, and in the table too, for readers that
pinned an older version), gone. Both ages share one budget of bytes: waiting batches stop the fetching, kept ones make
room for them.
"""

import asyncio
import bisect
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from pipeline.lines.batch import Batch

_next_offset = attrgetter("next_offset")

_LITTLE: Final = 8
"""One part in so many of the budget is what shards with few rows may take when the others have used it up."""


@dataclass(slots=True)
class _Shard:
    """Batches of one shard, by offset. `committed_at` belongs to the first of them, those that are committed."""

    next_offset: int
    waiting_bytes: int = 0
    batches: deque[Batch] = field(default_factory=deque)
    committed_at: deque[float] = field(default_factory=deque)
    heartbeats: dict[str, int] = field(default_factory=dict)


class Head:
    """Newest rows of the shards that this logger owns, which become more and fewer while it runs.

    Args:
        limit_bytes: Most bytes in memory; when as many wait for a commit, `room` does not return (but see `may_grow`).
        keep_seconds: How long committed batches stay, as far as the budget allows.
        shards: All shards of the queue, whoever owns them; a watermark needs to have heard of each.
        gone_nodes: Nodes that hold no watermark back.
        clock: Seconds, for `keep_seconds` only.
    """

    def __init__(
        self,
        *,
        limit_bytes: int,
        keep_seconds: float = 60.0,
        shards: Iterable[int] = (),
        gone_nodes: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._keep_seconds = keep_seconds
        self._all = frozenset(shards)
        self._shards: dict[int, _Shard] = {}
        self._elsewhere: dict[int, Mapping[str, int]] = {}
        self._gone_nodes = frozenset(gone_nodes)
        self._clock = clock
        self._waiting_bytes = 0
        self._kept_bytes = 0
        self._changes = 0
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def shards(self) -> frozenset[int]:
        """The shards that this logger owns, and whose rows are here, now."""
        return frozenset(self._shards)

    def resume(self, shard: int, next_offset: int, heartbeats: Mapping[str, int]) -> None:
        """Begin a shard where the table ends: what was committed up to there, and the heartbeats consumed by then."""
        self._forget(shard)
        self._shards[shard] = _Shard(next_offset, heartbeats=dict(heartbeats))
        self._elsewhere.pop(shard, None)
        self._evict()
        self._announce()

    def drop(self, shard: int) -> None:
        """Forget a shard's rows, committed or not, and wake whoever waits: another logger owns it now."""
        if self._forget(shard) is not None:
            self._evict()
            self._announce()

    def hear(self, shard: int, heartbeats: Mapping[str, int]) -> None:
        """Note how far a shard of another logger is complete in the table; nothing for one that is owned."""
        if shard not in self._shards:
            self._elsewhere[shard] = dict(heartbeats)

    def skip(self, shard: int, next_offset: int) -> None:
        """Go on at `next_offset`: the queue has no records before it any more."""
        self._shards[shard].next_offset = next_offset
        self._announce()

    def append(self, batch: Batch) -> None:
        """Add a batch that follows its shard's last one, and wake the followers."""
        shard = self._shards.setdefault(batch.shard, _Shard(batch.first_offset))
        shard.batches.append(batch)
        shard.next_offset = batch.next_offset
        shard.heartbeats.update(batch.heartbeats)
        shard.waiting_bytes += batch.memory_bytes
        self._waiting_bytes += batch.memory_bytes
        self._evict()
        self._announce()

    def batches(self, shard: int, from_offset: int) -> Sequence[Batch]:
        """The shard's batches with rows from `from_offset` on, in order, as far as they are still in memory.

        The first one begins at `from_offset`, in the middle of a fetch if need be: a table version's position is a
        boundary of the batches of whoever committed it, which may be the owner before, whose last commit was under way
        when this one began. When `oldest` is above it, the batches between are gone from memory, and a newer table
        version has their rows.
        """
        found = self._shards.get(shard)
        if found is None or from_offset >= found.next_offset:
            return ()
        held = list(found.batches)
        newer = held[bisect.bisect_right(held, from_offset, key=_next_offset) :]
        return [batch.since(from_offset) for batch in newer[:1]] + newer[1:]

    def oldest(self, shard: int) -> int | None:
        """First queue offset still in memory; `None` when nothing is."""
        found = self._shards.get(shard)
        return found.batches[0].first_offset if found is not None and found.batches else None

    def ends(self) -> dict[int, int]:
        """For each shard, the offset after the last record that is in the head or committed."""
        return {shard: held.next_offset for shard, held in self._shards.items()}

    def waiting(self) -> dict[int, list[Batch]]:
        """The batches that are not committed, for each shard that has any."""
        held = {number: list(shard.batches)[len(shard.committed_at) :] for number, shard in self._shards.items()}
        return {number: batches for number, batches in held.items() if batches}

    def committed(self, positions: Mapping[int, int]) -> None:
        """Note that everything before `positions` is in the table: those batches are only kept for a while now."""
        now = self._clock()
        for number, position in positions.items():
            shard = self._shards.get(number)
            if shard is None:
                continue  # dropped while the commit was under way
            for batch in list(shard.batches)[len(shard.committed_at) :]:
                if batch.next_offset > position:
                    break
                shard.committed_at.append(now)
                shard.waiting_bytes -= batch.memory_bytes
                self._waiting_bytes -= batch.memory_bytes
                self._kept_bytes += batch.memory_bytes
        self._evict()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not committed."""
        return self._waiting_bytes

    @property
    def kept_bytes(self) -> int:
        """Bytes of committed batches still in memory."""
        return self._kept_bytes

    async def room(self) -> None:
        """Wait until fewer bytes wait for a commit than the budget allows."""
        await self._has_room.wait()

    def may_grow(self, shards: Iterable[int]) -> set[int]:
        """Those of some shards that may have more: all while there is room, else those of which little waits.

        An app that has filled the budget holds back its own lines until the commit is over, not everybody's.
        """
        if self._has_room.is_set():
            return set(shards)
        little_bytes = self._limit_bytes // (_LITTLE * max(1, len(self._shards)))
        return {number for number in shards if self._shards[number].waiting_bytes < little_bytes}

    @property
    def changes(self) -> int:
        """Counts appended batches; what `wait` takes and gives."""
        return self._changes

    async def wait(self, seen: int) -> int:
        """Wait until the counter of changes is above `seen`; returns it."""
        while self._changes <= seen:
            await self._changed.wait()
        return self._changes

    def watermark(self, app: str | None = None) -> int | None:
        """Time up to which lines are known to be complete, nanoseconds since the epoch; `None` while unknown.

        The minimum over all shards, and over the nodes heard of in each: an app may be spread over all of them. Of a
        shard that another logger owns it is what `hear` was told: read it before a version of the table is pinned.
        """
        del app  # one day an app's shards may be known; today each may hold any app
        marks = [self.shard_watermark(shard) for shard in self._all | self._shards.keys()]
        known = [mark for mark in marks if mark is not None]
        return min(known) if known and len(known) == len(marks) else None

    def shard_watermark(self, shard: int) -> int | None:
        """Watermark of one shard: the minimum over its nodes that are not declared gone; 0 there says unknown."""
        return min((time_ns for _, time_ns in self._heartbeats(shard)), default=0) or None

    def node_heartbeats(self) -> dict[str, int]:
        """For each node that is not declared gone, the oldest of its newest heartbeats in the shards."""
        oldest: dict[str, int] = {}
        for shard in self._all | self._shards.keys():
            for node, time_ns in self._heartbeats(shard):
                oldest[node] = min(time_ns, oldest.get(node, time_ns))
        return oldest

    def _heartbeats(self, shard: int) -> list[tuple[str, int]]:
        """What is heard of a shard's nodes, as a copy: metrics are read in another thread."""
        held = self._shards.get(shard)
        heard = self._elsewhere.get(shard, {}) if held is None else held.heartbeats
        return [(node, time_ns) for node, time_ns in list(heard.items()) if node not in self._gone_nodes]

    def _forget(self, number: int) -> _Shard | None:
        shard = self._shards.pop(number, None)
        if shard is not None:
            kept = sum(batch.memory_bytes for batch, _ in zip(shard.batches, shard.committed_at, strict=False))
            self._kept_bytes -= kept
            self._waiting_bytes -= shard.waiting_bytes
        return shard

    def _announce(self) -> None:
        self._changes += 1
        # Whoever waits holds the old event; whoever comes later gets a fresh one, and reads the counter first.
        self._changed.set()
        self._changed = asyncio.Event()

    def _evict(self) -> None:
        """Let kept batches go: those past their time, then the oldest ones until the budget holds."""
        expiry = self._clock() - self._keep_seconds
        for shard in self._shards.values():
            while shard.committed_at and shard.committed_at[0] <= expiry:
                self._drop_oldest(shard)
        while self._kept_bytes and self._kept_bytes + self._waiting_bytes > self._limit_bytes:
            kept = [shard for shard in self._shards.values() if shard.committed_at]
            self._drop_oldest(min(kept, key=lambda shard: shard.committed_at[0]))
        if self._waiting_bytes < self._limit_bytes:
            self._has_room.set()
        else:
            self._has_room.clear()

    def _drop_oldest(self, shard: _Shard) -> None:
        shard.committed_at.popleft()
        self._kept_bytes -= shard.batches.popleft().memory_bytes
