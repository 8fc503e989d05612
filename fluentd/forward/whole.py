"""Lines of chunks, whole: what the runtime stored in pieces is joined, as far as memory allows."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.chunk import Chunk, Origin
from pipeline.cri import STDOUT, parse_header
from pipeline.limits import MIB

MOST_OPEN: Final = 1024
"""So many lines may wait for their last piece, each with up to `OPEN_BYTES / MOST_OPEN` on the average."""

OPEN_BYTES: Final = 4 * MIB


@dataclass(frozen=True, slots=True)
class WholeLine:
    """One line.

    Attributes:
        origin: Whose it is.
        stream: `pipeline.cri.STDOUT` or `STDERR`.
        time_ns: Of its last piece; that of its copying where it has none of its own.
        content: Its bytes without the newline.
    """

    origin: Origin
    stream: int
    time_ns: int
    content: bytes


class WholeLines:
    """Joins pieces of lines over chunks. What is too much leaves as it is, in parts."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, int, int], bytearray] = {}
        self._open_bytes = 0

    def of(self, chunk: Chunk) -> Iterator[WholeLine]:
        """Lines of the next chunk; of a line in pieces, when its last one comes."""
        for raw in chunk.data.removesuffix(b"\n").split(b"\n") if chunk.data else ():
            header = parse_header(raw)
            if header is None:  # the rest of a line over the size of a chunk, or no line of a runtime
                yield WholeLine(chunk.origin, STDOUT, time.time_ns(), raw)
                continue
            content = raw[header.content_start :]
            key = (chunk.origin.uid, chunk.origin.container, chunk.origin.restart, header.stream)
            if header.partial and self._keep(key, content):
                continue
            if key in self._open:
                content = self._take(key) + content
            yield WholeLine(chunk.origin, header.stream, header.time_ns, content)

    def _keep(self, key: tuple[str, str, int, int], content: bytes) -> bool:
        """Keep a piece until the next one comes, if there is room for it."""
        full = self._open_bytes + len(content) > OPEN_BYTES
        if full or (key not in self._open and len(self._open) >= MOST_OPEN):
            return False
        self._open.setdefault(key, bytearray()).extend(content)
        self._open_bytes += len(content)
        return True

    def _take(self, key: tuple[str, str, int, int]) -> bytes:
        content = bytes(self._open.pop(key))
        self._open_bytes -= len(content)
        return content
