"""Decompression as far as a limit: a bomb costs what the limit allows, not what it claims.

In steps on the event loop, not on threads: each thread's allocator would keep a buffer of its own.
"""

import asyncio
import zlib
from collections.abc import Generator, Iterator
from typing import Final

from fluentd.forward.errors import RefusedError
from pipeline.limits import KIB

_GZIP: Final = 16 + zlib.MAX_WBITS
_STEP_BYTES: Final = 4 * KIB
"""What is left of a step behind a member's end is copied: small steps, since members may be of 20 bytes."""

_TURN_BYTES: Final = 256 * KIB
"""Decompressing so much takes a millisecond; then others have their turn."""

_MEMBERS: Final = 100_000
"""A decompressor costs 7 microseconds; Fluentd makes a member for each append to its buffer."""


async def inflate(data: bytes | memoryview, *, limit_bytes: int) -> bytearray:
    """Decompress gzip members, one after the other, as Fluentd concatenates them.

    Raises:
        RefusedError: More than `limit_bytes` (`inflated`); or no gzip, damaged, or cut off (`gzip`).
    """
    out, told_bytes = bytearray(), 0
    for _ in _members(memoryview(data), out, limit_bytes):
        if len(out) - told_bytes >= _TURN_BYTES:
            told_bytes = len(out)
            await asyncio.sleep(0)
    return out


def _members(view: memoryview, out: bytearray, limit_bytes: int) -> Iterator[None]:
    position, members = 0, 0
    while position < len(view):
        members += 1
        if members > _MEMBERS:
            raise RefusedError("gzip", f"more than {_MEMBERS} gzip members")
        position = yield from _member(view, position, out, limit_bytes)


def _member(view: memoryview, position: int, out: bytearray, limit_bytes: int) -> Generator[None, None, int]:
    """Decompress one member to `out`, in steps; returns the position after it."""
    decompressor = zlib.decompressobj(_GZIP)
    pending: bytes | memoryview = b""
    full = False
    while not decompressor.eof:
        if not pending and not full:
            pending = view[position : position + _STEP_BYTES]
            position += len(pending)
            if not pending:
                raise RefusedError("gzip", "the last gzip member has no end")
        most = min(limit_bytes - len(out) + 1, _TURN_BYTES)
        try:
            piece = decompressor.decompress(pending, most)
        except zlib.error as error:
            raise RefusedError("gzip", f"no gzip: {error}") from error
        out += piece
        if len(out) > limit_bytes:
            raise RefusedError("inflated", f"more than {limit_bytes} bytes after decompression")
        full, pending = len(piece) == most, decompressor.unconsumed_tail
        yield
    return position - len(decompressor.unused_data)
