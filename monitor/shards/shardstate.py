"""A shard's whole state as it is written down: what its metrics are a function of, besides the records to come.

Format, version 1: the byte 0x01, then the msgpack of `State`. Structs are arrays; fields are only ever added at the
end, with a default. It is full of zeros and of names that repeat: whoever stores it compresses it.
"""

from typing import Final

import msgspec

from monitor.metric import Metric
from monitor.pods.attribution import EndpointsState
from monitor.series.state import BookState
from pipeline.errors import FormatError

_VERSION: Final = b"\x01"


class State(msgspec.Struct, frozen=True, array_like=True):
    """Everything of a shard.

    Attributes:
        lines: `pipeline.lines.resume.ShardState`, encoded.
        endpoints: Who was at which address.
        book: The series.
        records: Records read.
        record_bytes: Their bytes.
        skipped_records: Records that the queue dropped before they were read.
        undecodable: Records that are no pack, by reason.
        statements: Statements about pods that were not taken in, by reason.
        began_ns: When the queue took the first record that was read.
        since_ns: Windows that begin before it lack what was in records that were not read.
        joined_ns: See `pipeline.lines.accept.Progress`.
        is_lost: Whether the next record comes after some that were lost.
        digest: Of the rules.
        metrics: What they made.
        metrics_since_ns: The same as `since_ns`, by name of a metric that came later.
        stating: Nodes whose agents ever spoke of pods, by name.
    """

    lines: bytes
    endpoints: EndpointsState
    book: BookState
    records: int
    record_bytes: int
    skipped_records: int
    undecodable: dict[str, int]
    statements: dict[str, int]
    began_ns: int
    since_ns: int
    joined_ns: int
    is_lost: bool
    digest: str
    metrics: tuple[Metric, ...]
    metrics_since_ns: dict[str, int]
    stating: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    """Encode a state; it may share its parts with a shard that goes on only afterwards."""
    return _VERSION + _encoder.encode(state)


def decode(data: bytes) -> State:
    """Decode a state.

    Raises:
        FormatError: Not a state of a version known here.
    """
    if data[:1] != _VERSION:
        raise FormatError(f"no state of a shard's metrics: first byte {data[:1]!r}")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise FormatError(f"no state of a shard's metrics: {error}") from error
