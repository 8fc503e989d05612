"""Lines by app become chunks of virtual sources, and go to the lanes.

No task and no lock: `put` neither waits nor yields, so that the pieces of one message are never parted by another's.
Each app has a source of its own, up to a number; the lines of all further apps share one source in each partition, so
that a client who makes up names cannot fill the memory of this agent and of the loggers, who remember sources.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fluentd.chunks.outgoing import Sendable
from fluentd.chunks.surroundings import RunKey
from fluentd.inputs.delivery import Delivery
from fluentd.inputs.metrics import InputMetrics
from fluentd.inputs.ruling import InputRules, ruled
from fluentd.inputs.source import VirtualSource, new_uid
from fluentd.lanes.sender import Budget
from fluentd.runs.tree import choose_partition
from pipeline.chunk import Chunk, cut_chunk
from pipeline.limits import CHUNK_BYTES

OWN_SOURCES: Final = 1000
"""So many (input, app, process) have a source of their own; measured at a logger: about 1 KB each for a week."""

_CHUNK_BYTES: Final = 512
"""What a chunk on its way takes beside its data: a short line from each of many clients is mostly this."""

NOTHING_WAITS: Final = 2**63 - 1
"""A time beyond all others."""

Put = Callable[[int, Sendable], None]


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    """A chunk in a lane."""

    chunk: Chunk
    delivery: Delivery
    budget: Budget

    def acknowledge(self) -> None:
        self.budget.give(_CHUNK_BYTES + len(self.chunk.data))
        self.delivery.arrived()


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one app.

    Attributes:
        app: A safe name (see `fluentd.pods.names.safe_name`).
        process: A safe name, or empty.
        data: Complete messages, as `cri_lines` makes them, one after the other.
        messages: How many.
    """

    app: str
    process: str
    data: bytes
    messages: int


class Intake:
    """See the module.

    Args:
        node: Name of this node, a safe name.
        partitions: Of the queue.
        put: Hands a chunk to a lane; see `fluentd.lanes.sender.Sender.put`.
        limit_bytes: Most bytes on their way of all inputs together; `room` waits when they are used up.
        metrics: Of all inputs.
        own_sources: See `OWN_SOURCES`.
        rules: On the lines; `None` for none.
    """

    def __init__(
        self,
        *,
        node: str,
        partitions: int,
        put: Put,
        limit_bytes: int,
        metrics: InputMetrics,
        own_sources: int = OWN_SOURCES,
        rules: InputRules | None = None,
    ) -> None:
        self._node, self._partitions, self._put, self._metrics = node, partitions, put, metrics
        self._budget = Budget(limit_bytes)
        self._own_sources, self._rules = own_sources, rules
        self._own: dict[tuple[str, str, str], VirtualSource] = {}
        self._shared: dict[tuple[str, int], VirtualSource] = {}
        self._accepted: dict[int, int] = {}
        self._next = 0
        self._ended = False

    @contextlib.contextmanager
    def accept(self) -> Iterator[int]:
        """What is read now is accepted: no heartbeat goes beyond this moment until the block ends.

        Yields:
            The time, in nanoseconds since the epoch: of lines that state none.
        """
        now_ns = time.time_ns()
        key, self._next = self._next, self._next + 1
        self._accepted[key] = now_ns
        try:
            yield now_ns
        finally:
            del self._accepted[key]

    @property
    def complete_ns(self) -> int:
        """Everything accepted before this wall time is in the lanes; far in the future when nothing waits."""
        return min(self._accepted.values(), default=NOTHING_WAITS)

    @property
    def used_bytes(self) -> int:
        """Bytes on their way."""
        return self._budget.used_bytes

    def has_room(self) -> bool:
        """Whether a message may be put: for inputs that cannot ask their clients to wait."""
        return self._budget.has_room(CHUNK_BYTES)

    async def room(self) -> None:
        """Wait until a message may be put. While waiting, do not read: so clients are told to wait, too."""
        while not self._budget.has_room(CHUNK_BYTES):
            await self._budget.wait()

    def put(self, name: str, lines: Lines, delivery: Delivery) -> None:
        """Send lines on.

        Args:
            name: Of the input; constant and short.
            lines: Those of one app.
            delivery: Told when the queue has them.
        """
        if self._ended:
            raise RuntimeError("lines after the end of their source")
        source = self._source(name, lines)
        source.speak_for(lines.app, lines.process)
        left = lines.data if self._rules is None else ruled(source, lines.data, self._rules)
        for data in _cut(left):
            self._send(source, source.chunk(data), delivery)
        self._metrics.taken(name, messages=lines.messages, size=len(lines.data))

    def end(self) -> None:
        """Nothing more is put: end all sources, so that loggers need not remember them for long."""
        self._ended = True
        for source in (*self._own.values(), *self._shared.values()):
            self._send(source, source.end(), Delivery())

    def _send(self, source: VirtualSource, chunk: Chunk, delivery: Delivery) -> None:
        self._budget.take(_CHUNK_BYTES + len(chunk.data))
        delivery.expect()
        self._put(source.partition, _OnItsWay(chunk, delivery, self._budget))

    def _source(self, name: str, lines: Lines) -> VirtualSource:
        source = self._own.get((name, lines.app, lines.process))
        if source is not None:
            return source
        partition = self._choose(lines)
        if len(self._own) < self._own_sources:
            source = self._own[name, lines.app, lines.process] = self._open(name, lines, partition)
            return source
        source = self._shared.get((name, partition))
        if source is None:
            source = self._shared[name, partition] = self._open(name, lines, partition)
        return source

    def _choose(self, lines: Lines) -> int:
        """By the names only: after a restart the same, so that an app's lines lie together."""
        key = RunKey("", lines.app, 0)
        return choose_partition(f"{lines.app}/{lines.process}", key, spread=1, partitions=self._partitions)

    def _open(self, name: str, lines: Lines, partition: int) -> VirtualSource:
        return VirtualSource.open(
            node=self._node, name=name, uid=new_uid(), partition=partition, app=lines.app, process=lines.process
        )


def _cut(data: bytes) -> Iterator[bytes]:
    """Cut lines into chunks, at line ends."""
    if len(data) <= CHUNK_BYTES:
        if data:
            yield data
        return
    view = memoryview(data)
    while view:
        size = cut_chunk(view, limit_bytes=CHUNK_BYTES) if len(view) > CHUNK_BYTES else len(view)
        yield bytes(view[:size])
        view = view[size:]
