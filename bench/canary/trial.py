"""Runs of one cell, all at once."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import beta

from bench.canary.cells import LOOKS, Cell
from bench.canary.rules import NEVER, Minutes, flagger, kayenta, ours
from bench.canary.streams import simulate
from monitor.canary.noise import MIN_MINUTES

ALPHA: Final = 0.01
"""The false rollback rate that our decider promises."""

AT_ONCE: Final = 500
"""Runs whose histories are in memory together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule did in a cell.

    Attributes:
        minutes: Minute of each run's rollback; `NEVER` when there was none.
    """

    minutes: Minutes

    @property
    def runs(self) -> int:
        """How many analyses there were."""
        return len(self.minutes)

    @property
    def rolled_back(self) -> float:
        """Part of the runs that were rolled back."""
        return float((self.minutes < NEVER).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Of that part, 95 % (Clopper and Pearson)."""
        hits = int((self.minutes < NEVER).sum())
        low = beta.ppf(0.025, hits, self.runs - hits + 1) if hits else 0.0
        high = beta.ppf(0.975, hits + 1, self.runs - hits) if hits < self.runs else 1.0
        return float(low), float(high)

    def by(self, part: float) -> int | None:
        """Minute by which that part of all runs was rolled back."""
        minute = int(np.quantile(self.minutes, part, method="inverted_cdf"))
        return minute if minute < NEVER else None


Outcomes = Mapping[str, Outcome]


def run(cell: Cell, *, runs: int, seed: int) -> Outcomes:
    """Try a cell: outcomes by rule."""
    rng = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    parts = [_some(cell, rng, min(AT_ONCE, runs - first)) for first in range(0, runs, AT_ONCE)]
    return {name: Outcome(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def _some(cell: Cell, rng: np.random.Generator, runs: int) -> dict[str, Minutes]:
    unharmed = np.ones(MIN_MINUTES)
    history = [
        simulate(rng, cell.noise, cell.past or cell.load, shape=(runs, MIN_MINUTES), worse=unharmed, both=unharmed)
        for _ in range(cell.metrics)
    ]
    metrics = [
        simulate(
            rng,
            cell.noise,
            cell.load,
            shape=(runs, LOOKS),
            worse=cell.factors(cell.worse if number == 0 else 1.0),
            both=cell.factors(cell.both),
        )
        for number in range(cell.metrics)
    ]
    return {
        "ours": ours(metrics, history, tolerance=cell.tolerance, weights=cell.weights, alpha=ALPHA),
        "Flagger's rule": flagger(metrics[0]),
        "Kayenta's rule": kayenta(metrics[0]),
    }
