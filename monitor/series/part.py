"""What one shard knows of a question: computed where the shard is owned, put together where it was asked."""

from typing import Final

import msgspec

from monitor.metric import LabelSet, Metric
from pipeline.errors import FormatError

_VERSION: Final = b"\x01"


class Group(msgspec.Struct, frozen=True, array_like=True):
    """Counters and histograms that share the values of the labels asked for; names as in `monitor.reading.Amount`."""

    values: tuple[str, ...]
    count: int
    total: float
    buckets: tuple[int, ...] = ()


class Newest(msgspec.Struct, frozen=True, array_like=True):
    """One series of a gauge.

    Attributes:
        values: Of the labels asked for.
        labels: What names the series: the same one may be in two shards, and the newer value counts.
        time_ns: When its newest value in the window was said.
        count: Samples in the window.
        value: That value.
    """

    values: tuple[str, ...]
    labels: LabelSet
    time_ns: int
    count: int
    value: float


class Part(msgspec.Struct, frozen=True, array_like=True):
    """An answer for one shard.

    Attributes:
        shard: Its number.
        metric: The metric; `None` when the shard knows none of that name.
        watermark_ns: Up to when the shard is complete; 0 while unknown.
        held_ns: From when on its windows are complete: a window that begins before it must not be answered.
        groups: Of a counter or a histogram.
        newest: Of a gauge.
        unattributed: See `monitor.reading.Answer`.
        overflowed: The same.
        others: Samples in the window of metrics that have the name and another definition.
    """

    shard: int
    metric: Metric | None
    watermark_ns: int
    held_ns: int
    groups: tuple[Group, ...] = ()
    newest: tuple[Newest, ...] = ()
    unattributed: int = 0
    overflowed: int = 0
    others: int = 0


class KnownPart(msgspec.Struct, frozen=True, array_like=True):
    """A metric that has series in one shard.

    Attributes:
        metric: Its definition.
        sets: What names its label sets: 8 bytes each, the same in all shards, so that they can be counted over shards.
        newest_ns: Time of the newest sample.
    """

    metric: Metric
    sets: bytes
    newest_ns: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Part)
_known_decoder = msgspec.msgpack.Decoder(tuple[KnownPart, ...])


def encode_part(part: Part) -> bytes:
    """Encode for another monitor."""
    return _VERSION + _encoder.encode(part)


def decode_part(data: bytes) -> Part:
    """Decode what `encode_part` made.

    Raises:
        FormatError: It is of no version known here.
    """
    if data[:1] != _VERSION:
        raise FormatError(f"no part of an answer: first byte {data[:1]!r}")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise FormatError(f"no part of an answer: {error}") from error


def encode_known(known: tuple[KnownPart, ...]) -> bytes:
    """Encode for another monitor."""
    return _VERSION + _encoder.encode(known)


def decode_known(data: bytes) -> tuple[KnownPart, ...]:
    """Decode what `encode_known` made.

    Raises:
        FormatError: It is of no version known here.
    """
    if data[:1] != _VERSION:
        raise FormatError(f"no list of metrics: first byte {data[:1]!r}")
    try:
        return _known_decoder.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise FormatError(f"no list of metrics: {error}") from error
