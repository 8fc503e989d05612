"""Lines whose end has not come: what was seen of them, and the rows that they become.

Three places hold the state between batches: a run's `pending` lines by stream, its `open` physical line, and the
shard's `pending_runs`, which lists the runs that have either. Memory is bounded by turning what waits too long, or
what is too much, into rows: the line then goes on in continuation rows.
"""

from collections.abc import Container, MutableMapping
from dataclasses import dataclass
from typing import Final

import msgspec

from pipeline.chunk import Origin
from pipeline.cri import STDOUT, parse_header
from pipeline.limits import LINE_BYTES, MIB
from pipeline.lines.accepted import Beat, RunKey, facts_of, run_key
from pipeline.lines.batch import ChunkFacts
from pipeline.lines.resume import OpenLine, PendingLine, RunState

UNPARSED: Final = 2
"""Beside the two streams: where an open line without a header waits. Its row says `STDOUT`."""

PATIENCE_NS: Final = 60_000_000_000
"""A line without an end becomes a row when its node's heartbeat is this much past its newest piece."""

_LONG_PATIENCE_NS: Final = 3_600_000_000_000
"""The same by the shard's clock, for nodes that say nothing and for times that are not to be believed."""

_PENDING_BYTES: Final = 32 * MIB
"""Most bytes that may wait in one shard for the end of their lines; beyond, all become rows at once."""

_HEADER_BYTES: Final = 128
"""An open line that is shorter may not have its whole header yet."""


@dataclass(frozen=True, slots=True)
class JoinedRow:
    """A row that is no line of the buffer; names as in `logger.rows.Batch`."""

    content: bytes
    facts: ChunkFacts
    time_ns: int
    order_ns: int
    stream: int
    offset: int
    continuation: int
    queue_offset: int


class Fragment(msgspec.Struct, frozen=True, kw_only=True):
    """A physical line, or the beginning of one; `raw` with its header, `content` without."""

    origin: Origin
    source: bytes
    ordinal: int
    node: str
    offset: int
    time_ns: int
    order_ns: int
    stream: int
    partial: bool
    content: bytes
    raw: bytes


