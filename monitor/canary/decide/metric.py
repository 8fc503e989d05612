"""One metric of one analysis: its counts to evidence over time, and what the verdict says of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.canary.arms import Arms, Floats, lay_out
from monitor.canary.counts import MetricCounts, MetricKind, MetricPolicy, MetricVerdict, Observation
from monitor.canary.decide.evidence import log_evidence
from monitor.canary.decide.interval import ratio_interval
from monitor.canary.noise import ASSUMED_PHI, tempering

TOLERANCE: Final = 1.10
"""Ratio of the arms that is no harm, unless the policy says otherwise."""

BUSY_TOLERANCE: Final = 1.25
"""The same from `BUSY_N` on: so many requests make differences certain that nobody cares for, as of two nodes."""

BUSY_N: Final = 6000.0
"""Requests of both arms in a minute: 100 a second."""

TRAFFIC_TOLERANCE: Final = 1.5
"""Traffic to pods that are alike is rarely more even."""

ASSUMED_TRAFFIC_PHI: Final = 10.0
"""Connections carry many requests, so they come in bunches; nothing is rolled back by it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric with its evidence.

    Attributes:
        policy: How it is judged.
        arms: Counts on the grid of the analysis, warm-up included.
        path: Logarithm of the evidence after each minute, (minutes,).
        phi: What each minute was tempered with, (minutes,) or (1,).
        tolerance: What it is evidence against.
        threshold: What the logarithm must reach when this metric alone speaks.
    """

    policy: MetricPolicy
    arms: Arms
    path: Floats
    phi: Floats
    tolerance: float
    threshold: float

    @property
    def counted(self) -> Arms:
        """Counts after the warm-up."""
        return self.arms.from_minute(self.policy.warm_up_minutes)

    @property
    def missing(self) -> int:
        """Minutes after the warm-up that are not known."""
        return int((~self.arms.known[self.policy.warm_up_minutes :]).sum())

    @property
    def newest_known(self) -> bool:
        """Whether the newest minute is known, or the warm-up is not over."""
        return len(self.arms.known) <= self.policy.warm_up_minutes or bool(self.arms.known[-1])


def judge_metric(policy: MetricPolicy, observation: Observation, *, threshold: float) -> Judged:
    """Weigh one metric.

    Args:
        policy: How it is judged.
        observation: All counts; those of the metric may be missing.
        threshold: See `Judged`.

    Raises:
        ValueError: The minutes are no minutes of the analysis.
    """
    found = next((one for one in observation.metrics if one.metric == policy.name), MetricCounts(policy.name))
    arms = lay_out(found.minutes, start_ns=observation.start_ns, until_ns=observation.until_ns)
    traffic = policy.kind is MetricKind.TRAFFIC
    base = policy.phi if policy.phi is not None else ASSUMED_TRAFFIC_PHI if traffic else ASSUMED_PHI
    phi = tempering(arms, phi=base, size=policy.phi_size)
    tolerance = policy.tolerance if policy.tolerance is not None else _tolerance(policy, arms)
    path = log_evidence(
        arms, null=tolerance, direction=policy.direction, phi=phi, warm_up_minutes=policy.warm_up_minutes
    )
    return Judged(policy, arms, path, phi, tolerance, threshold)


def _tolerance(policy: MetricPolicy, arms: Arms) -> float:
    """The default, by the first minute that compares the arms: it must not change while evidence is gathered."""
    if policy.kind is MetricKind.TRAFFIC:
        return TRAFFIC_TOLERANCE
    counted = arms.from_minute(policy.warm_up_minutes)
    compared = np.flatnonzero(counted.informative)
    if policy.kind is MetricKind.RATE or not len(compared):
        return TOLERANCE
    busy = counted.stable_n[compared[0]] + counted.canary_n[compared[0]] >= BUSY_N
    return BUSY_TOLERANCE if busy else TOLERANCE


def metric_verdict(judged: Judged) -> MetricVerdict:
    """What the verdict says of a metric."""
    counted = judged.counted
    interval = ratio_interval(
        judged.arms,
        phi=judged.phi,
        log_threshold=judged.threshold,
        warm_up_minutes=judged.policy.warm_up_minutes,
    )
    return MetricVerdict(
        metric=judged.policy.name,
        stable=_quotient(counted.stable_e.sum(), counted.stable_n.sum()),
        canary=_quotient(counted.canary_e.sum(), counted.canary_n.sum()),
        ratio=_ratio(counted),
        ratio_low=interval.low,
        ratio_high=interval.high,
        log_evidence=float(judged.path[-1]) if len(judged.path) else 0.0,
        peak_log_evidence=float(judged.path.max(initial=0.0)),
        threshold=judged.threshold,
        phi=float(judged.phi.max(initial=1.0)),
        tolerance=judged.tolerance,
        minutes=int(counted.informative.sum()),
        missing=judged.missing,
        canary_n=float(counted.canary_n.sum()),
    )


def _ratio(counted: Arms) -> float | None:
    """Canary to stable over minutes whose shares differ (Mantel and Haenszel): drifts of traffic and rate cancel."""
    compared, share = counted.compared(), counted.share
    return _quotient((compared.canary_e * (1.0 - share)).sum(), (compared.stable_e * share).sum())


def _quotient(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole > 0 else None
