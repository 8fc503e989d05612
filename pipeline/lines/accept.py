"""Which bytes are new: chunks against what is known of their sources.

The agent sends at least once, so a chunk may come again, whole or in part, or cut at other places. What is stored is
trimmed away, down to the byte. What is missing before a chunk becomes a hole: an alarm, unless the agent declared it
lost; if it comes after all, it is taken. Pure: the outcome depends on the state and the records only, so that a replay
after a crash repeats it exactly.
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Final

from pipeline.chunk import Flag, Origin
from pipeline.errors import FormatError
from pipeline.lines.accepted import Accepted, Beat, Mark, RunKey, Tracked, facts_of, run_key
from pipeline.lines.gaps import Gaps, gap_bytes
from pipeline.lines.pending import PATIENCE_NS
from pipeline.lines.resume import Hole, NodeState, RunState, ShardState, SourceState, copy_run
from pipeline.pack import Header, PackBody

UNKNOWN_ORDER_NS: Final = -(2**63)

_DAY_NS: Final = 86_400_000_000_000
_ENDED_KEEP_NS: Final = 7 * _DAY_NS
"""How long the bytes of an ended file are remembered: nothing but a repetition can come of it."""

_QUIET_KEEP_NS: Final = 60 * _DAY_NS
"""How long a run's newest file is remembered without a line: a quiet container may write again."""

_PRUNE_EVERY_NS: Final = _DAY_NS // 24
_NEWLINE: Final = 10
_LARGEST: Final = 2**62

_key_of = itemgetter(0)


_USUAL: Final = int(Mark.NONE)


def check_pack(body: PackBody) -> None:
    """Refuse offsets that are no such thing: sums of two of the others stay within 64 bits.

    Raises:
        FormatError: Names the offset.
    """
    end = max([header.end for header in body.headers], default=0)
    if end >= _LARGEST:
        raise FormatError(f"a file of {end} bytes")


