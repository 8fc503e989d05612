"""The promise, by counting all that can happen: evidence does not grow on average while the canary is good enough."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, poisson

from monitor.canary.arms import Arms, Floats
from monitor.canary.counts import Direction
from monitor.canary.decide.evidence import log_evidence
from monitor.canary.decide.likelihood import RATIOS, log_ratios


def _outcomes(stable_n: int, canary_n: int, most: int) -> Arms:
    """Every (stable_e, canary_e) of one minute: arrays of shape (outcomes, 1)."""
    pairs = list(product(range(min(stable_n, most) + 1), range(min(canary_n, most) + 1)))
    stable_e, canary_e = np.array(pairs, np.float64).T[..., np.newaxis]
    shape = stable_e.shape
    return Arms(np.full(shape, stable_n), stable_e, np.full(shape, canary_n), canary_e, np.ones(shape, np.bool_))


def _mean_factors(arms: Arms, chance: Floats, tolerance: float) -> Floats:
    logs = log_ratios(arms, null=np.array([tolerance]), ratios=RATIOS)[:, 0, :]
    factors: Floats = (chance[:, np.newaxis] * np.exp(logs)).sum(axis=0)
    return factors


@pytest.mark.parametrize("tolerance", [1.0, 1.1, 1.25, 2.0])
@pytest.mark.parametrize("failing", [0.01, 0.3, 0.5])
@pytest.mark.parametrize(("stable_n", "canary_n"), [(10, 1), (6, 6), (3, 12), (20, 2)])
def test_a_minute_of_requests_that_fail_by_chance_multiplies_evidence_by_one_at_most(
    tolerance: float, failing: float, stable_n: int, canary_n: int
) -> None:
    arms = _outcomes(stable_n, canary_n, most=1000)
    for ratio in (0.3, 0.9, 1.0, tolerance):
        canary = min(1.0, failing * ratio)
        chance = binom.pmf(arms.stable_e, stable_n, failing) * binom.pmf(arms.canary_e, canary_n, canary)
        assert np.all(_mean_factors(arms, chance[:, 0], tolerance) <= 1 + 1e-12)


@pytest.mark.parametrize("tolerance", [1.0, 1.25])
def test_a_minute_of_events_at_the_tolerance_multiplies_evidence_by_one_exactly(tolerance: float) -> None:
    arms = _outcomes(1000, 400, most=120)
    chance = poisson.pmf(arms.stable_e, 1000 * 0.004) * poisson.pmf(arms.canary_e, 400 * 0.004 * tolerance)
    # What lies beyond 120 events is rare, but counts for much under the largest ratios: the smaller ones are exact.
    np.testing.assert_allclose(_mean_factors(arms, chance[:, 0], tolerance)[:7], 1.0, rtol=1e-6)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("phi", [1.0, 1.7])
def test_evidence_of_three_minutes_has_a_mean_of_one_at_most(direction: Direction, phi: float) -> None:
    one = list(product(range(5), range(3)))
    paths = np.array(list(product(one, repeat=3)), np.float64)
    stable_e, canary_e = paths[..., 0], paths[..., 1]
    shape = stable_e.shape
    arms = Arms(np.full(shape, 4.0), stable_e, np.full(shape, 2.0), canary_e, np.ones(shape, np.bool_))
    chance = (binom.pmf(stable_e, 4, 0.2) * binom.pmf(canary_e, 2, 0.2)).prod(axis=1)
    evidence = np.exp(log_evidence(arms, null=1.0, direction=direction, phi=phi))
    means = (chance[:, np.newaxis] * evidence).sum(axis=0)
    assert np.all(means <= 1 + 1e-12)
    assert np.all(np.diff(means) <= 1e-12)


def test_a_canary_beyond_the_tolerance_makes_evidence_grow() -> None:
    arms = _outcomes(20, 4, most=1000)
    chance = binom.pmf(arms.stable_e, 20, 0.05) * binom.pmf(arms.canary_e, 4, 0.15)
    assert _mean_factors(arms, chance[:, 0], 1.0)[3] > 1.05
