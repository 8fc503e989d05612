"""The resume state of a shard: what the logger needs beside the table to go on after a restart exactly where it was.

It is written with every commit, for the offset that the commit states: whoever reads the shard's records from there
on, starting from this state, makes the same rows as a logger that never stopped.

Format, version 1: the byte 0x01, then the msgpack of `ShardState`. Structs are arrays; fields are only ever added at
the end, with a default.
"""

from typing import Final, TypeVar

import msgspec

from pipeline.chunk import Origin
from pipeline.errors import FormatError

_VERSION: Final = b"\x01"

T = TypeVar("T")


class Hole(msgspec.Struct, array_like=True, gc=False):
    """Bytes `[start, end)` of a source that never came.

    Attributes:
        start: First missing byte.
        end: After the last one.
        declared: Whether the agent said that they are lost. Those that it did not hold a watermark back.
        node: The node whose watermark that is.
    """

    start: int
    end: int
    declared: bool
    node: str


class SourceState(msgspec.Struct, array_like=True):
    """What is stored of a source: everything before `next`, less the holes.

    Attributes:
        source: Its identity.
        ordinal: Its position in its run.
        next: After the last byte that came.
        holes: Ascending, apart from each other, all before `next`.
        final: Whether the agent said that it has ended.
        touched_ns: The shard's clock when a chunk last came.
    """

    source: bytes
    ordinal: int
    next: int
    holes: list[Hole]
    final: bool
    touched_ns: int


class PendingLine(msgspec.Struct, array_like=True):
    """A line whose end has not come.

    Attributes:
        origin: Where the line's first piece came from; its row is labelled so.
        source: Source of its first byte.
        ordinal: Ordinal of that source.
        offset: Offset of its first byte there.
        time_ns: Time of its first piece.
        order_ns: Place of its first piece in reading order.
        last_time_ns: Time of its newest piece.
        touched_ns: The shard's clock when that came.
        node: The node that sent it.
        continuation: How many rows of this line are made already.
        content: The bytes that are in no row yet.
    """

    origin: Origin
    source: bytes
    ordinal: int
    offset: int
    time_ns: int
    order_ns: int
    last_time_ns: int
    touched_ns: int
    node: str
    continuation: int
    content: bytearray


class OpenLine(msgspec.Struct, array_like=True):
    """A physical line of which only the beginning has come. Its content so far is in the run's pending line.

    Attributes:
        origin: Where it comes from.
        source: The source that it is in.
        ordinal: Ordinal of that source.
        node: The node that sent it.
        end: Offset where it goes on.
        offset: Offset where it starts.
        stream: Its stream.
        partial: Whether its tag is `P`.
        time_ns: Its time; of the line before while the header is not whole.
        order_ns: Its place in reading order.
        raw: The bytes so far, when they are too few to hold a header; then nothing of it is in the pending line.
    """

    origin: Origin
    source: bytes
    ordinal: int
    node: str
    end: int
    offset: int
    stream: int
    partial: bool
    time_ns: int
    order_ns: int
    raw: bytes


class RunState(msgspec.Struct, array_like=True):
    """One run of a container.

    Attributes:
        origin: As its first chunk stated it: its identity, and the labels until a chunk states others.
        ordinal: The highest ordinal seen.
        order_ns: Highest time of a line so far; the least of int64 before the first.
        time_ns: Time of the newest line that had one.
        pending: Lines whose end has not come, by stream.
        open: The physical line that the newest chunk left open.
        sources: Its files.
    """

    origin: Origin
    ordinal: int
    order_ns: int
    time_ns: int | None
    pending: dict[int, PendingLine]
    open: OpenLine | None
    sources: list[SourceState]


class NodeState(msgspec.Struct, array_like=True, gc=False):
    """What a node said.

    Attributes:
        heartbeat_ns: Its newest heartbeat; 0 before the first.
        held_ns: `heartbeat_ns` when the first of its open gaps appeared.
        gaps: Holes of its sources that it did not declare.
        pending_ns: Time of the oldest of its lines whose end has not come; 0 when there is none.
    """

    heartbeat_ns: int = 0
    held_ns: int = 0
    gaps: int = 0
    pending_ns: int = 0

    @property
    def effective_ns(self) -> int:
        """Up to when the node's lines are complete; 0 while unknown."""
        said_ns = self.held_ns if self.gaps else self.heartbeat_ns
        return min(said_ns, self.pending_ns) if self.pending_ns else said_ns


class ShardState(msgspec.Struct, array_like=True):
    """Everything of a shard.

    Attributes:
        next_offset: Of the record to read next.
        clock_ns: The newest heartbeat of any node: the shard's only clock, so that a replay does the same again.
        pruned_ns: `clock_ns` when old sources were last forgotten.
        nodes: By name.
        runs: In the order of their first chunk.
        accepted_bytes: Missing bytes that an operator has accepted as lost, since the queue was made.
    """

    next_offset: int
    clock_ns: int = 0
    pruned_ns: int = 0
    nodes: dict[str, NodeState] = {}
    runs: list[RunState] = []
    accepted_bytes: int = 0


class StateSummary(msgspec.Struct, array_like=True):
    """The beginning of a `ShardState`, for whoever needs no sources."""

    next_offset: int
    clock_ns: int = 0
    pruned_ns: int = 0
    nodes: dict[str, NodeState] = {}

    def heartbeats(self) -> dict[str, int]:
        """For each node that is heard of, up to when its lines are complete; 0 while unknown."""
        return {name: node.effective_ns for name, node in self.nodes.items()}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ShardState)
_summary_decoder = msgspec.msgpack.Decoder(StateSummary)


def encode_state(state: ShardState) -> bytes:
    """Encode a resume state."""
    return _VERSION + _encoder.encode(state)


def decode_state(blob: bytes) -> ShardState:
    """Decode a resume state.

    Raises:
        FormatError: Not a resume state of a version known here.
    """
    return _decode(_decoder, blob)


def decode_summary(blob: bytes) -> StateSummary:
    """Decode the beginning of a resume state; the rest is passed over. Raises as `decode_state` does."""
    return _decode(_summary_decoder, blob)


def copy_run(run: RunState) -> RunState:
    """A copy that shares nothing."""
    return msgspec.msgpack.decode(_encoder.encode(run), type=RunState)


def _decode(decoder: msgspec.msgpack.Decoder[T], blob: bytes) -> T:
    if blob[:1] != _VERSION:
        raise FormatError(f"not a resume state of a known version: first byte {blob[:1]!r}")
    try:
        return decoder.decode(memoryview(blob)[1:])
    except msgspec.MsgspecError as error:
        raise FormatError(f"not a resume state: {error}") from error
