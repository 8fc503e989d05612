"""A chunk on its way: made from bytes of a source, which it moves on."""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from fluentd.files.dockerjson import CriData, DockerJsonToCri
from fluentd.files.source import Position, Source
from fluentd.rules.state import RuleState
from pipeline.chunk import Chunk, Flag, Origin, cut_chunk
from pipeline.limits import CHUNK_BYTES


class Sendable(Protocol):
    """A chunk, and who is told when the queue has it."""

    @property
    def chunk(self) -> Chunk:
        """What is sent."""

    def acknowledge(self) -> None:
        """The queue has it durably."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A chunk on its way, and where its source stands once the queue has it."""

    chunk: Chunk
    source: Source
    after: Position

    def acknowledge(self) -> None:
        """See `Sendable`."""
        self.source.acknowledged = self.after


def send_on(
    source: Source, data: bytes, *, origin: Origin, converter: DockerJsonToCri | None, flags: Flag = Flag.NONE
) -> tuple[Outgoing, int]:
    """Make a chunk of the next bytes of `source`, and move it on.

    Args:
        source: Its position is where `data` begins.
        data: As `cut_chunk` cuts.
        origin: Of the lines.
        converter: See `OpenFile`.
        flags: `Flag.FINAL` when nothing will follow.

    Returns:
        The chunk, and how many lines of docker's format made no sense. The chunk may cover only a part of `data` when
        conversion makes much of it.
    """
    data, made = converted(converter, data, mid_line=source.position.open_line)
    return make_chunk(source, data, origin=origin, made=made, flags=flags), made.malformed


def converted(converter: DockerJsonToCri | None, data: bytes, *, mid_line: bool) -> tuple[bytes, CriData]:
    """As much of `data` as fits into a chunk, and what a chunk has in its place."""
    if converter is None or not data:
        return data, CriData(data, b"", 0)
    return fit_chunk(converter, data, mid_line=mid_line)


def make_chunk(
    source: Source,
    data: bytes,
    *,
    origin: Origin,
    made: CriData,
    flags: Flag,
    rules: RuleState | None = None,
    mid_line: bool = True,
) -> Outgoing:
    """Make a chunk, and move its source on.

    Args:
        source: Its position is where `data` begins.
        data: The bytes of the source that the chunk covers.
        origin: Of the lines.
        made: What it has of them.
        flags: `Flag.FINAL` when nothing will follow.
        rules: See `Position`.
        mid_line: Whether a line that is open there goes on in the chunk.
    """
    before = source.position
    if before.open_line and mid_line:
        flags |= Flag.MID_LINE
    after = before.after(data)
    if flags & Flag.FINAL:
        after = after.closed()
    if rules is not None:
        after = msgspec.structs.replace(after, rules=rules)
    source.position = after
    chunk = Chunk(
        origin,
        source.id,
        source.ordinal,
        before.offset,
        after.offset,
        before.offset,
        made.data,
        flags,
        made.line_offsets,
    )
    return Outgoing(chunk, source, after)


def declare_end(source: Source, *, origin: Origin) -> Outgoing | None:
    """Say that nothing more can be read of `source`: what is known and unread is lost, and its open line ends.

    Returns:
        A chunk without data that says so; `None` when nothing is lost and no line is open.
    """
    before, lost_bytes = source.position, source.unread_bytes
    if not lost_bytes and not before.open_line:
        return None
    end = before.offset + lost_bytes
    flags = Flag.FINAL | (Flag.DECLARED_LOSS if lost_bytes else Flag.NONE)
    source.position = Position(end, rules=before.rules)
    chunk = Chunk(origin, source.id, source.ordinal, end, end, before.offset, b"", flags)
    return Outgoing(chunk, source, source.position)


def fit_chunk(converter: DockerJsonToCri, data: bytes, *, mid_line: bool) -> tuple[bytes, CriData]:
    """Convert as much of `data` as fits into a chunk: lines that make no sense, and their offsets, can take more."""
    while True:
        converted = converter.convert(data, mid_line=mid_line)
        if len(converted.data) + len(converted.line_offsets) <= 2 * CHUNK_BYTES:
            return data, converted
        data = data[: cut_chunk(data, limit_bytes=len(data) // 2)]
