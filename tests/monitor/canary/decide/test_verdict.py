"""From counts and signals to one verdict."""

from collections.abc import Callable

import msgspec
import pytest

from monitor.canary.counts import (
    MINUTE_NS,
    Decision,
    Direction,
    MetricKind,
    MetricPolicy,
    Observation,
    Policy,
    Reason,
    Signals,
)
from monitor.canary.decide import decide

Observe = Callable[..., Observation]
GOOD, BAD = (3000, 15, 300, 1.5), (3000, 15, 300, 6)


def test_a_canary_as_good_as_stable_can_be_promoted(observe: Observe, policy: Policy) -> None:
    verdict = decide(policy, observe(("errors", [GOOD] * 30)))
    assert (verdict.decision, verdict.reason) == (Decision.PROMOTABLE, Reason.WITHIN_TOLERANCE)
    (errors,) = verdict.metrics
    assert errors.stable == pytest.approx(0.005)
    assert errors.canary == pytest.approx(0.005)
    assert errors.ratio == pytest.approx(1.0)
    assert errors.ratio_low < 1 < (errors.ratio_high or 0) < 3
    assert verdict.crossed_ns is None
    assert "ratio 1 (" in verdict.message


def test_a_canary_that_fails_more_is_rolled_back_with_all_figures(observe: Observe, policy: Policy) -> None:
    observation = observe(("errors", [GOOD] * 2 + [BAD] * 20))
    verdict = decide(policy, observation)
    assert (verdict.decision, verdict.reason, verdict.automatic) == (Decision.ROLLBACK, Reason.EVIDENCE, True)
    (errors,) = verdict.metrics
    assert verdict.log_evidence == pytest.approx(errors.log_evidence)
    assert verdict.threshold == errors.threshold == pytest.approx(4.605, abs=1e-3)
    assert errors.ratio_low > 1
    assert verdict.crossed_ns is not None
    assert (verdict.crossed_ns - observation.start_ns) % MINUTE_NS == 0
    assert "errors: canary 0.0" in verdict.message


def test_a_rollback_that_was_due_stays_due(observe: Observe, policy: Policy) -> None:
    rows = [BAD] * 12 + [(3000, 60, 300, 0)] * 40
    verdict = decide(policy, observe(("errors", rows)))
    assert verdict.decision is Decision.ROLLBACK
    assert verdict.log_evidence < 0 < verdict.threshold < verdict.peak_log_evidence


def test_the_same_counts_give_the_same_verdict_in_any_order_of_metrics(observe: Observe) -> None:
    metrics = ("errors", [BAD] * 10), ("slow", [GOOD] * 10)
    policy = Policy((MetricPolicy("errors", phi=1.0), MetricPolicy("slow", MetricKind.LATENCY, phi=1.5, weight=2)))
    one, other = decide(policy, observe(*metrics)), decide(policy, observe(*metrics[::-1]))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert [told.metric for told in one.metrics] == ["errors", "slow"]


def test_both_arms_failing_is_no_harm_of_the_canary(observe: Observe, policy: Policy) -> None:
    rows = [GOOD] * 10 + [(3000, 2400, 300, 240)] * 20 + [(3000, 3000, 300, 300)] * 10
    assert decide(policy, observe(("errors", rows))).decision is Decision.PROMOTABLE


def test_figures_are_of_the_time_after_the_warm_up(observe: Observe) -> None:
    policy = Policy((MetricPolicy("errors", phi=1.0, warm_up_minutes=3),))
    verdict = decide(policy, observe(("errors", [(3000, 300, 300, 200)] * 3 + [GOOD] * 20), unknown=[0, 2, 7]))
    (errors,) = verdict.metrics
    assert errors.stable == pytest.approx(0.005)
    assert errors.canary == pytest.approx(0.005)
    assert (errors.minutes, errors.missing, errors.canary_n) == (19, 1, 19 * 300)


def test_the_ratio_is_that_of_the_minutes_whose_shares_of_traffic_differ(observe: Observe, policy: Policy) -> None:
    # Twice as bad in each minute; added up first it would seem better, since most of its traffic came in good minutes.
    rows = [(3000, 300, 30, 6), (300, 1, 3000, 20)] * 15
    (errors,) = decide(policy, observe(("errors", rows))).metrics
    assert errors.stable is not None
    assert errors.canary is not None
    assert errors.canary < errors.stable
    assert errors.ratio == pytest.approx(2.0, abs=0.01)


