"""What evidence over time does, whatever the counts."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.canary.arms import Arms
from monitor.canary.counts import Direction
from monitor.canary.decide.evidence import log_evidence
from monitor.canary.decide.likelihood import MINUTE_LIMIT

Row = tuple[float, float, float, float]
MakeArms = Callable[[Sequence[Row]], Arms]
COUNTS = st.integers(0, 40)
MINUTES = st.lists(st.tuples(st.integers(0, 400), COUNTS, st.integers(0, 400), COUNTS), min_size=1, max_size=70)
TOLERANCES = st.sampled_from([1.0, 1.1, 1.25, 3.0])
PHIS = st.floats(1, 50)


@settings(max_examples=40)
@given(rows=MINUTES, tolerance=TOLERANCES, phi=PHIS)
def test_arms_that_change_places_make_a_decrease_of_an_increase(
    arms: MakeArms, rows: list[Row], tolerance: float, phi: float
) -> None:
    given_, swapped = arms(rows), arms([(c_n, c_e, s_n, s_e) for s_n, s_e, c_n, c_e in rows])
    np.testing.assert_allclose(
        log_evidence(given_, null=tolerance, direction=Direction.INCREASE, phi=phi),
        log_evidence(swapped, null=tolerance, direction=Direction.DECREASE, phi=phi),
        rtol=1e-9,
        atol=1e-9,
    )
    np.testing.assert_allclose(
        log_evidence(given_, null=tolerance, direction=Direction.EITHER, phi=phi),
        log_evidence(swapped, null=tolerance, direction=Direction.EITHER, phi=phi),
        rtol=1e-9,
        atol=1e-9,
    )


@settings(max_examples=40)
@given(rows=MINUTES, factor=st.floats(0.01, 1000))
def test_only_the_share_of_traffic_counts_not_how_much_it_is(arms: MakeArms, rows: list[Row], factor: float) -> None:
    scaled = arms([(s_n * factor, s_e, c_n * factor, c_e) for s_n, s_e, c_n, c_e in rows])
    np.testing.assert_allclose(
        log_evidence(arms(rows), null=1.1, direction=Direction.INCREASE),
        log_evidence(scaled, null=1.1, direction=Direction.INCREASE),
        rtol=1e-7,
        atol=1e-7,
    )


@settings(max_examples=40)
@given(rows=MINUTES, data=st.data(), tolerance=TOLERANCES)
def test_an_error_more_of_the_canary_never_lessens_evidence_and_one_of_stable_never_adds(
    arms: MakeArms, rows: list[Row], data: st.DataObject, tolerance: float
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    s_n, s_e, c_n, c_e = rows[at]
    worse = arms([*rows[:at], (s_n, s_e, c_n, c_e + 1), *rows[at + 1 :]])
    better = arms([*rows[:at], (s_n, s_e + 1, c_n, c_e), *rows[at + 1 :]])
    now, more, less = (
        log_evidence(one, null=tolerance, direction=Direction.INCREASE) for one in (arms(rows), worse, better)
    )
    assert np.all(more >= now - 1e-9)
    assert np.all(less <= now + 1e-9)


@settings(max_examples=40)
@given(rows=MINUTES)
def test_evidence_falls_as_the_tolerance_rises(arms: MakeArms, rows: list[Row]) -> None:
    paths = [log_evidence(arms(rows), null=null, direction=Direction.INCREASE) for null in (1.0, 1.1, 1.5, 4.0)]
    assert np.all(np.diff(np.stack(paths), axis=0) <= 1e-9)


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(*[st.one_of(st.just(0), st.integers(0, 10**9), st.floats(0, 1e9, allow_subnormal=False))] * 4),
        min_size=1,
        max_size=65,
    ),
    tolerance=TOLERANCES,
    phi=st.floats(1, 1e9),
    direction=st.sampled_from(list(Direction)),
)
def test_no_counts_make_evidence_that_is_no_number(
    arms: MakeArms, rows: list[Row], tolerance: float, phi: float, direction: Direction
) -> None:
    path = log_evidence(arms(rows), null=tolerance, direction=direction, phi=phi)
    assert path.shape == (len(rows),)
    assert np.all(np.isfinite(path))


@pytest.mark.parametrize(
    "row", [(0, 0, 50, 50), (50, 50, 0, 0), (50, 1, 0, 9), (0, 9, 50, 1), (0, 0, 0, 0), (500, 0, 50, 0)]
)
def test_a_minute_in_which_one_arm_had_nothing_or_nothing_failed_says_nothing(arms: MakeArms, row: Row) -> None:
    rows: list[Row] = [(500, 3, 50, 2), row, (500, 3, 50, 2)]
    path = log_evidence(arms(rows), null=1.0, direction=Direction.INCREASE)
    assert path[1] == path[0] != path[2]


def test_one_minute_however_bad_is_not_enough_and_two_are(arms: MakeArms) -> None:
    rows: list[Row] = [(1e6, 0, 1e6, 1e6)] * 2
    path = log_evidence(arms(rows), null=1.0, direction=Direction.INCREASE)
    assert path[0] < MINUTE_LIMIT < np.log(100) < path[1]


def test_nothing_of_the_warm_up_counts(arms: MakeArms) -> None:
    quiet, bad = (600, 3, 60, 0), (600, 3, 60, 60)
    warm = log_evidence(arms([bad] * 3 + [quiet] * 20), null=1.1, direction=Direction.INCREASE, warm_up_minutes=3)
    cold = log_evidence(arms([quiet] * 20), null=1.1, direction=Direction.INCREASE)
    np.testing.assert_allclose(warm[3:], cold)
    np.testing.assert_allclose(warm[:3], 0, atol=1e-12)


def test_what_goes_bad_late_is_found_though_much_speaks_for_the_time_before(arms: MakeArms) -> None:
    good, bad = (3000, 15, 300, 1), (3000, 15, 300, 6)
    path = log_evidence(arms([good] * 30 + [bad] * 15), null=1.0, direction=Direction.INCREASE)
    assert path[29] < 0
    assert path[44] > np.log(100)


def test_many_analyses_at_once_are_what_each_is_alone() -> None:
    rng = np.random.default_rng(1)
    stable_n, canary_n = rng.poisson(600, (5, 40)), rng.poisson(60, (5, 40))
    stable_e, canary_e = rng.binomial(stable_n, 0.01), rng.binomial(canary_n, 0.02)
    phi = np.linspace(1, 3, 5)

    def counts(pick: slice | int) -> Arms:
        s_n, s_e, c_n, c_e = (np.asarray(one[pick], np.float64) for one in (stable_n, stable_e, canary_n, canary_e))
        return Arms(s_n, s_e, c_n, c_e, np.ones(s_n.shape, np.bool_))

    together = log_evidence(
        counts(slice(None)), null=1.1, direction=Direction.INCREASE, phi=phi[:, None], warm_up_minutes=3
    )
    for run in range(5):
        alone = log_evidence(counts(run), null=1.1, direction=Direction.INCREASE, phi=phi[run], warm_up_minutes=3)
        np.testing.assert_allclose(together[run], alone, rtol=1e-12, atol=1e-12)