class Progress:
    """How far a shard's records are accepted: the resume state, with its sources by name.

    Args:
        state: Where to go on.
        joined_ns: For a reader that was not there from the queue's beginning: the shard's clock when it came, or when
            it had to pass records over; 0 before the first heartbeat. What is missing of a source since then, or before
            the first chunk of one that is new here, came before or is lost, and is no gap.

    Attributes:
        joined_ns: The same.
    """

    def __init__(self, state: ShardState, *, joined_ns: int | None = None) -> None:
        self.joined_ns = joined_ns
        self.next_offset = state.next_offset
        self.clock_ns = state.clock_ns
        self.nodes = state.nodes
        self.runs = {run_key(run.origin): run for run in state.runs}
        self.pending_runs: dict[RunKey, RunState] = {
            run_key(run.origin): run for run in state.runs if run.pending or run.open
        }
        self._pruned_ns = state.pruned_ns
        self._accepted_bytes = state.accepted_bytes
        self._gap_bytes = sum(map(gap_bytes, state.runs))
        self._inherited: Mapping[RunKey, RunState] = {}
        self._sources: dict[bytes, Tracked] = {}
        self._track(state.runs)

    def inherit(self, runs: Mapping[RunKey, RunState]) -> None:
        """Go on from what another queue brought of a run, when something of that run comes here.

        Agents do not send again because their queue was replaced: only the table knows what it has.
        """
        self._inherited = runs

    def begin(self) -> Accepted:
        """An empty `Accepted` for the records from `next_offset` on."""
        return Accepted(self.clock_ns)

    def state(self) -> ShardState:
        """The resume state at `next_offset`. Shares its parts: encode it before the next record is accepted."""
        self._note_pending()
        runs = list(self.runs.values())
        return ShardState(self.next_offset, self.clock_ns, self._pruned_ns, self.nodes, runs, self._accepted_bytes)

    def heartbeats(self) -> dict[str, int]:
        """For each node that is heard of, up to when its lines are complete; 0 while unknown."""
        self._note_pending()
        return {name: node.effective_ns for name, node in self.nodes.items()}

    def _note_pending(self) -> None:
        """A line whose end has not come is in no answer yet: nothing is complete beyond it.

        One that is shown as far as it came, and has been silent for so long, holds nothing any more: its writer may be
        gone for ever.
        """
        oldest: dict[str, int] = {}
        for run in self.pending_runs.values():
            for line in run.pending.values():
                node = self.nodes.get(line.node)
                if line.content or node is None or node.heartbeat_ns < line.last_time_ns + PATIENCE_NS:
                    oldest[line.node] = min(oldest.get(line.node, line.time_ns), line.time_ns)
            if run.open is not None and run.open.raw:  # else its bytes are among the run's pending
                oldest[run.open.node] = min(oldest.get(run.open.node, run.open.time_ns), run.open.time_ns)
        for name, node in self.nodes.items():
            node.pending_ns = oldest.get(name, 0)

    def _track(self, runs: Iterable[RunState]) -> None:
        for run in runs:
            for source in run.sources:
                facts = facts_of(run.origin, source.source, source.ordinal)
                self._sources[source.source] = Tracked(source, run, run.origin, facts)

    def _adopt(self, inherited: RunState) -> RunState:
        run = copy_run(inherited)
        key = run_key(run.origin)
        self.runs[key] = run
        if run.pending or run.open:
            self.pending_runs[key] = run
        for source in run.sources:
            source.touched_ns = self.clock_ns
            for hole in source.holes:
                if not hole.declared:
                    self._open_gap(hole.node)
        self._gap_bytes += gap_bytes(run)
        self._track([run])
        return run

    def gaps(self) -> Gaps:
        """What is missing and was not declared, over all sources."""
        return Gaps(sum(node.gaps for node in self.nodes.values()), self._gap_bytes, self._accepted_bytes)

    def accept(self, body: PackBody, queue_offset: int, time_ns: int, out: Accepted) -> None:
        """Take the next record's new bytes into `out`; `time_ns` is when the queue took the record."""
        out.record_times[queue_offset] = time_ns
        data, out.node, out.queue_offset = body.data, body.node, queue_offset
        for (_, _, start), position, header, tracked in self._in_arrival_order(body):
            origin = body.origins[header.origin]
            if tracked.origin != origin:
                tracked.origin = origin
                tracked.facts = facts_of(origin, header.source, tracked.state.ordinal)
            state = tracked.state
            stop = position + header.length
            if (
                start == state.next
                and not header.flags
                and not header.line_offsets
                and stop > position
                and data[stop - 1] == _NEWLINE
            ):
                state.next = header.end
                out.add(tracked, start, header.end, data[position:stop], _USUAL)
            else:
                self._accept_unusual(tracked, header, data[position:stop], out)
            state.touched_ns = self.clock_ns
        self.next_offset = queue_offset + 1
        if body.heartbeat_ns:
            self._beat(body, time_ns, out)

    def skip(self, queue_offset: int) -> None:
        """Go on after a record that is no pack."""
        self.next_offset = queue_offset + 1

    def _in_arrival_order(self, body: PackBody) -> list[tuple[tuple[int, bytes, int], int, Header, Tracked]]:
        """Keys, positions in the pack's data, headers and sources of the chunks, by ordinal, source and start.

        An ordinal is what the source's first chunk said, though an agent that lost its state may say another now.
        """
        keyed = []
        position = 0
        for header in body.headers:
            source = header.source
            tracked = self._sources.get(source)
            if tracked is None:
                tracked = self._new_source(header, body.origins[header.origin])
            if tracked is not None:
                keyed.append(((tracked.state.ordinal, source, header.start), position, header, tracked))
            position += header.length
        keyed.sort(key=_key_of)
        return keyed

    def _new_source(self, header: Header, origin: Origin) -> Tracked | None:
        """Begin a source; `None` for the mere statement of one that is forgotten.

        An agent states all its files to a new queue. Files of a run come one after the other, so one before those that
        are known did come.
        """
        key = run_key(origin)
        run = self.runs.get(key)
        if run is None and key in self._inherited:
            run = self._adopt(self._inherited[key])
            if header.source in self._sources:
                return self._sources[header.source]
        if run is not None and header.ordinal < run.ordinal and header.start == header.end and not header.flags:
            return None
        if run is None:
            run = self.runs[key] = RunState(origin, header.ordinal, UNKNOWN_ORDER_NS, None, {}, None, [])
        run.ordinal = max(run.ordinal, header.ordinal)
        source = SourceState(header.source, header.ordinal, 0, [], False, self.clock_ns)  # noqa: FBT003 - wire struct
        run.sources.append(source)
        tracked = self._sources[header.source] = Tracked(
            source, run, origin, facts_of(origin, header.source, header.ordinal)
        )
        return tracked

    def _accept_unusual(self, tracked: Tracked, header: Header, data: bytes, out: Accepted) -> None:
        """Take what is new of a chunk that is not simply the next one."""
        state = tracked.state
        fresh = 0
        for start, end in self._fill(state, header):
            out.add_part(tracked, header, data, (start, end), Mark.LATE)
            out.late_bytes += end - start
            fresh += end - start
        broken = self._note_missing(state, header, out)
        begin = max(header.start, state.next)
        if header.end > begin:
            fresh += header.end - begin
            state.next = header.end
            out.add_part(tracked, header, data, (begin, header.end), broken)
        elif header.flags & Flag.FINAL and header.end == state.next and not state.final:
            out.add(tracked, header.end, header.end, b"", int(broken | Mark.FINAL))
        elif broken:
            state.next = header.start
            out.add(tracked, header.start, header.start, b"", int(broken))
        state.final |= bool(header.flags & Flag.FINAL)
        out.duplicate_bytes += header.end - header.start - fresh

    def _fill(self, state: SourceState, header: Header) -> list[tuple[int, int]]:
        """Ranges of the chunk that were missing so far; the holes shrink by them."""
        if not state.holes:
            return []
        filled: list[tuple[int, int]] = []
        left: list[Hole] = []
        for hole in state.holes:
            start, end = max(hole.start, header.start), min(hole.end, header.end)
            if start >= end:
                left.append(hole)
                continue
            filled.append((start, end))
            rests = [(hole.start, start), (end, hole.end)]
            parts = [Hole(a, b, hole.declared, hole.node) for a, b in rests if a < b]
            left += parts
            if not hole.declared:
                self.nodes[hole.node].gaps += len(parts) - 1
                self._gap_bytes -= end - start
        state.holes = left
        return filled

    def _note_missing(self, state: SourceState, header: Header, out: Accepted) -> Mark:
        """Make holes of what is missing before the chunk."""
        if header.start <= state.next:
            return Mark.NONE
        known = header.start
        if self._joined_within(state):
            known = state.next
            out.midway += 1
        elif header.flags & Flag.DECLARED_LOSS:
            known = min(max(header.prev_end, state.next), header.start)
        if known > state.next:
            state.holes.append(Hole(state.next, known, False, out.node))  # noqa: FBT003 - wire struct
            self._open_gap(out.node)
            out.gaps += 1
            out.gap_bytes += known - state.next
            self._gap_bytes += known - state.next
        if header.start > known:
            state.holes.append(Hole(known, header.start, True, out.node))  # noqa: FBT003 - wire struct
        return Mark.BROKEN

    def _joined_within(self, state: SourceState) -> bool:
        """Whether this reader was not there when the source's bytes before came."""
        return self.joined_ns is not None and (not state.next or state.touched_ns <= self.joined_ns)

    def accept_gaps(self, held_ns: int) -> int:
        """Take gaps of nodes whose watermark has stood since before a time as declared losses; returns their bytes.

        For a reader that nobody asks about what lies so far back.
        """
        nodes = {name for name, node in self.nodes.items() if node.gaps and node.held_ns < held_ns}
        accepted_bytes = 0
        if nodes:
            for hole in (hole for run in self.runs.values() for source in run.sources for hole in source.holes):
                if not hole.declared and hole.node in nodes:
                    hole.declared = True
                    self.nodes[hole.node].gaps -= 1
                    accepted_bytes += hole.end - hole.start
        self._gap_bytes -= accepted_bytes
        self._accepted_bytes += accepted_bytes
        return accepted_bytes

    def clock_after(self, heartbeat_ns: int, time_ns: int) -> int:
        """The shard's clock once a heartbeat is in, of a record that the queue took at `time_ns`."""
        # A node whose clock is years ahead must not make the shard forget what it knows.
        return max(self.clock_ns, min(heartbeat_ns, time_ns + _DAY_NS))

    def _open_gap(self, node: str) -> None:
        said = self.nodes.setdefault(node, NodeState())
        if not said.gaps:
            said.held_ns = said.heartbeat_ns
        said.gaps += 1

    def _beat(self, body: PackBody, time_ns: int, out: Accepted) -> None:
        node = self.nodes.setdefault(body.node, NodeState())
        node.heartbeat_ns = max(node.heartbeat_ns, body.heartbeat_ns)
        if not self.clock_ns:
            self._start_clock(time_ns)
        self.clock_ns = self.clock_after(body.heartbeat_ns, time_ns)
        out.beats.append(Beat(len(out.data), body.node, body.heartbeat_ns, self.clock_ns, out.queue_offset))
        if self.clock_ns - self._pruned_ns >= _PRUNE_EVERY_NS:
            self._pruned_ns = self.clock_ns
            self._prune(out)

    def _start_clock(self, time_ns: int) -> None:
        """Before the first heartbeat there is no clock: what came by then counts as touched now."""
        self._pruned_ns = time_ns
        for tracked in self._sources.values():
            tracked.state.touched_ns = time_ns

    def _prune(self, out: Accepted) -> None:
        """Forget sources that nothing can come of any more."""
        for key, run in list(self.runs.items()):
            kept = []
            for source in run.sources:
                ended = source.final or source.ordinal < run.ordinal
                if self.clock_ns - source.touched_ns < (_ENDED_KEEP_NS if ended else _QUIET_KEEP_NS):
                    kept.append(source)
                    continue
                del self._sources[source.source]
                self._give_up(source.holes, out)
            run.sources = kept
            if not kept:
                del self.runs[key]

    def _give_up(self, holes: list[Hole], out: Accepted) -> None:
        for hole in holes:
            if not hole.declared:
                self.nodes[hole.node].gaps -= 1
                out.given_up_bytes += hole.end - hole.start
                self._gap_bytes -= hole.end - hole.start
