"""What monitors say to each other under /peer/v1: msgpack. A change of any of these forms is another version."""

from typing import Annotated, Final, TypeVar

import msgspec

from monitor.reading import Question
from pipeline.errors import FormatError

ASK: Final = "/peer/v1/ask"

MOVED: Final = "moved"
"""The shard is not owned by who was asked."""
LOADING: Final = "loading"
"""It is not read to the queue's end of when it was taken over."""
AWAY: Final = "away"
"""Nobody owns it, or the owner does not answer."""
RULES: Final = "other rules"
"""The owner has other rules: what it counts cannot be added to what this monitor counts."""

REASONS: Final = (MOVED, LOADING, AWAY, RULES)

_Shard = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """What one monitor asks another.

    Attributes:
        queue_id: The queue that it reads.
        rules: Digest of its rules.
        shards: The shards that it wants to know of.
        gone: Nodes that are not waited for.
        questions: What it wants to know.
        known: Namespace and app (`None` for all) of which it wants the metrics; `None` when it does not.
    """

    queue_id: str
    rules: str
    shards: tuple[_Shard, ...]
    gone: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    known: tuple[str | None, str | None] | None = None


class OfShard(msgspec.Struct, frozen=True, array_like=True):
    """What is said of one shard.

    Attributes:
        watermark_ns: Up to when it is complete; 0 while unknown.
        parts: One for each question, see `monitor.series.part.encode_part`.
        known: See `monitor.series.part.encode_known`; empty when not asked.
    """

    watermark_ns: int
    parts: tuple[bytes, ...] = ()
    known: bytes = b""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """An answer: each shard asked for is in one of the two.

    Attributes:
        shards: What is known.
        refused: Why not, one of `REASONS`.
    """

    shards: dict[_Shard, OfShard]
    refused: dict[_Shard, str]


_encoder = msgspec.msgpack.Encoder()
_T = TypeVar("_T", Asked, Said)


def encode(message: Asked | Said) -> bytes:
    """Encode a question or an answer."""
    return _encoder.encode(message)


def decode(content: bytes, kind: type[_T]) -> _T:
    """Decode a question or an answer.

    Raises:
        FormatError: It is none of this kind.
    """
    try:
        return msgspec.msgpack.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise FormatError(f"no {kind.__name__}: {error}") from error
