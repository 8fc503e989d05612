"""Decompression as far as a limit: a bomb costs what the limit allows, not what it claims."""

import zlib
from typing import Final

from fluentd.forward.errors import RefusedError
from pipeline.limits import KIB

_GZIP: Final = 16 + zlib.MAX_WBITS
_STEP_BYTES: Final = 4 * KIB
"""What is left of a step behind a member's end is copied: small steps, since members may be of 20 bytes."""

_MEMBERS: Final = 100_000
"""A decompressor costs 7 microseconds; Fluentd makes a member for each append to its buffer."""


def inflate(data: bytes | memoryview, *, limit_bytes: int) -> bytearray:
    """Decompress gzip members, one after the other, as Fluentd concatenates them.

    Raises:
        RefusedError: More than `limit_bytes` (`inflated`); or no gzip, damaged, or cut off (`gzip`).
    """
    out = bytearray()
    view, position, members = memoryview(data), 0, 0
    while position < len(view):
        members += 1
        if members > _MEMBERS:
            raise RefusedError("gzip", f"more than {_MEMBERS} gzip members")
        position = _member(view, position, out, limit_bytes)
    return out


def _member(view: memoryview, position: int, out: bytearray, limit_bytes: int) -> int:
    """Decompress one member to `out`; returns the position after it."""
    decompressor = zlib.decompressobj(_GZIP)
    pending: bytes | memoryview = b""
    while not decompressor.eof:
        if not pending:
            pending = view[position : position + _STEP_BYTES]
            position += len(pending)
            if not pending:
                raise RefusedError("gzip", "the last gzip member has no end")
        try:
            out += decompressor.decompress(pending, limit_bytes - len(out) + 1)
        except zlib.error as error:
            raise RefusedError("gzip", f"no gzip: {error}") from error
        if len(out) > limit_bytes:
            raise RefusedError("inflated", f"more than {limit_bytes} bytes after decompression")
        pending = decompressor.unconsumed_tail
    return position - len(decompressor.unused_data)
