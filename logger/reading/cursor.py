"""Where a reader goes on: keys of the two orders of rows, and the opaque tokens that carry them.

A token is url-safe base64 of one msgpack array that starts with its kind and version (`p1`, `b2`, `l2`). It is no
secret and grants nothing: whoever sends one reads only what the token of the request allows. Offsets mean something in
one queue only, so a cursor that has some names its queue.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Final, NamedTuple

import msgspec

TOKEN_BYTES: Final = 4096
"""Longest token: positions of some 300 shards."""

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Shard = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Source = Annotated[bytes, msgspec.Meta(max_length=16)]
_Queue = Annotated[bytes, msgspec.Meta(max_length=8)]


class ReadingKey(NamedTuple):
    """A row's place in the reading order of its app."""

    order_ns: _Int64
    ordinal: _Small
    source: _Source
    offset: _Count
    continuation: _Small


class ArrivalKey(NamedTuple):
    """A row's place in the arrival order of its shard."""

    queue_offset: _Count
    ordinal: _Small
    source: _Source
    offset: _Count
    continuation: _Small


def just_before(key: ReadingKey) -> ReadingKey:
    """A place before `key`, with no row between in all but odd cases: the first line of a source has nothing before."""
    if key.continuation:
        return key._replace(continuation=key.continuation - 1)
    if key.offset:
        return key._replace(offset=key.offset - 1, continuation=2**31 - 1)
    return key._replace(order_ns=max(key.order_ns - 1, -(2**63)))


class PageCursor(msgspec.Struct, frozen=True, array_like=True, tag="p1"):
    """The last row of a page: the next page starts beyond it."""

    key: ReadingKey


class BacklogCursor(msgspec.Struct, frozen=True, array_like=True, tag="b2"):
    """A follow among the lines that were there when it started.

    Attributes:
        positions: Where what arrived later begins, for each shard.
        key: The last row sent of those before the positions.
        queue: See `queue_mark`.
    """

    positions: dict[_Shard, _Count]
    key: ReadingKey
    queue: _Queue


class LiveCursor(msgspec.Struct, frozen=True, array_like=True, tag="l2"):
    """A follow among the lines that arrived later.

    Attributes:
        positions: Everything before is sent, for each shard.
        keys: The last row sent of the record at a shard's position, where that record may not be sent as a whole.
        queue: See `queue_mark`.
    """

    positions: dict[_Shard, _Count]
    keys: dict[_Shard, ArrivalKey]
    queue: _Queue


Cursor = PageCursor | BacklogCursor | LiveCursor

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Cursor)


def queue_mark(queue_id: str) -> bytes:
    """What a cursor has for the name of its queue: 8 bytes."""
    return hashlib.blake2b(queue_id.encode(), digest_size=8).digest()


class CursorError(ValueError):
    """A token that this version did not make."""


def encode_cursor(cursor: Cursor) -> str:
    """Make the token of a cursor."""
    return base64.urlsafe_b64encode(_encoder.encode(cursor)).rstrip(b"=").decode()


def decode_cursor(token: str) -> Cursor:
    """Read a token.

    Raises:
        CursorError: It is none, or of a version not known here.
    """
    if len(token) > TOKEN_BYTES:
        raise CursorError("too long")
    try:
        content = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        cursor: Cursor = _decoder.decode(content)
    except (msgspec.MsgspecError, binascii.Error, UnicodeError) as error:
        raise CursorError("no cursor of this version") from error
    return cursor
