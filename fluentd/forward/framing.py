"""Bytes of a connection, cut into frames.

msgpack's own scan finds where a frame ends, and builds nothing: a header that claims four billion elements, or a
hundred thousand arrays in each other, cost no memory. A frame is decoded only when all of it is there, so that what its
headers claim is never more than what came. That scan keeps a second copy of text whose end has not come; so a large
frame is walked by a slower one that keeps nothing.
"""

from typing import Final

from msgpack import Unpacker
from msgpack.exceptions import FormatError, OutOfData, StackError

from fluentd.forward.errors import RefusedError
from fluentd.forward.walk import Walk
from pipeline.limits import KIB

SMALL_BYTES: Final = 64 * KIB
"""A frame up to this size is no burden: each connection may hold one."""

READ_BYTES: Final = 64 * KIB
"""Most bytes given to `Framer.feed` at once."""

_SCANNER_BYTES: Final = 2**31 - 1
_FIRST_BYTES: Final = 4 * KIB  # msgpack would begin with a buffer of 1 MiB for each connection


class Framer:
    """See the module.

    Args:
        limit_bytes: Most bytes of one frame.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._scanner = new_scanner()
        self._before = 0
        self._walk: Walk | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a frame whose end has not come."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take the connection's next bytes, `READ_BYTES` at most; `take` all frames before the next ones."""
        self._buffer += data
        if self._walk is None:
            self._scanner.feed(data)

    def take(self) -> bytearray | None:
        """The next frame, `None` when its end has not come.

        Raises:
            RefusedError: The bytes are no msgpack, or nested too deeply (1,024), or a frame is over the limit. What
                follows cannot be read.
        """
        size = self._scan() if self._walk is None else self._walk.end(self._buffer)
        if (len(self._buffer) if size is None else size) > self.limit_bytes:
            raise RefusedError("size", f"a frame of more than {self.limit_bytes} bytes")
        if size is not None:
            return self._cut(size)
        if self._walk is None and len(self._buffer) > SMALL_BYTES:
            self._walk, self._scanner = Walk(), new_scanner()
        return None

    def _scan(self) -> int | None:
        """Length of the frame in the buffer, `None` when its end has not come."""
        try:
            self._scanner.skip()
        except OutOfData:
            return None
        except (StackError, RecursionError):
            raise RefusedError("nesting", "a frame is nested too deeply") from None
        except (FormatError, ValueError) as error:
            raise RefusedError("format", f"no msgpack: {error}") from error
        end: int = self._scanner.tell()
        return end - self._before

    def _cut(self, size: int) -> bytearray:
        if size == len(self._buffer):
            frame, self._buffer = self._buffer, bytearray()
        else:
            frame = self._buffer[:size]
            del self._buffer[:size]
        self._before += size
        if self._walk is not None:
            self._walk, self._before = None, 0
            self._scanner.feed(self._buffer)
        return frame


def new_scanner() -> Unpacker:
    """Something that finds where msgpack values end."""
    return Unpacker(max_buffer_size=_SCANNER_BYTES, read_size=_FIRST_BYTES)
