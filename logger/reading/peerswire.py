"""What loggers say to each other under /peer/v1: msgpack, but for rows, which are an Arrow stream.

A question names the queue that its offsets refer to, and for each shard the offset from which on rows are wanted. An
answer says for each shard how far it goes, or why there is none of it. The version is in the path; a change of any of
these forms is another version.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from logger.reading.cursor import ReadingKey
from logger.rows import SCHEMA
from pipeline.lines.batch import Batch, ChunkFacts

PREFIX: Final = "/peer/v1"
ROWS: Final = f"{PREFIX}/rows"
APPS: Final = f"{PREFIX}/apps"
ARRIVALS: Final = f"{PREFIX}/arrivals"

MOVED: Final = "moved"
"""The shard is not owned by who was asked."""
LOADING: Final = "loading"
"""It was taken over not long ago, and what the queue had by then is not read yet."""
EVICTED: Final = "evicted"
"""Its rows from the start on are not in memory any more: a newer version of the table has the first of them."""
AWAY: Final = "away"
"""Nobody owns it, or the owner does not answer."""

ANYWHERE: Final = -1
"""As a start: from the first row in memory on, wherever that is."""

FRAME_BYTES: Final = 64 * 1024 * 1024
"""Longest frame that is read: far more than one record's rows."""

KEEP_ALIVE_SECONDS: Final = 2.0
"""A stream of arrivals says how far it is at least this often."""

LENGTH_BYTES: Final = 4
"""Before each frame of a stream, big-endian."""

_FACTS: Final = b"peer"
_Shard = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Offset = Annotated[int, msgspec.Meta(ge=ANYWHERE, le=2**62)]
_Nanoseconds = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
_Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=60.0)]


class PeerFormatError(ValueError):
    """Bytes that are not what another logger says in this version."""


class RowsQuestion(msgspec.Struct, frozen=True, array_like=True):
    """Rows of an app in reading order; see `logger.reading.page.Selection` for what is not told here.

    Attributes:
        queue_id: The queue that offsets refer to.
        app: The app.
        starts: Rows from these offsets on, or `ANYWHERE`.
        ends: Rows before these offsets; all for a shard not named.
        hidden: Rows before these offsets are deleted.
    """

    queue_id: str
    app: str
    starts: dict[_Shard, _Offset]
    ends: dict[_Shard, _Offset]
    hidden: dict[_Shard, _Offset]
    limit: _Limit
    descending: bool
    since_ns: _Nanoseconds | None
    until_ns: _Nanoseconds | None
    beyond: ReadingKey | None
    exact: tuple[tuple[str, frozenset[str]], ...]
    text: str
    regex: str
    seconds: _Seconds


class AppsQuestion(msgspec.Struct, frozen=True, array_like=True):
    """What there is of each app.

    Attributes:
        queue_id: The queue that offsets refer to.
        starts: Rows from these offsets on, or `ANYWHERE`.
        hidden: For each app that was deleted, the offsets before which it is.
    """

    queue_id: str
    starts: dict[_Shard, _Offset]
    hidden: dict[str, dict[_Shard, _Offset]]


