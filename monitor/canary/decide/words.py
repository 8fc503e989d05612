"""A verdict in a sentence, with the figures that it was decided by."""

from collections.abc import Sequence

from monitor.canary.counts import MetricVerdict, Reason, Signals


def sentence(reason: Reason, metrics: Sequence[MetricVerdict], signals: Signals) -> str:
    """Say why.

    Args:
        reason: Of the decision.
        metrics: What each metric says, at least one.
        signals: What is known beside the counts.
    """
    loudest = max(metrics, key=lambda one: one.peak_log_evidence - one.threshold)
    missing = max(metrics, key=lambda one: one.missing)
    fewest = min(metrics, key=lambda one: one.canary_n)
    said = {
        Reason.EVIDENCE: f"{_compared(loudest)}; evidence {loudest.peak_log_evidence:.1f}, "
        f"alone enough at {loudest.threshold:.1f}",
        Reason.TOTAL_OUTAGE: "nearly all requests to the canary failed for two minutes, and those to stable did not",
        Reason.CRASH_LOOP: f"{signals.canary_restarts} restarts of {signals.canary_pods} canary pods, "
        f"{signals.canary_crash_loops} waiting after a crash; "
        f"{signals.stable_restarts} restarts of {signals.stable_pods} stable pods",
        Reason.TOO_EARLY: f"{_minutes(loudest.minutes)} seen so far, nothing against the canary",
        Reason.TOO_FEW_REQUESTS: f"{fewest.metric}: the canary had {fewest.canary_n:g} so far, "
        "too few to promote; nothing against it",
        Reason.NOT_READY: f"{signals.canary_ready} of {signals.canary_pods} canary pods are ready",
        Reason.WITHIN_TOLERANCE: f"{_compared(loudest)}; nothing against the canary",
        Reason.MISSING_DATA: f"{missing.metric}: {_minutes(missing.missing)} not known",
        Reason.UNATTRIBUTED: f"{signals.unattributed_share:.1%} of the requests belong to no known release",
        Reason.TRAFFIC_SHARE: f"the arms are not given the traffic that was planned: {_compared(loudest)}",
    }
    return said[reason]


def _compared(metric: MetricVerdict) -> str:
    """Both values and the ratio: `errors: canary 1.02% to stable 0.51%, ratio 2.0 (1.3 to 4.1)`."""
    high = "any" if metric.ratio_high is None else f"{metric.ratio_high:.3g}"
    ratio = "unknown" if metric.ratio is None else f"{metric.ratio:.3g}"
    return (
        f"{metric.metric}: canary {_value(metric.canary)} to stable {_value(metric.stable)}, "
        f"ratio {ratio} ({metric.ratio_low:.3g} to {high})"
    )


def _value(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _minutes(count: int) -> str:
    return "1 minute" if count == 1 else f"{count} minutes"
