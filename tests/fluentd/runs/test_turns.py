"""Turns: nobody waits for more than a bounded number of others' bytes, whatever the others do."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from fluentd.runs.turns import OLD_TURNS, PASS_BYTES, Turns
from pipeline.limits import CHUNK_BYTES


@dataclass(eq=False)
class _Run:
    """A run with so many bytes to read; `None` for one that never ends."""

    left: int | None
    old: bool = False
    looks: list[dict[int, int]] = field(default_factory=list)

    def chunk(self) -> int:
        size = CHUNK_BYTES if self.left is None else min(CHUNK_BYTES, self.left)
        if self.left is not None:
            self.left -= size
        return size


def _simulate(runs: list[_Run], turns: Turns[_Run], passes: int) -> list[tuple[_Run, int]]:
    """Passes over all runs, as the reader makes them; returns who was looked at, and what it was served."""
    looks = []
    for _ in range(passes):
        turns.begin(runs)
        while turn := turns.next_turn():
            for run in turn:
                size = run.chunk()
                looks.append((run, size))
                if size:
                    turns.served(run, size)
    return looks


def _most_between(looks: list[tuple[_Run, int]], run: _Run, other: _Run) -> int:
    """Most bytes that `other` was served between two looks at `run`."""
    most = between = 0
    for one, size in looks:
        if one is run:
            between = 0
        elif one is other:
            between += size
            most = max(most, between)
    return most


_LEFT = st.one_of(st.none(), st.just(0), st.integers(1, 20 * CHUNK_BYTES))


@given(lefts=st.lists(_LEFT, min_size=2, max_size=6), passes=st.integers(1, 4))
def test_between_two_looks_at_a_run_another_is_served_a_bounded_number_of_bytes(
    lefts: list[int | None], passes: int
) -> None:
    """Also at one that had nothing: it may have something by now."""
    runs = [_Run(left) for left in lefts]
    looks = _simulate(runs, Turns(), passes)
    for run in runs:
        for other in runs:
            if run is not other:
                assert _most_between(looks, run, other) <= PASS_BYTES + CHUNK_BYTES


@given(lefts=st.lists(_LEFT, min_size=2, max_size=6), passes=st.integers(1, 4))
def test_runs_that_wait_are_served_chunk_by_chunk(lefts: list[int | None], passes: int) -> None:
    runs = [_Run(left) for left in lefts]
    looks = _simulate(runs, Turns(), passes)
    for run in runs:
        if run.left is None:
            assert all(_most_between(looks, run, other) <= CHUNK_BYTES for other in runs if other is not run)


@given(
    lefts=st.lists(st.tuples(_LEFT, st.booleans()), min_size=2, max_size=6),
    passes=st.integers(1, 4),
)
def test_old_runs_stand_back_and_are_still_served(lefts: list[tuple[int | None, bool]], passes: int) -> None:
    """One turn in so many; all turns when the others have nothing."""
    runs = [_Run(left, old) for left, old in lefts]
    looks = _simulate(runs, Turns(is_old=lambda run: run.old), passes)
    for run in runs:
        for other in runs:
            if run is not other and run.left is None:
                most = OLD_TURNS if run.old else 1
                assert _most_between(looks, run, other) <= most * CHUNK_BYTES


def test_old_runs_are_read_at_full_speed_when_nobody_else_has_anything() -> None:
    old, quiet = _Run(None, old=True), _Run(0)
    looks = _simulate([quiet, old], Turns(is_old=lambda run: run.old), 1)
    assert sum(size for run, size in looks if run is old) >= PASS_BYTES


def test_the_newest_are_read_first() -> None:
    old, new = _Run(None, old=True), _Run(6 * CHUNK_BYTES)
    looks = _simulate([old, new], Turns(is_old=lambda run: run.old), 1)
    assert [run for run, size in looks if size][:6] == [new] * 6


def test_a_run_that_waits_for_its_lane_keeps_its_turn() -> None:
    turns: Turns[str] = Turns()
    turns.begin(["stuck", "other"])
    assert turns.next_turn() == ["stuck", "other"]
    turns.served("stuck", 0)
    assert turns.next_turn() == ["stuck"]
    assert not turns.left
    turns.served("stuck", 0)
    assert turns.left
