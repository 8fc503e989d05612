"""What is tried: noise, load and fault by name, with the targets.

Stable has ten times the canary's traffic, half a percent of its requests fail, there are 60 looks, one a minute, the
ratio that is no harm is 1.0 and one metric is judged, where a cell does not say otherwise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.canary.streams import LASTING, Load, Noise
from monitor.canary.arms import Floats

LOOKS: Final = 60

IID: Final = Noise()
SHARED: Final = Noise(shared=0.5)
SHARED_WILD: Final = Noise(shared=1.0)
SHARED_LASTING: Final = Noise(shared=1.0, lasting=LASTING)
OWN: Final = Noise(own=0.5)
OWN_WILD: Final = Noise(own=1.0)
OWN_LASTING: Final = Noise(own=0.5, lasting=LASTING)
OWN_LASTING_WILD: Final = Noise(own=1.0, lasting=LASTING)
CLUSTERS: Final = Noise(cluster=5.0)
BUSY: Final = Load(5.0)
QUIET: Final = Load(0.2)


@dataclass(frozen=True, slots=True)
class Target:
    """What must come out; `None` where nothing is asked.

    Attributes:
        most: Most rollbacks, a part of the runs; the upper end of the interval may be twice that.
        least: Fewest rollbacks, a part of the runs.
        median: Latest median minute of the rollback.
        all_by: Minute by which every run must be rolled back.
    """

    most: float | None = None
    least: float | None = None
    median: int | None = None
    all_by: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One trial.

    Attributes:
        name: Its name.
        noise: How rates vary.
        load: Traffic and errors.
        worse: Ratio of the canary's error rate to stable's, from `since` until `until`.
        both: By what both arms' rates are multiplied in that time.
        since: First minute that is worse, from 0.
        until: After the last one.
        tolerance: r0.
        metrics: How many are judged; only the first is worse. It has half of the weight.
        past: Load in the history; `None` when it is the same.
        target: What must come out.
    """

    name: str
    noise: Noise
    load: Load = BUSY
    worse: float = 1.0
    both: float = 1.0
    since: int = 0
    until: int = LOOKS
    tolerance: float = 1.0
    metrics: int = 1
    past: Load | None = None
    target: Target = Target()

    def factors(self, peak: float) -> Floats:
        """A factor in the minutes of the fault, 1 in the others: (minutes,)."""
        minutes = np.arange(LOOKS)
        return np.where((minutes >= self.since) & (minutes < self.until), peak, 1.0)

    @property
    def weights(self) -> Floats:
        """Of the metrics; their sum is 1."""
        if self.metrics == 1:
            return np.ones(1)
        return np.array([0.5, *[0.5 / (self.metrics - 1)] * (self.metrics - 1)])


FALSE: Final = Target(most=0.01)

CELLS: Final = (
    Cell("same iid", IID, target=FALSE),
    Cell("same shared", SHARED, target=FALSE),
    Cell("same shared wild", SHARED_WILD, target=FALSE),
    Cell("same shared lasting", SHARED_LASTING, target=FALSE),
    Cell("same own", OWN, target=FALSE),
    Cell("same own wild", OWN_WILD, target=FALSE),
    Cell("same own lasting", OWN_LASTING, target=FALSE),
    Cell("same own lasting wild", OWN_LASTING_WILD, target=FALSE),
    Cell("same clusters", CLUSTERS, target=FALSE),
    Cell("same quiet iid", IID, QUIET, target=FALSE),
    Cell("same quiet own wild", OWN_WILD, QUIET, target=FALSE),
    Cell("same quiet own lasting wild", OWN_LASTING_WILD, QUIET, target=FALSE),
    Cell("same quiet clusters", CLUSTERS, QUIET, target=FALSE),
    Cell("same offset 500/s", Noise(offset=0.1), Load(500.0), tolerance=1.25, target=FALSE),
    Cell("same own lasting, past at a third", OWN_LASTING, past=Load(BUSY.canary_per_s / 3), target=FALSE),
    Cell("same four metrics", OWN, metrics=4, target=FALSE),
    Cell("both fail", SHARED, both=100.0, since=20, until=40, target=FALSE),
    Cell("one bad minute", IID, worse=200.0, since=20, until=21, target=Target(most=0.05)),
    Cell("double iid", IID, worse=2.0, target=Target(least=0.97, median=14)),
    Cell("double shared", SHARED, worse=2.0, target=Target(least=0.97, median=14)),
    Cell("double own", OWN, worse=2.0, target=Target(least=0.95, median=22)),
    Cell("double four metrics", OWN, worse=2.0, metrics=4, target=Target(least=0.92, median=28)),
    Cell("double 50/s own wild", OWN_WILD, Load(50.0), worse=2.0),
    Cell("double offset 500/s", Noise(offset=0.1), Load(500.0), worse=2.0, tolerance=1.25),
    Cell("half more iid", IID, worse=1.5),
    Cell("five iid", IID, worse=5.0, target=Target(median=4)),
    Cell("five own", OWN, worse=5.0, target=Target(median=4)),
    Cell("five late", IID, worse=5.0, since=30),
    Cell("five quiet", IID, QUIET, worse=5.0, target=Target(least=0.85, median=33)),
    Cell("five quiet own", OWN, QUIET, worse=5.0, target=Target(least=0.85, median=33)),
    Cell("outage 10/min", IID, Load(10 / 60, steady=True), worse=1e9, target=Target(all_by=2)),
    Cell("outage noisy", OWN_LASTING_WILD, worse=1e9, target=Target(all_by=2)),
)
"""All trials. `same`: the canary is as good as stable, so each rollback is false."""
