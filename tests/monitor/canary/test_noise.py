"""Over-dispersion from history."""

import numpy as np
import pytest

from monitor.canary.arms import Arms, Floats
from monitor.canary.counts import MINUTE_NS, Minute
from monitor.canary.noise import ASSUMED_PHI, MIN_MINUTES, dispersion, noise, tempering


def _histories(
    runs: int, minutes: int = MIN_MINUTES, *, spread: float = 0.0, lasting: float = 0.0, times: int = 1
) -> Arms:
    """A/A history: each arm's rate varies by itself, log-normally, lasting from minute to minute."""
    rng = np.random.default_rng(7)

    def rates() -> Floats:
        steps = rng.standard_normal((runs, minutes))
        for minute in range(1, minutes):
            steps[:, minute] = lasting * steps[:, minute - 1] + np.sqrt(1 - lasting**2) * steps[:, minute]
        return np.asarray(0.005 * np.exp(spread * steps - spread**2 / 2))

    stable_n, canary_n = rng.poisson(3000 * times, (runs, minutes)), rng.poisson(300 * times, (runs, minutes))
    counts = stable_n, rng.binomial(stable_n, rates()), canary_n, rng.binomial(canary_n, rates())
    s_n, s_e, c_n, c_e = (one.astype(np.float64) for one in counts)
    return Arms(s_n, s_e, c_n, c_e, np.ones((runs, minutes), np.bool_))


def test_independent_errors_have_a_factor_near_one() -> None:
    found = dispersion(_histories(100))
    assert np.all(found.phi >= 1)
    assert np.median(found.phi) < 1.15
    np.testing.assert_allclose(found.factors.mean(axis=0), 1.0, atol=0.06)


def test_the_error_of_a_factor_is_how_far_it_is_off() -> None:
    found = dispersion(_histories(300))
    off = found.factors.std(axis=0)
    np.testing.assert_allclose(off[:3], found.errors.mean(axis=0)[:3], rtol=0.15)


def test_a_factor_counts_with_its_error() -> None:
    found = dispersion(_histories(50, spread=0.5))
    assert np.all(found.phi >= found.factors[:, 0] + found.errors[:, 0])


def test_noise_of_one_arm_has_the_factor_that_it_has() -> None:
    # V = w (1-w) k = 1.36; noise adds ((1-w)^2 1.5^2 + w^2 15^2) (e^0.25 - 1) = 1.06: f = 1.78.
    phi = dispersion(_histories(50, spread=0.5)).phi
    assert 1.7 < np.median(phi) < 2.1


def test_noise_that_lasts_has_the_factor_of_longer_blocks() -> None:
    found = dispersion(_histories(50, spread=0.5, lasting=0.8))
    one, half_hour = np.median(found.factors[:, 0]), np.median(found.factors[:, -1])
    assert half_hour > 3 * one
    assert np.median(found.phi) >= half_hour


def test_minutes_that_compare_more_than_history_did_are_tempered_more_and_no_others_less() -> None:
    n = np.array([30.0, 300.0, 900.0, 0.0])
    arms = Arms(10 * n, 0 * n, n, 0 * n, np.ones(4, np.bool_))
    assert arms.size.tolist() == pytest.approx([300 / 11, 3000 / 11, 9000 / 11, 0])
    assert tempering(arms, phi=2.0, size=3000 / 11).tolist() == pytest.approx([2, 2, 4, 2])
    assert tempering(arms, phi=1.0, size=1.0).tolist() == [1, 1, 1, 1]
    assert tempering(arms, phi=2.0, size=None).tolist() == [2]


def test_the_factor_of_own_noise_at_three_times_the_traffic_is_what_tempering_makes_of_it() -> None:
    quiet, busy = _histories(50, spread=0.5), _histories(50, spread=0.5, times=3)
    foreseen = tempering(busy, phi=dispersion(quiet).factors[:, 0], size=dispersion(quiet).size)
    assert np.median(foreseen) == pytest.approx(np.median(dispersion(busy).factors[:, 0]), rel=0.1)


def test_a_short_history_is_none() -> None:
    minutes = [Minute(number * MINUTE_NS, 100, 1, 10, 0) for number in range(MIN_MINUTES)]
    assert noise(minutes[1:]) is None
    found = noise(minutes)
    assert found is not None
    assert found.minutes == MIN_MINUTES


def test_a_history_without_errors_does_not_say_that_they_are_independent() -> None:
    found = noise([Minute(n * MINUTE_NS, 100, 0, 10, 0) for n in range(MIN_MINUTES)])
    assert found is not None
    assert found.phi == pytest.approx(ASSUMED_PHI)


def test_missing_minutes_are_passed_over() -> None:
    minutes = [Minute(n * MINUTE_NS, 100, n % 3, 10, n % 2) for n in range(MIN_MINUTES)]
    apart = [*minutes[:300], *(Minute(m.start_ns + 10**6 * MINUTE_NS, *list(_values(m))) for m in minutes[300:])]
    assert noise(minutes) == noise(apart)


def _values(minute: Minute) -> tuple[float, float, float, float]:
    return minute.stable_n, minute.stable_e, minute.canary_n, minute.canary_e


def test_minutes_in_disorder_are_refused() -> None:
    minutes = [Minute(n * MINUTE_NS, 100, 1, 10, 0) for n in range(MIN_MINUTES)]
    with pytest.raises(ValueError, match="ascend"):
        noise(minutes[::-1])
    with pytest.raises(ValueError, match="multiple"):
        noise([*minutes, Minute(MIN_MINUTES * MINUTE_NS + 1, 1, 0, 1, 0)])
