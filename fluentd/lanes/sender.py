"""Chunks into packs, packs into the queue, in order: one lane for each partition.

At least once: what a lane could not send it sends again, from the oldest unacknowledged pack on, and nothing overtakes.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
import zstandard

from fluentd.chunks.outgoing import Sendable
from fluentd.lanes.statements import RIDE_BYTES, Voice, news_bytes
from fluentd.metrics import AgentMetrics
from pipeline.chunk import Chunk
from pipeline.errors import RetriableError
from pipeline.failpoints import failpoint
from pipeline.limits import KIB, LINGER_SECONDS, MIB, PACK_RAW_BYTES
from pipeline.pack import encode_pack, encoded_size, pack_is_full
from pipeline.podstatement import NO_NEWS, PodNews
from pipeline.queue import Producer
from pipeline.service import Health

log = structlog.get_logger()

_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 5.0
_SEND_BYTES = 2 * MIB  # raw bytes of the packs of one send: enough to share one fsync, little enough to hold twice
_THREAD_BYTES = 64 * KIB  # below this, compressing costs less than changing threads (0.05 ms)
_PACKERS = 2


class Budget:
    """Bytes that may be in memory between reading and the queue's acknowledgement.

    Args:
        limit_bytes: All of them.

    Attributes:
        lane_bytes: A lane that uses more gets nothing more from files: a partition that takes nothing must not use up
            all.
        used_bytes: How many are in use.
        taken_bytes: How many were taken so far, given back or not.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.lane_bytes = limit_bytes * 5 // 8
        self.used_bytes = 0
        self.taken_bytes = 0
        self._given = asyncio.Event()

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more may be read; always when nothing is in flight."""
        return not self.used_bytes or self.used_bytes + size <= self._limit_bytes

    def take(self, size: int) -> None:
        """Use `size` bytes."""
        self.used_bytes += size
        self.taken_bytes += size

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        self.used_bytes -= size
        self._given.set()

    async def wait(self) -> None:
        """Wait until some bytes are given back."""
        self._given.clear()
        await self._given.wait()


class QueueTrouble:
    """Turns what all lanes meet into the health of one part, `queue`.

    Args:
        health: Of the agent.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._reasons: dict[int, str] = {}

    def failed(self, partition: int, reason: str) -> None:
        """A send to `partition` failed."""
        if not self._reasons:
            log.warning("queue refused records, trying on", partition=partition, error=reason)
        self._reasons[partition] = reason
        self._health.broken("queue", reason)

    def worked(self, partition: int) -> None:
        """A send to `partition` worked."""
        if self._reasons.pop(partition, None) and not self._reasons:
            self._health.ready("queue")


@dataclass(slots=True)
class _Pack:
    outgoing: list[Sendable] = field(default_factory=list)
    raw_bytes: int = 0
    opened_at: float = 0.0
    heartbeat_ns: int = 0
    news: PodNews = NO_NEWS


class Packer:
    """Encodes packs; keeps few compressors, since each holds more than a megabyte.

    Args:
        node: Name of the node.
        level: zstd's.
    """

    def __init__(self, *, node: str, level: int) -> None:
        self._node = node
        self._free = [zstandard.ZstdCompressor(level=level) for _ in range(_PACKERS)]
        self._slots = asyncio.Semaphore(_PACKERS)

    async def encode(self, packs: Sequence[_Pack]) -> list[bytes]:
        """Encode packs of one lane, on a thread when that pays."""
        async with self._slots:
            compressor = self._free.pop()
            try:
                if sum(pack.raw_bytes for pack in packs) < _THREAD_BYTES:
                    return self._encode(packs, compressor)
                return await asyncio.to_thread(self._encode, packs, compressor)
            finally:
                self._free.append(compressor)

    def _encode(self, packs: Sequence[_Pack], compressor: zstandard.ZstdCompressor) -> list[bytes]:
        return [
            encode_pack(
                [one.chunk for one in pack.outgoing],
                node=self._node,
                heartbeat_ns=pack.heartbeat_ns,
                news=pack.news,
                compressor=compressor,
            )
            for pack in packs
        ]