class PendingLines:
    """The shard's lines without an end, while one batch is made.

    Args:
        runs: The runs that have any, by key; kept up to date.
        clock_ns: The shard's clock at the batch's start.

    Attributes:
        rows: What became of them.
        queue_offset: Of the record in hand, which its rows get.
    """

    def __init__(self, runs: MutableMapping[RunKey, RunState], *, clock_ns: int) -> None:
        self._runs = runs
        self._clock_ns = clock_ns
        self._bytes = sum(len(line.content) for run in runs.values() for line in run.pending.values())
        self._facts: dict[tuple[Origin, bytes], ChunkFacts] = {}
        self.rows: list[JoinedRow] = []
        self.queue_offset = 0

    def add(self, run: RunState, part: Fragment, *, ends: bool) -> None:
        """Add a piece to the line that waits in its stream, or begin one; `ends` when it is the line's last."""
        line = run.pending.get(part.stream)
        if line is None:
            line = run.pending[part.stream] = PendingLine(
                part.origin,
                part.source,
                part.ordinal,
                part.offset,
                part.time_ns,
                part.order_ns,
                part.time_ns,
                self._clock_ns,
                part.node,
                0,
                bytearray(),
            )
        line.content += part.content
        line.last_time_ns, line.touched_ns, line.node = part.time_ns, self._clock_ns, part.node
        self._bytes += len(part.content)
        while len(line.content) > LINE_BYTES:
            self._make_row(line, part.stream, _row_bytes(line.content))
        if ends:
            self._end(run, part.stream)
        elif self._bytes > _PENDING_BYTES:
            self.remember(run)
            self._relieve()

    def leave_open(self, run: RunState, part: Fragment, end: int) -> None:
        """Note that a physical line goes on at offset `end`."""
        run.open = OpenLine(
            part.origin,
            part.source,
            part.ordinal,
            part.node,
            end,
            part.offset,
            part.stream,
            part.partial,
            part.time_ns,
            part.order_ns,
            part.raw,
        )
        if len(part.raw) >= _HEADER_BYTES:
            run.open.raw = b""
            self.add(run, part, ends=False)

    def go_on(self, run: RunState, content: bytes, *, end: int | None) -> None:
        """Continue the run's open line; `end` is where it goes on again, `None` when it is whole now."""
        opened = run.open
        if opened is None:
            return
        run.open = None
        part = _continued(opened, opened.raw + content)
        if not opened.raw:
            self.add(run, part, ends=end is None and not opened.partial)
            if end is not None:
                opened.end = end
                run.open = opened
        elif end is not None:
            self.leave_open(run, _parsed(part) if len(part.raw) >= _HEADER_BYTES else part, end)
        else:
            part = _parsed(part)
            self.add(run, part, ends=not part.partial)

    def close(self, run: RunState) -> None:
        """Take the run's open line, if there is one, as whole: nothing of it will come any more."""
        if run.open is not None:
            self.go_on(run, b"", end=None)

    def end_all(self, run: RunState) -> None:
        """Make rows of all that waits in a run, and expect no more of these lines."""
        self.close(run)
        for stream in list(run.pending):
            self._end(run, stream)

    def remember(self, run: RunState) -> None:
        """List the run among those that have lines without an end, or take it off the list."""
        if run.pending or run.open is not None:
            self._runs[run_key(run.origin)] = run
        else:
            self._runs.pop(run_key(run.origin), None)

    def beat(self, beat: Beat, *, known: Container[RunKey]) -> None:
        """Make rows of what has waited too long by this heartbeat; drop runs that are not `known` any more."""
        self._clock_ns, self.queue_offset = beat.clock_ns, beat.queue_offset
        for key, run in list(self._runs.items()):
            self._beat_open(run, beat)
            for stream, line in run.pending.items():
                # Before a shard's first heartbeat there is no clock to measure by.
                line.touched_ns = line.touched_ns or beat.clock_ns
                by_node = line.node == beat.node and line.last_time_ns + PATIENCE_NS <= beat.time_ns
                if line.content and (by_node or line.touched_ns + _LONG_PATIENCE_NS <= beat.clock_ns):
                    self._make_row(line, stream, len(line.content))
            if key not in known:
                del self._runs[key]

    def _beat_open(self, run: RunState, beat: Beat) -> None:
        """An open line of a few bytes gets no header any more once it has waited too long."""
        opened = run.open
        if opened is None or not opened.raw or opened.node != beat.node:
            return
        if opened.time_ns + PATIENCE_NS <= beat.time_ns:
            part = _parsed(_continued(opened, opened.raw))
            opened.raw, opened.stream, opened.partial = b"", part.stream, part.partial
            self.add(run, part, ends=False)

    def _relieve(self) -> None:
        """Make rows of everything that waits in the shard: too many bytes do."""
        for run in self._runs.values():
            for stream, line in run.pending.items():
                if line.content:
                    self._make_row(line, stream, len(line.content))

    def _end(self, run: RunState, stream: int) -> None:
        line = run.pending.pop(stream)
        if line.content or not line.continuation:
            self._make_row(line, stream, len(line.content))

    def _make_row(self, line: PendingLine, stream: int, size: int) -> None:
        """Make a row of the first `size` bytes that wait."""
        key = (line.origin, line.source)
        facts = self._facts.get(key)
        if facts is None:
            facts = self._facts[key] = facts_of(line.origin, line.source, line.ordinal)
        self.rows.append(
            JoinedRow(
                bytes(line.content[:size]),
                facts,
                line.time_ns,
                line.order_ns,
                STDOUT if stream == UNPARSED else stream,
                line.offset,
                line.continuation,
                self.queue_offset,
            )
        )
        del line.content[:size]
        line.continuation += 1
        self._bytes -= size


def _row_bytes(content: bytearray) -> int:
    """Where to cut a line that is too long: at `LINE_BYTES`, or just before the UTF-8 character that is there."""
    for size in range(LINE_BYTES, LINE_BYTES - 4, -1):
        if content[size] & 0xC0 != 0x80:  # noqa: PLR2004 - the form of a UTF-8 continuation byte
            return size
    return LINE_BYTES


def _continued(opened: OpenLine, raw: bytes) -> Fragment:
    return Fragment(
        origin=opened.origin,
        source=opened.source,
        ordinal=opened.ordinal,
        node=opened.node,
        offset=opened.offset,
        time_ns=opened.time_ns,
        order_ns=opened.order_ns,
        stream=opened.stream,
        partial=opened.partial,
        content=raw,
        raw=raw,
    )


def _parsed(part: Fragment) -> Fragment:
    """The same with its header read, if it has one, now that there are enough bytes.

    Its place in reading order stays that of the line before: lines after it may have theirs already.
    """
    header = parse_header(part.raw)
    if header is None:
        return msgspec.structs.replace(part, stream=UNPARSED, partial=False, content=part.raw)
    return msgspec.structs.replace(
        part,
        time_ns=header.time_ns,
        stream=header.stream,
        partial=header.partial,
        content=part.raw[header.content_start :],
    )
