"""A short form of `make bench-canary`, and that what is tried there is what decides."""

import numpy as np
import pytest
from scipy.stats import binom

from bench.canary.cells import BUSY, CELLS, IID, LOOKS, OWN, Cell
from bench.canary.rules import NEVER
from bench.canary.silence import decisions, observe
from bench.canary.streams import simulate
from bench.canary.trial import run
from monitor.canary.counts import MINUTE_NS, Decision, Direction, MetricPolicy, Observation, Policy
from monitor.canary.decide import decide
from monitor.canary.decide.atonce import total_outage
from monitor.canary.decide.evidence import log_evidence

RUNS = 300
BY_NAME = {cell.name: cell for cell in CELLS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["same iid", "same own", "same own lasting", "same clusters", "both fail"])
def test_good_canaries_are_left_alone(name: str) -> None:
    rolled_back = int((run(BY_NAME[name], runs=RUNS, seed=2)["ours"].minutes < NEVER).sum())
    assert binom.sf(rolled_back - 1, RUNS, 0.01) > 0.001


@pytest.mark.parametrize(
    "name",
    [
        "double own",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("double iid", "five iid", "five quiet", "double four metrics")
        ),
    ],
)
def test_bad_canaries_are_found_in_time(name: str) -> None:
    cell = BY_NAME[name]
    minutes = run(cell, runs=RUNS, seed=2)["ours"].minutes
    assert binom.cdf((minutes < NEVER).sum(), RUNS, cell.target.least or 0.5) > 0.001
    in_time = int((minutes <= (cell.target.median or LOOKS)).sum())
    assert binom.cdf(in_time, RUNS, 0.5) > 0.001


def test_a_total_outage_is_found_in_two_minutes() -> None:
    assert run(BY_NAME["outage 10/min"], runs=RUNS, seed=2)["ours"].by(1.0) == 2


def test_nothing_is_promoted_on_missing_data() -> None:
    found = decisions(runs=10, seed=2)
    assert found["all minutes"][Decision.PROMOTABLE] >= 8
    assert not any(counted[Decision.PROMOTABLE] for name, counted in found.items() if name != "all minutes")


def test_the_trials_decide_as_the_decider_does_minute_by_minute() -> None:
    rng, runs = np.random.default_rng(4), 2
    unharmed = np.ones(LOOKS)
    counts = simulate(rng, OWN, BUSY, shape=(runs, LOOKS), worse=2.5 * unharmed, both=unharmed)
    path = log_evidence(counts, null=1.0, direction=Direction.INCREASE, phi=1.9)
    over = (path >= np.log(100)) | total_outage(counts)
    policy = Policy((MetricPolicy("errors", phi=1.9, tolerance=1.0, warm_up_minutes=0),))
    for number in range(runs):
        whole = observe(counts, counts.known, number)
        looks = [decide(policy, _until(whole, minute)).decision for minute in range(1, LOOKS + 1)]
        assert looks.index(Decision.ROLLBACK) == int(over[number].argmax())
        assert set(looks[int(over[number].argmax()) :]) == {Decision.ROLLBACK}


def _until(whole: Observation, minute: int) -> Observation:
    (metric,) = whole.metrics
    seen = type(metric)(metric.metric, metric.minutes[:minute])
    return Observation(whole.start_ns, whole.start_ns + minute * MINUTE_NS, (seen,))


def test_a_cell_is_the_same_again() -> None:
    cell = Cell("again", IID, worse=2.0)
    one, other = run(cell, runs=20, seed=1), run(cell, runs=20, seed=1)
    assert all(np.array_equal(one[rule].minutes, other[rule].minutes) for rule in one)
