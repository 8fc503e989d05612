"""Messages out of a connection's bytes, however they arrive.

Each message is framed by its length and a space before it (octet counting), or by a newline or NUL after it (Python's
SysLogHandler sends only a NUL); which one is told by its first byte, since a message begins with `<` and a length with
a digit. A message over the limit is cut, and the rest of it skipped without being held.

Source: RFC 6587, sections 3.4.1 and 3.4.2.
"""

import re
from typing import Final

_END = re.compile(rb"[\n\0]")
_LENGTH = re.compile(rb"([1-9][0-9]{0,8}) ")
_LENGTH_BYTES: Final = 10


class Framer:
    """Takes bytes, gives messages. Holds one message at most beside what it was just given.

    Args:
        limit_bytes: Most bytes of one message.

    Attributes:
        cut: How many messages were over the limit so far.
        cut_bytes: How many of their bytes were skipped.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held = b""
        self._skip_bytes = 0
        self._skip_line = False
        self.cut = 0
        self.cut_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the connection; returns the messages that are complete by now, without framing."""
        data = self._held + self._skip(data)
        messages: list[bytes] = []
        at = 0
        while at < len(data) and (found := self._frame(data, at)) is not None:
            message, at = found
            messages.append(message)
        self._held = data[at:]
        return messages

    def end(self) -> bytes:
        """What is left when the connection has ended: a message whose end did not come, empty if there is none."""
        rest, self._held = self._held, b""
        return rest

    def _frame(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        """The message that begins at `at`, and where the next one begins; `None` while its end has not come."""
        counted = _LENGTH.match(data, at)
        if counted is not None:
            return self._counted(data, counted.end(), int(counted[1]))
        if len(data) - at < _LENGTH_BYTES and data[at:].isdigit():
            return None  # a length, of which more may come
        return self._line(data, at)

    def _counted(self, data: bytes, start: int, length: int) -> tuple[bytes, int] | None:
        kept = min(length, self._limit_bytes)
        if len(data) - start < kept:
            return None
        if length > kept:
            self._note_cut(length - kept)
            missing = start + length - len(data)
            self._skip_bytes = max(0, missing)
        return data[start : start + kept], min(start + length, len(data))

    def _line(self, data: bytes, at: int) -> tuple[bytes, int] | None:
        found = _END.search(data, at)
        if found is None:
            if len(data) - at <= self._limit_bytes:
                return None
            self._note_cut(len(data) - at - self._limit_bytes)
            self._skip_line = True
            return data[at : at + self._limit_bytes], len(data)
        end = found.start()
        if end - at > self._limit_bytes:
            self._note_cut(end - at - self._limit_bytes)
        return data[at : min(end, at + self._limit_bytes)], end + 1

    def _skip(self, data: bytes) -> bytes:
        """Leave out the rest of a message that was cut."""
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(data))
            self._skip_bytes -= skipped
            return data[skipped:]
        if self._skip_line:
            found = _END.search(data)
            self._skip_line = found is None
            self.cut_bytes += len(data) if found is None else found.start()
            return b"" if found is None else data[found.end() :]
        return data

    def _note_cut(self, size: int) -> None:
        self.cut += 1
        self.cut_bytes += size
