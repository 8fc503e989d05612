"""Lines that go on elsewhere: pieces tagged `P`, physical lines left open at a chunk's end, lines over `LINE_BYTES`.

Only such lines are looked at here, one by one; a batch without any leaves at once. Whatever is decided depends on the
records alone, never on a clock or on where a batch was cut, so that a replay makes the same rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.limits import LINE_BYTES
from pipeline.lines.accept import UNKNOWN_ORDER_NS, Progress
from pipeline.lines.accepted import Accepted, Mark
from pipeline.lines.parse import Lines
from pipeline.lines.pending import UNPARSED, Fragment, JoinedRow, PendingLines
from pipeline.lines.resume import RunState

_I64 = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the lines of each piece are.

    Attributes:
        first: int64, index of each piece's first line.
        counts: int64, how many lines each piece has.
        piece_of_line: int64, the piece of each line.
        offset: int64, where each line starts in its source.
        marks: int64, `pipeline.lines.accepted.Mark` of each piece.
    """

    first: _I64
    counts: _I64
    piece_of_line: _I64
    offset: _I64
    marks: _I64


@dataclass(frozen=True, slots=True)
class Joined:
    """What came of a batch's joining.

    Attributes:
        whole: bool for each line: whether it is a row as it stands.
        rows: The rows made of others.
    """

    whole: _Bools
    rows: list[JoinedRow]


def join_lines(
    accepted: Accepted, progress: Progress, *, buffer: bytes, lines: Lines, layout: Layout, order_ns: _I64
) -> Joined | None:
    """Join what belongs together; `None` when every line is a row as it stands."""
    too_long = lines.stops - lines.contents > LINE_BYTES
    if not (progress.pending_runs or layout.marks.any() or lines.partial.any() or too_long.any()):
        return None
    concerned = _concerned(accepted, lines, layout) | too_long
    joiner = _Joiner(
        accepted, progress, buffer=buffer, lines=lines, layout=layout, order_ns=order_ns, concerned=concerned
    )
    rows = joiner.run()
    return Joined(joiner.whole, rows)


def _concerned(accepted: Accepted, lines: Lines, layout: Layout) -> _Bools:
    """Lines tagged `P`, and those that may end one: the next with a header in the same run and stream.

    A superset will do, since a line that ends nothing is made a row as it stands by the slow way too. So all lines of
    runs that have an open line are in it.
    """
    runs = {id(source.run): source.run for source in accepted.sources}
    code_of = {key: code for code, key in enumerate(runs)}
    run_of_piece = np.array([code_of[id(source.run)] for source in accepted.sources], np.int64)
    waiting = np.array([bool(run.pending) for run in runs.values()], np.bool_)
    opened = np.array([run.open is not None for run in runs.values()], np.bool_)
    open_end = layout.marks & (Mark.OPEN_END | Mark.FINAL | Mark.LATE) == Mark.OPEN_END
    opened[run_of_piece[open_end]] = True
    run_of_line = run_of_piece[layout.piece_of_line]
    concerned = opened[run_of_line] & lines.parsed
    joining = waiting.copy()
    joining[run_of_line[lines.partial]] = True
    chosen = np.flatnonzero(joining[run_of_line] & lines.parsed)
    if len(chosen):
        key = run_of_line[chosen] * 2 + lines.stream[chosen]
        chosen = chosen[np.argsort(key, kind="stable")]
        key = run_of_line[chosen] * 2 + lines.stream[chosen]
        after = np.ones(len(chosen), np.bool_)
        after[1:] = (key[1:] != key[:-1]) | lines.partial[chosen[:-1]]
        concerned[chosen[after | lines.partial[chosen]]] = True
    return concerned


