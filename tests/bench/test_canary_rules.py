"""The rules that trials run beside ours do what their descriptions say, so that they are not beaten unfairly."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from bench.canary.rules import KAYENTA_TOLERANCE, NEVER, _is_high, flagger, kayenta
from monitor.canary.arms import Arms, Floats


def _arms(stable: Floats, canary: Floats, *, canary_n: float = 300.0) -> Arms:
    """Error ratios of one analysis as counts."""
    ones = np.ones((1, len(stable)))
    return Arms(3000 * ones, 3000 * stable[None], canary_n * ones, canary_n * canary[None], ones > 0)


def test_flaggers_rule_goes_back_at_the_fifth_minute_below_99_percent() -> None:
    canary = np.array([0.02, 0.0, 0.011, 0.02, 0.01, 0.02, 0.02, 0.02])
    assert flagger(_arms(np.zeros(8), canary)).tolist() == [7]
    assert flagger(_arms(np.zeros(8), np.minimum(canary, 0.01))).tolist() == [NEVER]
    assert flagger(_arms(np.zeros(8), canary, canary_n=0.0)).tolist() == [NEVER]


@pytest.mark.parametrize("seed", range(20))
def test_the_judge_is_a_mann_whitney_test_of_a_shift_beyond_a_quarter_of_its_estimate(seed: int) -> None:
    rng, minutes = np.random.default_rng(seed), 25
    stable = rng.normal(0.1, 0.01, minutes)
    canary = rng.normal(0.1 + 0.002 * (seed % 10), 0.01, minutes)
    estimate = np.median(canary[:, None] - stable[None, :])
    shifted = canary - KAYENTA_TOLERANCE * abs(estimate)
    p_value = mannwhitneyu(shifted, stable, alternative="greater", method="asymptotic").pvalue
    (high,) = _is_high(canary[None], stable[None])
    # One pair of minutes decides near the edge.
    assert p_value < 0.0115 if high else p_value > 0.0085


def test_the_judge_passes_what_is_identical_or_has_no_errors() -> None:
    same = np.linspace(0.0, 0.02, 60)
    assert kayenta(_arms(same, same)).tolist() == [NEVER]
    sparse = np.where(np.arange(60) % 6 == 0, 0.08, 0.0)
    assert kayenta(_arms(np.full(60, 0.0), sparse)).tolist() == [NEVER]
