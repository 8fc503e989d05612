"""Total outage and crash loops."""

from collections.abc import Callable, Sequence

import pytest

from monitor.canary.arms import Arms
from monitor.canary.counts import Signals
from monitor.canary.decide.atonce import crash_loop, total_outage

Row = tuple[float, float, float, float]
MakeArms = Callable[[Sequence[Row]], Arms]


@pytest.mark.parametrize(
    ("rows", "after"),
    [
        ([(100, 1, 10, 10), (100, 0, 10, 10)], [False, True]),
        ([(100, 1, 6, 6), (100, 0, 5, 5)], [False, True]),
        ([(100, 1, 4, 4), (100, 0, 5, 5)], [False, False]),
        ([(100, 1, 10, 9), (100, 0, 10, 8)], [False, False]),
        ([(100, 90, 10, 10), (100, 95, 10, 10)], [False, False]),
        ([(4, 0, 10, 10), (4, 0, 10, 10)], [False, False]),
        ([(100, 0, 10, 10), (100, 0, 0, 0), (100, 0, 10, 10)], [False, False, False]),
        ([(100, 0, 10, 10), (100, 0, 10, 10), (100, 0, 10, 0)], [False, True, False]),
        ([], []),
    ],
    ids=[
        "fails",
        "two minutes make ten",
        "nine are too few",
        "not all",
        "both arms",
        "no stable",
        "gap",
        "over",
        "none",
    ],
)
def test_a_canary_that_fails_two_minutes_while_stable_does_not_is_out(
    arms: MakeArms, rows: list[Row], after: list[bool]
) -> None:
    assert total_outage(arms(rows)).tolist() == after


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        (Signals(), False),
        (Signals(canary_pods=1, canary_crash_loops=1, stable_pods=10), True),
        (Signals(canary_pods=4, canary_crash_loops=1, stable_pods=10), False),
        (Signals(canary_pods=4, canary_crash_loops=2, stable_pods=10), True),
        (Signals(canary_pods=1, canary_crash_loops=1, stable_pods=10, stable_crash_loops=6), False),
        (Signals(canary_pods=1, canary_restarts=2, stable_pods=10), False),
        (Signals(canary_pods=1, canary_restarts=3, stable_pods=10), True),
        (Signals(canary_pods=3, canary_restarts=3, stable_pods=10, stable_restarts=3), True),
        (Signals(canary_pods=3, canary_restarts=3, stable_pods=10, stable_restarts=10), False),
        (Signals(canary_pods=20, canary_restarts=5, stable_pods=100), False),
    ],
)
def test_crashes_of_the_canary_count_when_stable_has_not_as_many(signals: Signals, *, expected: bool) -> None:
    assert crash_loop(signals) is expected
