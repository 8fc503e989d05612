"""Counts of simulated analyses: what both arms did in each minute, under a model of the noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.canary.arms import Arms, Floats

Counts = npt.NDArray[np.int64]

STABLE_TO_CANARY: Final = 10
"""How many times the canary's traffic stable has."""

LASTING: Final = 0.8
"""Correlation of log-rates from one minute to the next, where noise lasts."""

OFFSET_MINUTES: Final = 60
"""For so long pods that differ stay in an arm: an analysis, and the time after which history draws its pods anew."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How the rates of the arms vary beside chance.

    Attributes:
        shared: Standard deviation of the log-rate that both arms have in common.
        own: Standard deviation of each arm's own log-rate.
        offset: Standard deviation of what sets the canary's log-rate apart for a whole analysis.
        lasting: Correlation of log-rates from one minute to the next.
        cluster: Mean number of errors that come together; 1 when each comes alone.
    """

    shared: float = 0.0
    own: float = 0.0
    offset: float = 0.0
    lasting: float = 0.0
    cluster: float = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What an app does without noise.

    Attributes:
        canary_per_s: Requests per second of the canary, on average.
        base: Part of stable's requests that fail.
        steady: Whether each minute has as many requests as the average, in place of a number by chance.
    """

    canary_per_s: float
    base: float = 0.005
    steady: bool = False

    def requests(self, rng: np.random.Generator, shape: tuple[int, int], times: int = 1) -> Counts:
        """Requests of each minute of an arm with so many times the canary's traffic."""
        mean = 60 * self.canary_per_s * times
        return np.full(shape, round(mean)) if self.steady else rng.poisson(mean, shape)


def simulate(
    rng: np.random.Generator, noise: Noise, load: Load, *, shape: tuple[int, int], worse: Floats, both: Floats
) -> Arms:
    """Counts of analyses.

    Args:
        rng: Where chance comes from.
        noise: How rates vary.
        load: Traffic and errors.
        shape: (analyses, minutes).
        worse: By what the canary's rate is multiplied in each minute, (minutes,); rates end at 1.
        both: By what the rates of both arms are multiplied, (minutes,).
    """
    canary_n, stable_n = load.requests(rng, shape), load.requests(rng, shape, STABLE_TO_CANARY)
    common = _log_rate(rng, shape, noise.shared, noise.lasting) + np.log(both)
    stable = common + _log_rate(rng, shape, noise.own, noise.lasting)
    canary = common + _log_rate(rng, shape, noise.own, noise.lasting) + _offset(rng, shape, noise.offset)
    stable_e = _events(rng, stable_n, load.base * np.exp(stable), noise.cluster)
    canary_e = _events(rng, canary_n, load.base * np.exp(canary) * worse, noise.cluster)
    return Arms(stable_n.astype(np.float64), stable_e, canary_n.astype(np.float64), canary_e, np.ones(shape, np.bool_))


def _log_rate(rng: np.random.Generator, shape: tuple[int, int], deviation: float, lasting: float) -> Floats:
    """Logarithms of factors whose mean is 1."""
    if not deviation:
        return np.zeros(shape)
    steps = rng.standard_normal(shape)
    for minute in range(1, shape[1] if lasting else 0):
        steps[:, minute] = lasting * steps[:, minute - 1] + np.sqrt(1 - lasting**2) * steps[:, minute]
    return deviation * steps - deviation**2 / 2


def _offset(rng: np.random.Generator, shape: tuple[int, int], deviation: float) -> Floats:
    spans = deviation * rng.standard_normal((shape[0], -(-shape[1] // OFFSET_MINUTES)))
    offsets: Floats = np.repeat(spans, OFFSET_MINUTES, axis=1)[:, : shape[1]]
    return offsets


def _events(rng: np.random.Generator, n: Counts, rate: Floats, cluster: float) -> Floats:
    """How many of n fail; in clusters of a geometric size when they do not come alone."""
    if cluster == 1.0:
        return np.asarray(rng.binomial(n, np.minimum(rate, 1.0)), np.float64)
    clusters = rng.poisson(n * rate / cluster)
    more = rng.negative_binomial(np.maximum(clusters, 1), 1.0 / cluster)
    return np.asarray(np.minimum(np.where(clusters > 0, clusters + more, 0), n), np.float64)
