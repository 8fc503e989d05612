"""Quantiles out of buckets lie in the bucket of the true one, and are linear inside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reading import Amount
from monitor.series.quantile import mean, per_second, quantile

EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SECOND = 1_000_000_000


def buckets_of(values: list[float]) -> tuple[int, ...]:
    places = np.searchsorted(np.array(EDGES), values, side="left")
    return tuple(np.bincount(places, minlength=len(EDGES) + 1).tolist())


@given(st.lists(st.floats(0, 60), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], ratio: float) -> None:
    found = quantile(EDGES, buckets_of(values), ratio)
    ordered = sorted(values)
    true = ordered[max(int(np.ceil(ratio * len(values))) - 1, 0)]
    place = int(np.searchsorted(np.array(EDGES), true, side="left"))
    assert found is not None
    if place == len(EDGES):
        assert found == EDGES[-1] < true
    else:
        assert (0.0, *EDGES)[place] <= found <= EDGES[place]


@given(st.lists(st.integers(0, 50), min_size=13, max_size=13), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_ascend_with_their_ratio(buckets: list[int], one: float, other: float) -> None:
    low, high = quantile(EDGES, buckets, min(one, other)), quantile(EDGES, buckets, max(one, other))
    assert (low is None) == (high is None) == (sum(buckets) == 0)
    assert low is None or high is None or low <= high


@pytest.mark.parametrize(
    ("buckets", "ratio", "expected"),
    [
        ((10, 0, 0), 0.5, 0.5),
        ((0, 10, 0), 0.5, 1.5),
        ((5, 5, 0), 0.75, 1.5),
        ((0, 0, 10), 0.5, 2.0),
        ((9, 0, 1), 0.9, 1.0),
        ((0, 4, 0), 0.0, 1.0),
    ],
)
def test_quantiles_are_those_of_prometheus(buckets: tuple[int, ...], ratio: float, expected: float) -> None:
    assert quantile((1.0, 2.0), buckets, ratio) == pytest.approx(expected)


def test_nothing_has_no_quantile_and_no_mean() -> None:
    assert quantile(EDGES, (0,) * 13, 0.5) is None
    assert mean(Amount(0, 0.0)) is None
    assert mean(Amount(4, 6.0)) == 1.5


def test_a_rate_is_what_a_counter_grew_by_in_each_second_of_the_window() -> None:
    assert per_second(Amount(3, 120.0), start_ns=0, stop_ns=60 * SECOND) == 2.0
