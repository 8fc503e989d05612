"""Counts to judge."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest

from monitor.canary.arms import Arms
from monitor.canary.counts import (
    MINUTE_NS,
    MetricCounts,
    MetricPolicy,
    Minute,
    Observation,
    Policy,
    Signals,
)

START_NS = 28_000_000 * MINUTE_NS
Row = tuple[float, float, float, float]


def _arms(rows: Sequence[Row]) -> Arms:
    stable_n, stable_e, canary_n, canary_e = np.array(rows, np.float64).reshape(len(rows), 4).T
    return Arms(stable_n, stable_e, canary_n, canary_e, np.ones(len(rows), np.bool_))


def _observe(
    *metrics: tuple[str, Sequence[Row]],
    minutes: int | None = None,
    unknown: Iterable[int] = (),
    signals: Signals | None = None,
) -> Observation:
    left_out = set(unknown)
    length = minutes if minutes is not None else max(len(rows) for _, rows in metrics)
    counts = tuple(
        MetricCounts(
            name,
            tuple(
                Minute(START_NS + number * MINUTE_NS, *row) for number, row in enumerate(rows) if number not in left_out
            ),
        )
        for name, rows in metrics
    )
    return Observation(START_NS, START_NS + length * MINUTE_NS, counts, signals or Signals())


@pytest.fixture(scope="session")
def arms() -> Callable[[Sequence[Row]], Arms]:
    """Rows of (stable_n, stable_e, canary_n, canary_e), one a minute, as arrays."""
    return _arms


@pytest.fixture(scope="session")
def observe() -> Callable[..., Observation]:
    """Metrics' rows as an observation: `observe(("errors", rows), minutes=60, unknown=[3], signals=...)`."""
    return _observe


@pytest.fixture(scope="session")
def policy() -> Policy:
    """One metric of errors with a history, no warm-up."""
    return Policy((MetricPolicy("errors", phi=1.0, tolerance=1.0, warm_up_minutes=0),))
