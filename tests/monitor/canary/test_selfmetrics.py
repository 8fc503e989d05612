"""Canaries as metrics stay bounded, whatever comes and goes."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from monitor.canary.resource.canary import Canary, canary_of
from monitor.canary.resource.status import CanaryStatus, Phase
from monitor.canary.selfmetrics import SHOWN, CanaryMetrics, decision_of


def canary(name: str, phase: Phase = Phase.PROGRESSING) -> Canary:
    facts = {"namespace": "shop", "name": name, "uid": "1", "resourceVersion": "1"}
    made = canary_of({"metadata": facts, "spec": {"targetRef": {"name": "web"}}})
    return replace(made, status=CanaryStatus(phase=phase))


def test_more_canaries_than_are_shown_are_counted_together_until_others_are_gone() -> None:
    registry = CollectorRegistry()
    metrics = CanaryMetrics(registry)
    there = [canary(f"c{number:05d}") for number in range(SHOWN + 5)]
    with metrics.showing(lambda: there):
        for each in there:
            metrics.moved(each, CanaryStatus(phase=Phase.PROMOTED))
        together = {"namespace": "", "name": "", "decision": "promote"}
        assert registry.get_sample_value("monitor_canary_decisions_total", together) == 5
        assert registry.get_sample_value("monitor_canary_resources") == SHOWN + 5
        assert generate_latest(registry).count(b"monitor_canary_status{") == SHOWN
        del there[:10]
        metrics.moved(canary("new"), CanaryStatus(phase=Phase.ROLLED_BACK))
        new = {"namespace": "shop", "name": "new", "decision": "rollback"}
        gone = {"namespace": "shop", "name": "c00000", "decision": "promote"}
        assert registry.get_sample_value("monitor_canary_decisions_total", new) == 1
        assert registry.get_sample_value("monitor_canary_decisions_total", gone) is None


def test_only_the_end_of_an_analysis_is_counted() -> None:
    registry = CollectorRegistry()
    metrics = CanaryMetrics(registry)
    for before, after in (
        (Phase.IDLE, Phase.PROGRESSING),
        (Phase.PROGRESSING, Phase.PROMOTING),
        (Phase.PROMOTED, Phase.PROMOTED),
    ):
        metrics.moved(canary("web", before), CanaryStatus(phase=after))
    assert b"monitor_canary_decisions_total{" not in generate_latest(registry)


def test_what_would_have_been_done_is_told_from_what_was() -> None:
    assert decision_of(CanaryStatus(phase=Phase.INCONCLUSIVE, reason="WouldPromote")) == "would-promote"
    assert decision_of(CanaryStatus(phase=Phase.INCONCLUSIVE, reason="WouldRollBack")) == "would-rollback"
    assert decision_of(CanaryStatus(phase=Phase.INCONCLUSIVE, reason="TimeOver")) == "inconclusive"
    assert decision_of(CanaryStatus(phase=Phase.CONFLICT, reason="WouldPromote")) == "conflict"
