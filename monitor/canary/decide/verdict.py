"""All metrics and signals of one look to one verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.canary.arms import Floats
from monitor.canary.counts import (
    MINUTE_NS,
    Decision,
    MetricKind,
    MetricVerdict,
    Observation,
    Policy,
    Reason,
    Verdict,
)
from monitor.canary.decide.atonce import crash_loop, total_outage
from monitor.canary.decide.evidence import log_mean
from monitor.canary.decide.metric import Judged, judge_metric, metric_verdict
from monitor.canary.decide.words import sentence

UNATTRIBUTED_SHARE: Final = 0.01
"""More requests without a release than this may hide what either arm does."""

MISSING_SHARE: Final = 0.1
"""More minutes of an analysis that are not known than this say that its data cannot be relied upon."""

AT_ONCE: Final = frozenset({Reason.CRASH_LOOP, Reason.TOTAL_OUTAGE})
"""Reasons that need no history of noise."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a decision is taken from.

    Attributes:
        policy: How the analysis is judged.
        observation: What was seen.
        judged: The metrics that speak for or against the canary, in the policy's order.
        traffic: Those that say whether the comparison is the planned one.
        path: Logarithm of the evidence of `judged` together after each minute, (minutes,).
        threshold: Where it rolls back.
    """

    policy: Policy
    observation: Observation
    judged: tuple[Judged, ...]
    traffic: tuple[Judged, ...]
    path: Floats
    threshold: float


def decide(policy: Policy, observation: Observation) -> Verdict:
    """Judge a canary by all that is known of it.

    The same policy and observation give the same verdict. A later observation that repeats the minutes of an earlier
    one does not take a rollback back.

    Raises:
        ValueError: The policy has no metric that speaks, or a name twice; minutes do not lie within the analysis.
    """
    weighed = weigh(policy, observation)
    decision, reason = _decide(weighed)
    told = tuple(metric_verdict(one) for one in (*weighed.judged, *weighed.traffic))
    crossed = np.flatnonzero(weighed.path >= weighed.threshold)
    known = all(one.policy.phi is not None for one in weighed.judged)
    return Verdict(
        decision=decision,
        reason=reason,
        message=sentence(reason, told, observation.signals),
        automatic=reason in AT_ONCE or known,
        log_evidence=float(weighed.path[-1]) if len(weighed.path) else 0.0,
        peak_log_evidence=float(weighed.path.max(initial=0.0)),
        threshold=weighed.threshold,
        crossed_ns=observation.start_ns + (int(crossed[0]) + 1) * MINUTE_NS if len(crossed) else None,
        metrics=_in_order(policy, told),
    )


def weigh(policy: Policy, observation: Observation) -> Weighed:
    """Evidence of each metric, and of all that speak together: the weighted mean, valid however they depend.

    Raises:
        ValueError: As `decide`.
    """
    names = [one.name for one in policy.metrics]
    speaking = [one for one in policy.metrics if one.kind is not MetricKind.TRAFFIC]
    if not speaking or len(set(names)) < len(names):
        raise ValueError("a policy needs a metric that is not of traffic, and each name once")
    threshold, whole = -math.log(policy.false_rollback_rate), sum(one.weight for one in speaking)
    log_weights = np.log(np.array([one.weight / whole for one in speaking]))
    judged = tuple(
        judge_metric(one, observation, threshold=threshold - float(log_weight))
        for one, log_weight in zip(speaking, log_weights, strict=True)
    )
    traffic = tuple(
        judge_metric(one, observation, threshold=threshold) for one in policy.metrics if one.kind is MetricKind.TRAFFIC
    )
    path = log_mean(np.stack([one.path for one in judged]), log_weights)
    return Weighed(policy, observation, judged, traffic, path, threshold)


def _decide(weighed: Weighed) -> tuple[Decision, Reason]:
    """What is certain comes first: a canary that harms is rolled back whatever else is unknown."""
    if crash_loop(weighed.observation.signals):
        return Decision.ROLLBACK, Reason.CRASH_LOOP
    if weighed.observation.signals.unattributed_share > UNATTRIBUTED_SHARE:
        return Decision.INCONCLUSIVE, Reason.UNATTRIBUTED
    if harm := _harm(weighed):
        return Decision.ROLLBACK, harm
    if doubt := _doubt(weighed):
        return Decision.INCONCLUSIVE, doubt
    if wait := _wait(weighed):
        return Decision.CONTINUE, wait
    return Decision.PROMOTABLE, Reason.WITHIN_TOLERANCE


def _harm(weighed: Weighed) -> Reason | None:
    """Why the counts say that the canary is to be rolled back.

    They do so also when the traffic is not shared as planned: the test holds for whatever share came, and a canary that
    fails fast draws requests to itself where a router prefers who is idle.
    """
    errors = [one for one in weighed.judged if one.policy.kind is MetricKind.ERROR]
    if any(total_outage(one.arms).any() for one in errors):
        return Reason.TOTAL_OUTAGE
    return Reason.EVIDENCE if np.any(weighed.path >= weighed.threshold) else None


def _doubt(weighed: Weighed) -> Reason | None:
    """Why what was seen cannot speak for the canary."""
    judged = (*weighed.judged, *weighed.traffic)
    if any(not one.newest_known or one.missing > MISSING_SHARE * _length(one) for one in judged):
        return Reason.MISSING_DATA
    if any(np.any(one.path >= one.threshold) for one in weighed.traffic):
        return Reason.TRAFFIC_SHARE
    return None


def _wait(weighed: Weighed) -> Reason | None:
    """Why it is too early to promote."""
    signals = weighed.observation.signals
    if any(_length(one) < weighed.policy.min_minutes for one in weighed.judged):
        return Reason.TOO_EARLY
    if any(one.counted.compared().canary_n.sum() < one.policy.min_requests for one in weighed.judged):
        return Reason.TOO_FEW_REQUESTS
    return Reason.NOT_READY if signals.canary_ready < signals.canary_pods else None


def _length(judged: Judged) -> int:
    return max(0, len(judged.arms.known) - judged.policy.warm_up_minutes)


def _in_order(policy: Policy, told: Sequence[MetricVerdict]) -> tuple[MetricVerdict, ...]:
    by_name = {one.metric: one for one in told}
    return tuple(by_name[one.name] for one in policy.metrics)
