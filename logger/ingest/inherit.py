"""What other queues brought of the runs of a shard: the table may have been fed from several, one after the other.

Pure.
"""

from collections.abc import Iterable, Mapping

from pipeline.lines.accepted import RunKey, run_key
from pipeline.lines.resume import Hole, NodeState, RunState, ShardState, SourceState, copy_run


def newest_runs(states: Iterable[ShardState]) -> dict[RunKey, RunState]:
    """All runs of some resume states; of a run that is in several, what was touched last."""
    newest: dict[RunKey, RunState] = {}
    for run in (run for state in states for run in state.runs):
        key = run_key(run.origin)
        if key not in newest or _touched(run) > _touched(newest[key]):
            newest[key] = run
    return newest


def take_newer(state: ShardState, inherited: Mapping[RunKey, RunState]) -> int:
    """Go on from what another queue has brought of a run since, in place: the shard's queue was left, and is back.

    Only where that is more and leaves nothing out that this queue may still bring: a hole is this queue's to fill.

    Args:
        state: Of a shard, at its queue's last commit.
        inherited: Runs as other queues brought them.

    Returns:
        How many runs were behind.
    """
    behind = 0
    for index, run in enumerate(state.runs):
        other = inherited.get(run_key(run.origin))
        if other is None or _bytes(other) <= _bytes(run) or not _covers(other, run):
            continue
        state.runs[index] = newer = copy_run(other)
        for source in newer.sources:
            source.touched_ns = state.clock_ns
        for old in _gaps(run):
            state.nodes[old.node].gaps -= 1
        for left in _gaps(newer):
            state.nodes.setdefault(left.node, NodeState()).gaps += 1
        behind += 1
    return behind


def _bytes(run: RunState) -> int:
    return sum(source.next for source in run.sources)


def _gaps(run: RunState) -> list[Hole]:
    return [hole for source in run.sources for hole in source.holes if not hole.declared]


def _covers(other: RunState, run: RunState) -> bool:
    """Whether `other` has all that `run` has, and lacks nothing but what `run` is known to lack, too."""
    own = {source.source: source for source in run.sources}
    newest = {source.source: source for source in other.sources}
    return all(name in newest and newest[name].next >= source.next for name, source in own.items()) and all(
        any(wide.start <= hole.start and hole.end <= wide.end for wide in (own[name].holes if name in own else ()))
        for name, source in newest.items()
        for hole in source.holes
    )


def _touched(run: RunState) -> tuple[int, int]:
    return max((source.touched_ns for source in run.sources), default=0), sum(source.next for source in run.sources)


def close_gaps(state: ShardState, others: Iterable[RunState]) -> int:
    """Close the gaps whose bytes another queue has brought since, in place: they were not lost, but left behind there.

    Args:
        state: Of a shard.
        others: Runs as other queues brought them.

    Returns:
        How many bytes are not missing any more.
    """
    brought: dict[bytes, list[SourceState]] = {}
    for source in (source for run in others for source in run.sources):
        brought.setdefault(source.source, []).append(source)
    closed_bytes = 0
    for source in (source for run in state.runs for source in run.sources if source.holes):
        closed = [hole for hole in source.holes if any(_has(other, hole) for other in brought.get(source.source, ()))]
        source.holes = [hole for hole in source.holes if hole not in closed]
        for hole in closed:
            if not hole.declared:
                state.nodes[hole.node].gaps -= 1
            closed_bytes += hole.end - hole.start
    return closed_bytes


def _has(source: SourceState, hole: Hole) -> bool:
    return hole.end <= source.next and all(other.end <= hole.start or hole.end <= other.start for other in source.holes)
