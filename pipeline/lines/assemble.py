"""Lines out of pieces: from the new bytes of some records of a shard to a batch of rows.

Nearly all lines are whole, in order and parsed; they become rows as whole arrays. What is not (lines without a header,
clocks that step back) is set right piece by piece, and lines that go on in another line, chunk, record or file are
joined by `pipeline.lines.join`, which only those batches enter that have any.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.cri import STDOUT
from pipeline.lines.accept import Progress
from pipeline.lines.accepted import Accepted, Mark
from pipeline.lines.batch import Batch, ChunkFacts, lines_array
from pipeline.lines.join import Joined, Layout, join_lines
from pipeline.lines.parse import Lines, parse_lines

_I64 = npt.NDArray[np.int64]

AHEAD_NS: Final = 3_600_000_000_000
"""A line's place in reading order is at most this far ahead of when the queue took it: one line from a clock that was
a year ahead would put all later lines of its run there, too."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A batch, and what was odd about its lines.

    Attributes:
        batch: The rows.
        unparsed: Rows without a header.
        joined: Rows put together from pieces, or cut from longer lines.
    """

    batch: Batch
    unparsed: int
    joined: int


def assemble(accepted: Accepted, progress: Progress, *, shard: int, first_offset: int, arrived_ns: int) -> Assembled:
    """Make the batch of what was accepted since `first_offset`.

    Args:
        accepted: New bytes, in arrival order.
        progress: The shard's state; runs in it are brought up to date.
        shard: Its number.
        first_offset: Of the first record.
        arrived_ns: Now, nanoseconds since the epoch; says on which day the rows arrived.
    """
    buffer = b"".join(accepted.data)
    lines = parse_lines(buffer)
    layout = _lay_out(accepted, lines)
    order_ns = _put_in_order(accepted, layout, lines)
    joined = join_lines(accepted, progress, buffer=buffer, lines=lines, layout=layout, order_ns=order_ns)
    facts, facts_of_piece = _distinct(accepted.facts)
    pieces = layout.piece_of_line
    batch = Batch(
        shard=shard,
        first_offset=first_offset,
        next_offset=progress.next_offset,
        buffer=buffer,
        starts=lines.contents,
        stops=lines.stops,
        time_ns=lines.time_ns,
        order_ns=order_ns,
        stream=lines.stream,
        offset=layout.offset,
        continuation=np.zeros(len(lines.stops), np.int32),
        facts_index=facts_of_piece[pieces],
        queue_offset=np.array(accepted.queue_offsets, np.int64)[pieces],
        facts=facts,
        heartbeats=progress.heartbeats(),
        arrived_ns=arrived_ns,
    )
    unparsed = ~lines.parsed
    if joined is not None:
        unparsed &= joined.whole
        _merge(batch, joined)
    return Assembled(batch, int(np.count_nonzero(unparsed)), len(joined.rows) if joined is not None else 0)


def _lay_out(accepted: Accepted, lines: Lines) -> Layout:
    """Find out which lines each piece has, and where they are in their sources."""
    count = len(accepted.data)
    sizes = np.fromiter(map(len, accepted.data), np.int64, count)
    begins = np.cumsum(sizes) - sizes
    first = np.searchsorted(lines.starts, begins)
    counts = np.diff(first, append=len(lines.starts))
    pieces = np.repeat(np.arange(count), counts)
    offset = lines.starts + (np.array(accepted.starts, np.int64) - begins)[pieces]
    for piece, of_lines in accepted.line_offsets.items():
        low = int(first[piece])
        offset[low : low + len(of_lines)] = of_lines + accepted.starts[piece]
    marks = np.array(accepted.marks, np.int64)
    fragments = first[(marks & Mark.MID_LINE != 0) & (counts > 0)]
    _forget_headers(lines, fragments)
    return Layout(first, counts, pieces, offset, marks)


def _forget_headers(lines: Lines, chosen: _I64) -> None:
    """Take back that the lines `chosen` have a header: inside a line, what looks like one is content."""
    lines.parsed[chosen] = False
    lines.partial[chosen] = False
    lines.stream[chosen] = STDOUT
    lines.contents[chosen] = lines.starts[chosen]


def _put_in_order(accepted: Accepted, layout: Layout, lines: Lines) -> _I64:
    """Give lines without a header a time, and compute the running maximum of the times of each run."""
    times = lines.time_ns
    filled = np.flatnonzero(layout.counts)
    first = layout.first[filled]
    last = first + layout.counts[filled] - 1
    odd = np.zeros(len(layout.counts), np.bool_)
    odd[layout.piece_of_line[np.flatnonzero(~lines.parsed)]] = True
    back = np.flatnonzero(times[1:] < times[:-1]) + 1
    inside = layout.piece_of_line[back] == layout.piece_of_line[back - 1]
    odd[layout.piece_of_line[back[inside]]] = True
    odd |= layout.marks & Mark.LATE != 0
    order = times.copy()
    sources, ahead = accepted.sources, min(accepted.record_times.values(), default=0) + AHEAD_NS
    for piece, is_odd, low, first_ns, last_ns in zip(
        filled.tolist(), odd[filled].tolist(), first.tolist(), times[first].tolist(), times[last].tolist(), strict=True
    ):
        run = sources[piece].run
        if is_odd or first_ns < run.order_ns or last_ns > ahead:
            _put_piece_in_order(accepted, piece, slice(low, low + int(layout.counts[piece])), lines, order)
        else:
            run.order_ns = run.time_ns = last_ns
    return order


def _put_piece_in_order(accepted: Accepted, piece: int, span: slice, lines: Lines, order: _I64) -> None:
    """Times and running maximum of one piece whose lines are not simply in order."""
    run = accepted.sources[piece].run
    late = bool(accepted.marks[piece] & Mark.LATE)
    times, parsed = lines.time_ns[span], lines.parsed[span]
    known = np.flatnonzero(parsed)
    before = None if late else run.time_ns
    if before is None:
        before = int(times[known[0]]) if len(known) else accepted.record_times[accepted.queue_offsets[piece]]
    newest = np.maximum.accumulate(np.where(parsed, np.arange(len(times)), -1))
    times[:] = np.where(newest < 0, before, times[newest])
    most_ns = accepted.record_times[accepted.queue_offsets[piece]] + AHEAD_NS
    order[span] = np.minimum(np.maximum.accumulate(times), most_ns)
    if late:
        return
    np.maximum(order[span], run.order_ns, out=order[span])
    run.order_ns = int(order[span.stop - 1])
    if len(known):
        run.time_ns = int(times[-1])


def _distinct(facts: list[ChunkFacts]) -> tuple[list[ChunkFacts], npt.NDArray[np.int32]]:
    """The distinct objects, and which of them each piece has."""
    distinct: dict[int, int] = {}
    index = np.fromiter((distinct.setdefault(id(each), len(distinct)) for each in facts), np.int32, len(facts))
    by_id = {id(each): each for each in facts}
    return [by_id[key] for key in distinct], index


def _merge(batch: Batch, joined: Joined) -> None:
    """Leave out the lines that are parts of joined rows, add these, and restore arrival order."""
    if not joined.rows and joined.whole.all():
        return
    rows, whole = joined.rows, joined.whole
    contents = b"".join([row.content for row in rows])
    sizes = np.array([len(row.content) for row in rows], np.int64)
    stops = len(batch.buffer) + np.cumsum(sizes)
    distinct, index = _distinct([*batch.facts, *[row.facts for row in rows]])
    known = len(batch.facts)
    batch.facts = distinct
    batch.facts_index = np.concatenate((batch.facts_index[whole], index[known:]))
    batch.starts = np.concatenate((batch.starts[whole], stops - sizes))
    batch.stops = np.concatenate((batch.stops[whole], stops))
    for name in ("time_ns", "order_ns", "offset", "queue_offset", "stream", "continuation"):
        plain = getattr(batch, name)
        made = np.array([getattr(row, name) for row in rows], plain.dtype)
        setattr(batch, name, np.concatenate((plain[whole], made)))
    _restore_order(batch, batch.buffer + contents)


def _restore_order(batch: Batch, buffer: bytes) -> None:
    """Sort the rows into arrival order, and their lines in the buffer with them."""
    keys = [(each.ordinal, each.source) for each in batch.facts]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    rank = np.array([ranks[key] for key in keys], np.int64)
    order = np.lexsort((batch.continuation, batch.offset, rank[batch.facts_index], batch.queue_offset))
    lines = lines_array(buffer, batch.starts, batch.stops).take(order * 2)
    _, offsets, data = lines.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(order) + 1)
    batch.buffer = data.to_pybytes() if data is not None else b""
    batch.starts, batch.stops = bounds[:-1], bounds[1:]
    for name in ("time_ns", "order_ns", "offset", "queue_offset", "stream", "continuation", "facts_index"):
        setattr(batch, name, getattr(batch, name)[order])
