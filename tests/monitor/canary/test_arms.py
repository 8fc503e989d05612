"""Counts on a grid of minutes."""

from monitor.canary.arms import in_a_row, lay_out
from monitor.canary.counts import MINUTE_NS, Minute

START_NS = 7 * MINUTE_NS


def test_minutes_stand_where_they_were_and_others_are_not_known() -> None:
    minutes = [Minute(START_NS + at * MINUTE_NS, 10, 1, 5, at) for at in (0, 2, 3)]
    arms = lay_out(minutes, start_ns=START_NS, until_ns=START_NS + 5 * MINUTE_NS)
    assert arms.known.tolist() == [True, False, True, True, False]
    assert arms.canary_e.tolist() == [0, 0, 2, 3, 0]
    assert arms.stable_n.tolist() == [10, 0, 10, 10, 0]
    assert in_a_row(minutes).canary_e.tolist() == [0, 2, 3]


def test_what_is_left_out_is_neither_counted_nor_known() -> None:
    minutes = [Minute(at * MINUTE_NS, 10, 1, 5, 1) for at in range(4)]
    arms = lay_out(minutes, start_ns=0, until_ns=4 * MINUTE_NS).from_minute(2)
    assert arms.known.tolist() == [False, False, True, True]
    assert arms.stable_e.tolist() == arms.canary_e.tolist() == [0, 0, 1, 1]


def test_the_share_is_one_half_where_nothing_is_compared() -> None:
    minutes = [Minute(0, 30, 1, 10, 1), Minute(MINUTE_NS, 30, 1, 0, 0), Minute(2 * MINUTE_NS, 0, 0, 0, 0)]
    arms = in_a_row(minutes)
    assert arms.share.tolist() == [0.25, 0.5, 0.5]
    assert arms.informative.tolist() == [True, False, False]
    assert arms.compared().stable_n.tolist() == [30, 0, 0]