class Lane:
    """What goes to one partition.

    Args:
        partition: Which.
        producer: The queue.
        packer: Shared by all lanes.
        budget: Shared by all lanes.
        metrics: Of the agent.
        trouble: Told when sends fail, and when they work again.
        acknowledged: Called after the queue took something.
        voice: What the partition hears of pods; `None` for nothing.
    """

    def __init__(
        self,
        partition: int,
        *,
        producer: Producer,
        packer: Packer,
        budget: Budget,
        metrics: AgentMetrics,
        trouble: "QueueTrouble",
        acknowledged: Callable[[], None],
        voice: Voice | None = None,
    ) -> None:
        self._partition, self._producer, self._packer = partition, producer, packer
        self._budget, self._metrics, self._trouble = budget, metrics, trouble
        self._on_acknowledged, self._voice = acknowledged, voice
        self._packs: deque[_Pack] = deque()  # bounded by the budget; the last one is open
        self._used_bytes = 0
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False
        self.oldest_at = 0.0

    def put(self, outgoing: Sendable) -> None:
        """Append a chunk to the open pack."""
        size = encoded_size(outgoing.chunk)
        pack = self._packs[-1] if self._packs else None
        if pack is None or pack_is_full(pack.raw_bytes) or pack.raw_bytes + size > PACK_RAW_BYTES:
            pack = self._open()
        pack.outgoing.append(outgoing)
        pack.raw_bytes += size
        self._budget.take(size)
        self._used_bytes += size
        if pack_is_full(pack.raw_bytes):
            self._full.set()

    def heartbeat(self, time_ns: int) -> None:
        """State that everything before `time_ns` is in the packs put so far: in the last of them, or in one of its own.

        A pack that is open already still lingers, and takes the heartbeat along: a node that writes makes no extra
        records by it.
        """
        (self._packs[-1] if self._packs else self._open()).heartbeat_ns = time_ns

    def _open(self) -> _Pack:
        pack = _Pack(opened_at=time.monotonic())
        self._packs.append(pack)
        self._wake.set()
        return pack

    def close(self) -> None:
        """Nothing more comes: send what is there, then end."""
        self._closing = True
        self._wake.set()
        self._full.set()

    async def run(self) -> None:
        """Send packs until closed and empty.

        Raises:
            FatalError: The queue is of no use any more.
        """
        while True:
            await self._wait_for_pack()
            if not self._packs:
                return
            packs = self._take()
            values = await self._packer.encode(packs)
            await self._deliver(values)
            self._acknowledge(packs, sum(map(len, values)))

    async def _wait_for_pack(self) -> None:
        while not self._packs and not self._closing:
            self._wake.clear()
            await self._wake.wait()
        if not self._packs or self._closing:
            return
        self._full.clear()
        first = self._packs[0]
        if len(self._packs) > 1 or pack_is_full(first.raw_bytes):
            return
        try:
            async with asyncio.timeout(first.opened_at + LINGER_SECONDS - time.monotonic()):
                await self._full.wait()
        except TimeoutError:
            return

    def _take(self) -> list[_Pack]:
        packs = [self._packs.popleft()]
        raw_bytes = packs[0].raw_bytes
        while self._packs and raw_bytes + self._packs[0].raw_bytes <= _SEND_BYTES:
            packs.append(self._packs.popleft())
            raw_bytes += packs[-1].raw_bytes
        self.oldest_at = packs[0].opened_at
        return packs if self._voice is None else _with_news(packs, self._voice)

    async def _deliver(self, values: list[bytes]) -> None:
        backoff_seconds = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                await self._producer.send(self._partition, values)
            except RetriableError as error:
                self._metrics.send_errors.inc()
                self._trouble.failed(self._partition, str(error))
                await asyncio.sleep(backoff_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
                backoff_seconds = min(backoff_seconds * 2, _LAST_BACKOFF_SECONDS)
            else:
                self._trouble.worked(self._partition)
                failpoint("agent.sent")
                return

    def _acknowledge(self, packs: list[_Pack], sent_bytes: int) -> None:
        for pack in packs:
            for one in pack.outgoing:
                one.acknowledge()
            self._budget.give(pack.raw_bytes)
            self._used_bytes -= pack.raw_bytes
        self.oldest_at = 0.0
        failpoint("agent.acked")
        self._on_acknowledged()
        self._metrics.acknowledged(packs=len(packs), chunks=sum(len(p.outgoing) for p in packs), sent_bytes=sent_bytes)

    @property
    def crowded(self) -> bool:
        """Whether so much waits here that other lanes' runs would be left without room."""
        return self._used_bytes > self._budget.lane_bytes

    @property
    def waiting_since(self) -> float:
        """Monotonic time since which the oldest unacknowledged chunk waits; 0 when there is none."""
        return self.oldest_at or (self._packs[0].opened_at if self._packs else 0.0)


def _with_news(packs: list[_Pack], voice: Voice) -> list[_Pack]:
    """Add what there is to be said of pods, in the first of them and, if that is much, before it."""
    news = voice.news(beats=any(pack.heartbeat_ns for pack in packs))
    if news and news_bytes(news[-1]) <= RIDE_BYTES:
        packs[0].news = news.pop()
    return [*(_Pack(news=part) for part in news), *packs]


class Sender:
    """All lanes.

    Args:
        lanes: One for each partition, in their order.
        copy: Gets every chunk, too; must not wait.
    """

    def __init__(self, lanes: list[Lane], *, copy: Callable[[Chunk], None] | None = None) -> None:
        self._lanes, self._copy = lanes, copy

    def put(self, partition: int, outgoing: Sendable) -> None:
        """See `Lane.put`."""
        self._lanes[partition].put(outgoing)
        if self._copy is not None:
            self._copy(outgoing.chunk)

    def is_crowded(self, partition: int) -> bool:
        """See `Lane.crowded`."""
        return self._lanes[partition].crowded

    def heartbeat(self, time_ns: int) -> None:
        """Tell every partition; see `Lane.heartbeat`."""
        for lane in self._lanes:
            lane.heartbeat(time_ns)

    def oldest_seconds(self) -> float:
        """Age of the oldest chunk that the queue has not acknowledged."""
        waiting = [lane.waiting_since for lane in self._lanes if lane.waiting_since]
        return max(0.0, time.monotonic() - min(waiting)) if waiting else 0.0

    def close(self) -> None:
        """See `Lane.close`."""
        for lane in self._lanes:
            lane.close()

    async def run(self) -> None:
        """Run all lanes until they are closed and empty."""
        async with asyncio.TaskGroup() as group:
            for index, lane in enumerate(self._lanes):
                group.create_task(lane.run(), name=f"lane {index}")
