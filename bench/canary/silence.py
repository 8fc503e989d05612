"""What the whole decider says of good canaries whose data is missing in places: nothing may be promoted."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from bench.canary.cells import BUSY, IID, LOOKS
from bench.canary.streams import simulate
from monitor.canary.arms import Arms, Bools
from monitor.canary.counts import (
    MINUTE_NS,
    Decision,
    MetricCounts,
    MetricPolicy,
    Minute,
    Observation,
    Policy,
)
from monitor.canary.decide import decide

POLICY: Final = Policy((MetricPolicy("errors", phi=1.0, tolerance=1.0, warm_up_minutes=0),))


def decisions(*, runs: int, seed: int) -> Mapping[str, Counter[Decision]]:
    """Decisions on the same good canaries, with all minutes, without the newest ones, and without one in five."""
    rng = np.random.default_rng([seed, 5])
    unharmed = np.ones(LOOKS)
    counts = simulate(rng, IID, BUSY, shape=(runs, LOOKS), worse=unharmed, both=unharmed)
    shape, minutes = (runs, LOOKS), np.arange(LOOKS)
    known: dict[str, Bools] = {
        "all minutes": np.ones(shape, np.bool_),
        "newest missing": minutes < LOOKS - rng.integers(1, LOOKS, (runs, 1)),
        "one in five missing": rng.permuted(np.broadcast_to(minutes >= LOOKS // 5, shape), axis=1),
    }
    return {
        name: Counter(decide(POLICY, observe(counts, which, run)).decision for run in range(runs))
        for name, which in known.items()
    }


def observe(counts: Arms, known: Bools, run: int) -> Observation:
    """One of the analyses as the controller sees it."""
    minutes = tuple(
        Minute(
            int(number) * MINUTE_NS,
            float(counts.stable_n[run, number]),
            float(counts.stable_e[run, number]),
            float(counts.canary_n[run, number]),
            float(counts.canary_e[run, number]),
        )
        for number in np.flatnonzero(known[run])
    )
    return Observation(0, known.shape[1] * MINUTE_NS, (MetricCounts("errors", minutes),))
