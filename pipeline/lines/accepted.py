"""New bytes of records, as `pipeline.lines.accept` found them and `pipeline.lines.assemble` makes lines of them."""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.chunk import Flag, Origin
from pipeline.lines.batch import ChunkFacts
from pipeline.lines.resume import RunState, SourceState
from pipeline.pack import Header

RunKey = tuple[str, str, int]
"""What names a run: pod uid, container, restart."""

_NEWLINE: Final = 10


class Mark(IntFlag):
    """Facts of a piece that the assembly of lines needs."""

    NONE = 0
    MID_LINE = 1
    """It begins inside a physical line."""
    OPEN_END = 2
    """It does not end with a newline; one was added to `data`."""
    FINAL = 4
    """Its source ends here."""
    BROKEN = 8
    """Bytes are missing between the run's piece before and this one."""
    LATE = 16
    """It fills a hole: what comes before and after it is stored already, so it stands alone."""


@dataclass(slots=True)
class Tracked:
    """A source as it is known in memory.

    Attributes:
        state: Which bytes of it came.
        run: Its run.
        origin: As its newest chunk stated it.
        facts: What its rows share; one object for as long as `origin` stays the same.
    """

    state: SourceState
    run: RunState
    origin: Origin
    facts: ChunkFacts


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat, after the pieces before `position`.

    Attributes:
        position: How many pieces were accepted by then.
        node: Who sent it.
        time_ns: What it says.
        clock_ns: The shard's clock, this heartbeat included.
        queue_offset: Of the record that it came in.
    """

    position: int
    node: str
    time_ns: int
    clock_ns: int
    queue_offset: int


@dataclass(slots=True)
class Accepted:
    """New bytes of consecutive records of a shard; lists have one element for each piece, in arrival order.

    A piece is a chunk, or what is new of it. Lists rather than objects: with chunks of three lines, what is done for
    each piece is what a logger spends its time on.

    Attributes:
        clock_ns: The shard's clock before the first of the records.
        sources: The source of each piece.
        origins: Its origin at that time.
        facts: Its facts at that time.
        starts: Offset in the source of its first byte.
        ends: Offset after its last byte.
        data: The bytes, always ended by a newline (see `Mark.OPEN_END`); empty for a mere statement (`Mark.FINAL`).
        marks: Of each piece.
        nodes: The node that sent it.
        queue_offsets: Of the record that brought it.
        line_offsets: For pieces whose data is not the file's bytes: where each line starts, from the piece's `starts`.
        beats: Heartbeats, in order.
        record_times: When the queue took each record, by its offset.
        duplicate_bytes: Trimmed, since they are stored.
        gap_bytes: Found missing, and not declared lost.
        gaps: How often.
        late_bytes: Missing ones that came after all.
        given_up_bytes: Missing ones of sources that are forgotten now.
        midway: Sources of which something came before their reader did.
        node: Of the record in hand.
        queue_offset: The same.
    """

    clock_ns: int
    sources: list[Tracked] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    facts: list[ChunkFacts] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    queue_offsets: list[int] = field(default_factory=list)
    line_offsets: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    beats: list[Beat] = field(default_factory=list)
    record_times: dict[int, int] = field(default_factory=dict)
    duplicate_bytes: int = 0
    gap_bytes: int = 0
    gaps: int = 0
    late_bytes: int = 0
    given_up_bytes: int = 0
    midway: int = 0
    node: str = ""
    queue_offset: int = 0

    def add(self, tracked: Tracked, start: int, end: int, data: bytes, marks: int) -> None:
        """Append a piece of the record in hand."""
        self.sources.append(tracked)
        self.origins.append(tracked.origin)
        self.facts.append(tracked.facts)
        self.starts.append(start)
        self.ends.append(end)
        self.data.append(data)
        self.marks.append(marks)
        self.nodes.append(self.node)
        self.queue_offsets.append(self.queue_offset)

    def add_part(self, tracked: Tracked, header: Header, data: bytes, span: tuple[int, int], marks: Mark) -> None:
        """Append the bytes `span` of a chunk; all of a line that was changed when it starts there."""
        start, end = span
        if header.line_offsets or not data:  # changed by a rule; without data, all lines were dropped
            data, offsets = _cut_lines(header, data, span)
            self.line_offsets[len(self.data)] = offsets
            middle = start == header.start and bool(header.flags & Flag.MID_LINE)
        else:
            middle = _is_middle(header, data, start)
            data = data[start - header.start : end - header.start]
        if middle:
            marks |= Mark.MID_LINE
        if header.flags & Flag.FINAL and end == header.end:
            marks |= Mark.FINAL
        if data and data[-1] != _NEWLINE:
            marks |= Mark.OPEN_END
            data += b"\n"
        self.add(tracked, start, end, data, int(marks))


def run_key(origin: Origin) -> RunKey:
    """What names a run."""
    return origin.uid, origin.container, origin.restart


def facts_of(origin: Origin, source: bytes, ordinal: int) -> ChunkFacts:
    """What all rows share that come from there."""
    return ChunkFacts(
        app=origin.app,
        process=origin.process,
        release=origin.release,
        pod=origin.pod,
        container=origin.container,
        node=origin.node,
        source=source,
        ordinal=ordinal,
        namespace=origin.namespace,
    )


def _cut_lines(header: Header, data: bytes, span: tuple[int, int]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """The lines of a changed chunk that start within `span`, and where they start, from the span's beginning."""
    start, end = span[0] - header.start, span[1] - header.start
    offsets = np.frombuffer(header.line_offsets, "<u4").astype(np.int64)
    low, high = np.searchsorted(offsets, (start, end)).tolist()
    stops = [0, *(np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE) + 1).tolist()]
    begin = stops[low] if low < len(stops) else len(data)
    stop = stops[high] if high < len(stops) else len(data)
    return data[begin:stop], offsets[low:high] - start


def _is_middle(header: Header, data: bytes, start: int) -> bool:
    """Whether `start` is inside a physical line, which the byte before it tells where the chunk has it."""
    if start == header.start:
        return bool(header.flags & Flag.MID_LINE)
    return data[start - header.start - 1] != _NEWLINE
