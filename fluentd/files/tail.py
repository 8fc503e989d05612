"""One look at one file: what to send next. Decides nothing about other files, keeps nothing, writes nothing."""

from dataclasses import dataclass

from fluentd.files.content import Content
from fluentd.files.source import Position
from pipeline.chunk import cut_chunk
from pipeline.limits import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found.

    Attributes:
        data: The next chunk's bytes, cut at a line's end, or in the middle of a line over the chunk's limit.
        rest_bytes: Bytes after it that are no complete line yet.
        at_end: Whether nothing followed when the file was read.
        replaced: The file does not hold the bytes that were read before: it was truncated, maybe written again.
    """

    data: bytes = b""
    rest_bytes: int = 0
    at_end: bool = False
    replaced: bool = False


def look(
    content: Content, position: Position, *, head: bytes, limit_bytes: int = CHUNK_BYTES, final: bool = False
) -> Look:
    """Read the next chunk's bytes.

    One read gives the bytes before the position as well: they show for free whether this is still the same file. Where
    all lines end alike they do not, and the first line's time does: 1 µs for each look.

    Args:
        content: The file.
        position: Where to go on.
        head: What the file begins with.
        limit_bytes: Most bytes of a chunk.
        final: Nothing will follow: take what is there as it stands.

    Raises:
        OSError: The file cannot be read.
    """
    if not content.complete and content.read_at(0, len(head)) != head:
        return Look(replaced=True)
    margin = len(position.before)
    window = content.read_at(position.offset - margin, margin + limit_bytes)
    if not window.startswith(position.before):
        return Look(replaced=True)
    data = window[margin:]
    at_end = len(data) < limit_bytes
    length = len(data) if final and at_end else cut_chunk(data, limit_bytes=limit_bytes)
    return Look(data[:length], len(data) - length, at_end)