class ArrivalsQuestion(msgspec.Struct, frozen=True, array_like=True):
    """A stream of an app's rows in arrival order, as they come.

    Attributes:
        queue_id: The queue that offsets refer to.
        app: The app.
        positions: Rows from these offsets on, or `ANYWHERE`.
    """

    queue_id: str
    app: str
    positions: dict[_Shard, _Offset]


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How the shards that were asked for stand at the moment of an answer.

    Attributes:
        ends: Offset after the last record that the answer has seen.
        watermarks: Time up to which it is complete, nanoseconds; `None` while unknown.
        refused: Why a shard is not in the answer: `MOVED`, `LOADING` or `EVICTED`.
    """

    ends: dict[_Shard, _Offset]
    watermarks: dict[_Shard, int | None]
    refused: dict[_Shard, str]


class RowsFacts(msgspec.Struct, frozen=True, array_like=True):
    """What an answer of rows says beside the rows.

    Attributes:
        standing: Of the shards.
        following: The rows go on after this key; `None` when they are all.
    """

    standing: Standing
    following: ReadingKey | None


class AppsAnswer(msgspec.Struct, frozen=True, array_like=True):
    """Summaries: (app, time of its oldest row, of its newest, number of rows)."""

    standing: Standing
    apps: list[tuple[str, int, int, int]]


class BatchForm(msgspec.Struct, frozen=True, array_like=True):
    """Some rows of a `Batch`; arrays little-endian, as its fields are."""

    shard: _Shard
    first_offset: _Offset
    next_offset: _Offset
    buffer: bytes
    starts: bytes
    stops: bytes
    time_ns: bytes
    order_ns: bytes
    stream: bytes
    offset: bytes
    continuation: bytes
    facts_index: bytes
    queue_offset: bytes
    facts: list[tuple[str, str, str, str, str, str, bytes, int]]
    arrived_ns: int


class ArrivalsFrame(msgspec.Struct, frozen=True, array_like=True):
    """One step of a stream of arrivals.

    Attributes:
        standing: Everything before its ends is in this frame or in one before. A shard refused gets no more frames.
        batches: The rows.
        is_current: Whether that is all there was.
    """

    standing: Standing
    batches: list[BatchForm]
    is_current: bool


_encoder = msgspec.msgpack.Encoder()
_T = TypeVar("_T")


def encode(message: msgspec.Struct) -> bytes:
    """Encode a question or an answer."""
    return _encoder.encode(message)


def decode(content: bytes, kind: type[_T]) -> _T:
    """Decode a question or an answer.

    Raises:
        PeerFormatError: It is none of this kind.
    """
    try:
        return msgspec.msgpack.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise PeerFormatError(f"no {kind.__name__}: {error}") from error


def encode_rows(table: pa.Table, facts: RowsFacts) -> bytes:
    """Encode rows in `logger.rows.SCHEMA`; `table` has only their own values in its dictionaries."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.with_metadata({_FACTS: encode(facts)})) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode_rows(content: bytes) -> tuple[pa.Table, RowsFacts]:
    """Decode rows.

    Raises:
        PeerFormatError: They are none, or have other columns.
    """
    try:
        table = pa.ipc.open_stream(content).read_all()
        facts = decode((table.schema.metadata or {}).get(_FACTS, b""), RowsFacts)
        return pa.table(table.columns, schema=SCHEMA), facts
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise PeerFormatError(f"no rows: {error}") from error


def batch_form(batch: Batch, *, first_offset: int, next_offset: int) -> BatchForm:
    """The form of a batch that has just the rows to be sent."""
    arrays = {name: getattr(batch, name).astype(kind, copy=False).tobytes() for name, kind in _ARRAYS}
    facts = [
        (each.app, each.process, each.release, each.pod, each.container, each.node, each.source, each.ordinal)
        for each in batch.facts
    ]
    return BatchForm(
        shard=batch.shard,
        first_offset=first_offset,
        next_offset=next_offset,
        buffer=batch.buffer,
        facts=facts,
        arrived_ns=batch.arrived_ns,
        **arrays,
    )


def batch_of(form: BatchForm) -> Batch:
    """The batch of a form.

    Raises:
        PeerFormatError: Its parts contradict each other.
    """
    try:
        arrays: dict[str, Any] = {name: np.frombuffer(getattr(form, name), kind) for name, kind in _ARRAYS}
    except ValueError as error:
        raise PeerFormatError(f"no batch: {error}") from error
    batch = Batch(
        shard=form.shard,
        first_offset=form.first_offset,
        next_offset=form.next_offset,
        buffer=form.buffer,
        **arrays,
        facts=[ChunkFacts(*each) for each in form.facts],
        heartbeats={},
        arrived_ns=form.arrived_ns,
    )
    if len({len(array) for array in arrays.values()}) != 1 or not _is_within(batch):
        raise PeerFormatError("no batch: its arrays do not fit")
    return batch


_ARRAYS: Final[Sequence[tuple[str, str]]] = (
    ("starts", "<i8"),
    ("stops", "<i8"),
    ("time_ns", "<i8"),
    ("order_ns", "<i8"),
    ("stream", "u1"),
    ("offset", "<i8"),
    ("continuation", "<i4"),
    ("facts_index", "<i4"),
    ("queue_offset", "<i8"),
)


def _is_within(batch: Batch) -> bool:
    if not batch.rows:
        return True
    return bool(
        (batch.starts >= 0).all()
        and (batch.starts <= batch.stops).all()
        and batch.stops.max() <= len(batch.buffer)
        and batch.facts_index.min() >= 0
        and batch.facts_index.max() < len(batch.facts)
        and batch.stream.max() <= 1
        and batch.first_offset <= batch.queue_offset.min()
        and batch.queue_offset.max() < batch.next_offset
    )