class _Joiner:
    """One batch's joining, piece by piece."""

    def __init__(
        self,
        accepted: Accepted,
        progress: Progress,
        *,
        buffer: bytes,
        lines: Lines,
        layout: Layout,
        order_ns: _I64,
        concerned: _Bools,
    ) -> None:
        self._accepted = accepted
        self._progress = progress
        self._buffer = buffer
        self._lines = lines
        self._layout = layout
        self._order_ns = order_ns
        self._concerned = np.flatnonzero(concerned)
        self._pending = PendingLines(progress.pending_runs, clock_ns=accepted.clock_ns)
        self.whole = np.ones(len(lines.stops), np.bool_)

    def run(self) -> list[JoinedRow]:
        """Go through pieces and heartbeats in the order of the records."""
        beats = iter(self._accepted.beats)
        beat = next(beats, None)
        for piece in self._busy_pieces():
            while beat is not None and beat.position <= piece:
                self._pending.beat(beat, known=self._progress.runs)
                beat = next(beats, None)
            self._piece(piece)
        while beat is not None:
            self._pending.beat(beat, known=self._progress.runs)
            beat = next(beats, None)
        return self._pending.rows

    def _busy_pieces(self) -> list[int]:
        """Pieces with marks, with lines concerned, or of a run that has an open line at any time in this batch."""
        sources = self._accepted.sources
        busy = self._layout.marks != 0
        busy[self._layout.piece_of_line[self._concerned]] = True
        opened = {id(run) for run in self._progress.pending_runs.values() if run.open is not None}
        open_ends = np.flatnonzero(self._layout.marks & Mark.OPEN_END)
        opened.update(id(sources[piece].run) for piece in open_ends.tolist())
        if opened:
            busy |= np.array([id(source.run) in opened for source in sources], np.bool_)
        found: list[int] = np.flatnonzero(busy).tolist()
        return found

    def _piece(self, piece: int) -> None:
        marks = self._accepted.marks[piece]
        tracked = self._accepted.sources[piece]
        self._pending.queue_offset = self._accepted.queue_offsets[piece]
        if marks & Mark.LATE:
            alone = RunState(tracked.run.origin, 0, UNKNOWN_ORDER_NS, None, {}, None, [])
            self._piece_lines(piece, alone)
            self._pending.end_all(alone)
            return
        run = tracked.run
        going_on = (
            run.open is not None
            and bool(marks & Mark.MID_LINE)
            and run.open.source == tracked.state.source
            and run.open.end == self._accepted.starts[piece]
        )
        if not going_on:
            self._pending.close(run)
        if marks & Mark.BROKEN:
            self._pending.end_all(run)
        self._piece_lines(piece, run)
        self._pending.remember(run)

    def _piece_lines(self, piece: int, run: RunState) -> None:
        """The piece's lines that are concerned: the one that goes on, those tagged, the one left open."""
        first = int(self._layout.first[piece])
        stop = first + int(self._layout.counts[piece])
        if first == stop:
            return
        open_end = self._accepted.marks[piece] & (Mark.OPEN_END | Mark.FINAL) == Mark.OPEN_END
        if run.open is not None:
            self.whole[first] = False
            content = self._buffer[self._lines.starts[first] : self._lines.stops[first]]
            end = self._accepted.ends[piece] if open_end and stop == first + 1 else None
            self._pending.go_on(run, content, end=end)
            first += 1
        last = stop - 1 if open_end else stop
        low, high = np.searchsorted(self._concerned, (first, last)).tolist()
        for line in self._concerned[low:high].tolist():
            self._line(piece, line, run)
        if open_end and first <= last:
            self.whole[last] = False
            self._pending.leave_open(run, self._start(piece, last), self._accepted.ends[piece])

    def _line(self, piece: int, line: int, run: RunState) -> None:
        """A line that is a piece of a longer one, or too long for one row."""
        start = self._start(piece, line)
        ends = not start.partial
        if ends and start.stream not in run.pending and len(start.content) <= LINE_BYTES:
            return
        self.whole[line] = False
        self._pending.add(run, start, ends=ends)

    def _start(self, piece: int, line: int) -> Fragment:
        tracked, lines = self._accepted.sources[piece], self._lines
        parsed = bool(lines.parsed[line])
        return Fragment(
            origin=self._accepted.origins[piece],
            source=tracked.state.source,
            ordinal=tracked.state.ordinal,
            node=self._accepted.nodes[piece],
            offset=int(self._layout.offset[line]),
            time_ns=int(lines.time_ns[line]),
            order_ns=int(self._order_ns[line]),
            stream=int(lines.stream[line]) if parsed else UNPARSED,
            partial=bool(lines.partial[line]),
            content=self._buffer[lines.contents[line] : lines.stops[line]],
            raw=self._buffer[lines.starts[line] : lines.stops[line]],
        )