def test_what_stands_for_a_history_is_told(observe: Observe) -> None:
    traffic = MetricPolicy("traffic", MetricKind.TRAFFIC, Direction.EITHER)
    rate = MetricPolicy("restarts", MetricKind.RATE)
    policy = Policy((MetricPolicy("errors"), rate, traffic))
    verdict = decide(policy, observe(("errors", [GOOD]), ("restarts", [(9e6, 9, 9e6, 9)] * 5), ("traffic", [GOOD])))
    assert [told.phi for told in verdict.metrics] == [2.0, 2.0, 10.0]
    assert [told.tolerance for told in verdict.metrics] == [1.10, 1.10, 1.5]


def test_a_busier_time_than_history_had_tempers_evidence(observe: Observe) -> None:
    def evidence(size: float | None) -> float:
        metric = MetricPolicy("errors", phi=2.0, phi_size=size, tolerance=1.0, warm_up_minutes=0)
        verdict = decide(Policy((metric,)), observe(("errors", [BAD] * 8)))
        assert verdict.metrics[0].phi == pytest.approx(2.0 if size is None else max(2.0, 1 + 3000 / 11 / size))
        return verdict.log_evidence

    assert evidence(3000 / 11) == pytest.approx(evidence(None))
    assert evidence(30_000) == pytest.approx(evidence(None))
    assert evidence(1000 / 11) < evidence(None)


def test_all_requests_slow_for_two_minutes_is_no_outage(observe: Observe) -> None:
    policy = Policy((MetricPolicy("slow", MetricKind.LATENCY, phi=1.0),))
    assert decide(policy, observe(("slow", [(3000, 150, 300, 300)] * 2))).decision is Decision.CONTINUE


def test_without_history_a_person_decides_except_at_once(observe: Observe) -> None:
    policy = Policy((MetricPolicy("errors"),))
    slow = decide(policy, observe(("errors", [GOOD] * 3 + [BAD] * 60)))
    assert (slow.decision, slow.automatic) == (Decision.ROLLBACK, False)
    out = decide(policy, observe(("errors", [GOOD] * 3 + [(3000, 15, 300, 300)] * 2)))
    assert (out.decision, out.reason, out.automatic) == (Decision.ROLLBACK, Reason.TOTAL_OUTAGE, True)
    assert not decide(policy, observe(("errors", [GOOD] * 30))).automatic


def test_a_crash_loop_needs_no_traffic(observe: Observe, policy: Policy) -> None:
    signals = Signals(stable_pods=10, stable_ready=10, canary_pods=1, canary_restarts=4, canary_crash_loops=1)
    verdict = decide(policy, observe(("errors", []), minutes=2, signals=signals))
    assert (verdict.decision, verdict.reason, verdict.automatic) == (Decision.ROLLBACK, Reason.CRASH_LOOP, True)
    assert "4 restarts of 1 canary pods" in verdict.message


@pytest.mark.parametrize("unknown", [range(29, 30), range(10, 14), range(30)], ids=["newest", "some", "all"])
def test_missing_minutes_are_no_zeros_and_promote_nothing(observe: Observe, policy: Policy, unknown: range) -> None:
    verdict = decide(policy, observe(("errors", [GOOD] * 30), unknown=unknown))
    assert (verdict.decision, verdict.reason) == (Decision.INCONCLUSIVE, Reason.MISSING_DATA)
    assert verdict.metrics[0].missing == len(unknown)


def test_a_metric_without_any_counts_is_missing(observe: Observe) -> None:
    policy = Policy((MetricPolicy("errors", phi=1.0), MetricPolicy("slow", MetricKind.LATENCY, phi=1.0)))
    verdict = decide(policy, observe(("errors", [GOOD] * 30)))
    assert verdict.reason is Reason.MISSING_DATA
    assert "slow" in verdict.message


def test_harm_that_was_seen_counts_though_minutes_are_missing(observe: Observe, policy: Policy) -> None:
    assert decide(policy, observe(("errors", [BAD] * 30), unknown=[29])).decision is Decision.ROLLBACK


def test_requests_without_a_release_make_counts_worthless(observe: Observe, policy: Policy) -> None:
    for rows in ([GOOD] * 30, [BAD] * 30, [(3000, 15, 300, 300)] * 30):
        verdict = decide(policy, observe(("errors", rows), signals=Signals(unattributed_share=0.011)))
        assert (verdict.decision, verdict.reason) == (Decision.INCONCLUSIVE, Reason.UNATTRIBUTED)
    assert decide(policy, observe(("errors", [BAD] * 30), signals=Signals(unattributed_share=0.01))).reason is (
        Reason.EVIDENCE
    )


