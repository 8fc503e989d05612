"""The interval of the ratio is what the evidence excludes."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from monitor.canary.arms import Arms
from monitor.canary.counts import Direction
from monitor.canary.decide.evidence import log_evidence
from monitor.canary.decide.interval import ratio_interval

Row = tuple[float, float, float, float]
MakeArms = Callable[[Sequence[Row]], Arms]
THRESHOLD = float(np.log(100))


@pytest.mark.parametrize("phi", [1.0, 2.5])
@pytest.mark.parametrize("warm_up", [0, 3])
def test_at_each_bound_the_evidence_is_at_the_threshold(arms: MakeArms, phi: float, warm_up: int) -> None:
    counts = arms([(3000, 20 + minute % 5, 300, 3 + minute % 3) for minute in range(45)])
    found = ratio_interval(counts, phi=np.array([phi]), log_threshold=THRESHOLD, warm_up_minutes=warm_up)
    assert found.high is not None
    assert 1 < found.low < 1.9 < found.high
    low = log_evidence(counts, null=found.low, direction=Direction.INCREASE, phi=phi, warm_up_minutes=warm_up)
    high = log_evidence(counts, null=1 / found.high, direction=Direction.DECREASE, phi=phi, warm_up_minutes=warm_up)
    assert low[-1] == pytest.approx(THRESHOLD, abs=0.02)
    assert high[-1] == pytest.approx(THRESHOLD, abs=0.02)


@pytest.mark.parametrize("warm_up", [0, 3])
def test_its_onsets_are_those_of_the_evidence(arms: MakeArms, warm_up: int) -> None:
    counts = arms([(3000, 30, 300, 0)] * (20 + warm_up) + [(3000, 30, 300, 12)] * 12)
    found = ratio_interval(counts, phi=np.ones(1), log_threshold=THRESHOLD, warm_up_minutes=warm_up)
    low = log_evidence(counts, null=found.low, direction=Direction.INCREASE, warm_up_minutes=warm_up)
    assert low[-1] == pytest.approx(THRESHOLD, abs=0.05)


def test_it_narrows_with_more_minutes_and_widens_with_noise(arms: MakeArms) -> None:
    def width(minutes: int, phi: float) -> float:
        found = ratio_interval(arms([(3000, 15, 300, 2)] * minutes), phi=np.array([phi]), log_threshold=THRESHOLD)
        assert found.high is not None
        return np.log(found.high / found.low)

    assert width(200, 1.0) < width(60, 1.0) < width(60, 2.0)


@pytest.mark.parametrize(
    "rows", [[], [(0, 0, 0, 0)] * 5, [(100, 0, 10, 0)] * 60], ids=["no minute", "zeros", "no error"]
)
def test_without_errors_nothing_is_excluded(arms: MakeArms, rows: list[Row]) -> None:
    found = ratio_interval(arms(rows), phi=np.ones(1), log_threshold=THRESHOLD)
    assert (found.low, found.high) == (0.0, None)


def test_errors_of_stable_alone_bound_the_ratio_from_above_only(arms: MakeArms) -> None:
    found = ratio_interval(arms([(300, 5, 300, 0)] * 30), phi=np.ones(1), log_threshold=THRESHOLD)
    assert found.low == 0.0
    assert found.high is not None
    assert found.high < 0.2


def test_it_holds_the_true_ratio_nearly_always() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        stable_n, canary_n = rng.poisson(3000, 40), rng.poisson(300, 40)
        stable_e, canary_e = rng.binomial(stable_n, 0.005), rng.binomial(canary_n, 0.0075)
        counts = Arms(
            *(one.astype(np.float64) for one in (stable_n, stable_e, canary_n, canary_e)), np.ones(40, np.bool_)
        )
        found = ratio_interval(counts, phi=np.ones(1), log_threshold=THRESHOLD)
        held += found.low <= 1.5 <= (found.high or np.inf)
    assert held >= 97