@pytest.mark.parametrize(
    ("rows", "signals", "reason"),
    [
        ([GOOD] * 9, Signals(), Reason.TOO_EARLY),
        ([(3000, 15, 5, 0)] * 19, Signals(), Reason.TOO_FEW_REQUESTS),
        ([(3000, 15, 0, 0)] * 30, Signals(), Reason.TOO_FEW_REQUESTS),
        ([(0, 0, 300, 1)] * 30, Signals(), Reason.TOO_FEW_REQUESTS),
        ([GOOD] * 30, Signals(canary_pods=2, canary_ready=1), Reason.NOT_READY),
        ([], Signals(), Reason.TOO_EARLY),
    ],
    ids=["short", "little traffic", "no traffic", "stable without traffic", "a pod is not ready", "just begun"],
)
def test_what_is_not_enough_to_promote_goes_on(
    observe: Observe, policy: Policy, rows: list[tuple[float, ...]], signals: Signals, reason: Reason
) -> None:
    verdict = decide(policy, observe(("errors", rows), signals=signals))
    assert (verdict.decision, verdict.reason) == (Decision.CONTINUE, reason)


def test_traffic_that_is_not_shared_as_planned_promotes_nothing_and_still_rolls_back(observe: Observe) -> None:
    policy = Policy(
        (
            MetricPolicy("errors", phi=1.0, tolerance=1.0, warm_up_minutes=0),
            MetricPolicy("traffic", MetricKind.TRAFFIC, Direction.EITHER, phi=5.0),
        )
    )
    uneven, even = [(600, 3000, 60, 30)] * 30, [(600, 3000, 60, 310)] * 30
    assert decide(policy, observe(("errors", [GOOD] * 30), ("traffic", even))).decision is Decision.PROMOTABLE
    doubted = decide(policy, observe(("errors", [GOOD] * 30), ("traffic", uneven)))
    assert (doubted.decision, doubted.reason) == (Decision.INCONCLUSIVE, Reason.TRAFFIC_SHARE)
    assert "traffic" in doubted.message
    assert decide(policy, observe(("errors", [BAD] * 30), ("traffic", uneven))).decision is Decision.ROLLBACK


def test_a_metric_of_fewer_is_harmed_by_a_decrease(observe: Observe) -> None:
    policy = Policy((MetricPolicy("jobs", MetricKind.RATE, Direction.DECREASE, phi=1.0, tolerance=1.0),))
    more, fewer = [(600, 600, 60, 90)] * 30, [(600, 600, 60, 20)] * 30
    assert decide(policy, observe(("jobs", more))).decision is Decision.PROMOTABLE
    assert decide(policy, observe(("jobs", fewer))).decision is Decision.ROLLBACK


def test_weak_evidence_of_several_metrics_adds_up_by_their_weights(observe: Observe) -> None:
    def weighed(weight: float) -> Policy:
        return Policy(
            (
                MetricPolicy("errors", phi=1.0, weight=weight, warm_up_minutes=0),
                MetricPolicy("slow", MetricKind.LATENCY, phi=1.0, warm_up_minutes=0),
            )
        )

    rows = ("errors", [BAD] * 6), ("slow", [GOOD] * 6)
    light, heavy = decide(weighed(0.01), observe(*rows)), decide(weighed(100), observe(*rows))
    assert light.log_evidence < heavy.log_evidence
    assert light.metrics[0].threshold > heavy.metrics[0].threshold


@pytest.mark.parametrize(("requests", "expected"), [(5400, 1.10), (5500, 1.25)])
def test_busy_apps_are_allowed_more_by_default(observe: Observe, requests: float, expected: float) -> None:
    policy = Policy((MetricPolicy("errors", phi=1.0),))
    warm_up, later = [(9e9, 0, 9e9, 0)] * 3, [(9e9, 0, 9e9, 0)] * 5
    verdict = decide(policy, observe(("errors", [*warm_up, (requests, 30, 550, 3), *later])))
    assert verdict.metrics[0].tolerance == expected


@pytest.mark.parametrize(
    "metrics", [(), (MetricPolicy("t", MetricKind.TRAFFIC),), (MetricPolicy("e"), MetricPolicy("e"))]
)
def test_a_policy_that_cannot_speak_is_refused(observe: Observe, metrics: tuple[MetricPolicy, ...]) -> None:
    with pytest.raises(ValueError, match="a policy needs"):
        decide(Policy(metrics), observe(("errors", [GOOD])))


def test_minutes_beyond_the_analysis_are_refused(observe: Observe, policy: Policy) -> None:
    with pytest.raises(ValueError, match="is not between"):
        decide(policy, observe(("errors", [GOOD] * 3), minutes=2))


def test_huge_and_fractional_counts_are_judged(observe: Observe, policy: Policy) -> None:
    rows = [(1e9, 1e6, 1e8, 1e5), (0.25, 0.1, 0.5, 0.2), (1e9, 1e9, 1e9, 0)] * 10
    verdict = decide(policy, observe(("errors", rows)))
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=type(verdict)) == verdict
