"""What the judge says of canaries as metrics: how each stands now, and how analyses ended.

Only who judges shows them, so of several monitors one does. A canary that is gone is shown no more.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor.canary.resource.canary import Canary
from monitor.canary.resource.status import DECIDED, CanaryStatus, Phase

SHOWN: Final = 1000
"""Most canaries that have series of their own; the first by path."""

_OTHERS: Final = ("", "")
"""Namespace and name under which those beyond it are counted."""

_DECISIONS: Final = {
    Phase.PROMOTED: "promote",
    Phase.ROLLED_BACK: "rollback",
    Phase.CONFLICT: "conflict",
    Phase.INCONCLUSIVE: "inconclusive",
}
_WOULD: Final = {"WouldPromote": "would-promote", "WouldRollBack": "would-rollback"}

Source = Callable[[], Iterable[Canary]]


class CanaryMetrics(Collector):
    """See the module.

    Args:
        registry: For the metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._source: Source | None = None
        self._counted: set[tuple[str, str]] = set()
        self._decisions = Counter(
            "monitor_canary_decisions",
            "Analyses that ended, by how.",
            ["namespace", "name", "decision"],
            registry=registry,
        )
        registry.register(self)

    @contextmanager
    def showing(self, source: Source) -> Iterator[None]:
        """Show those of `source` inside the block."""
        self._source = source
        try:
            yield
        finally:
            self._source = None

    def moved(self, canary: Canary, after: CanaryStatus) -> None:
        """Count the end of an analysis, if a step was one."""
        if after.phase == canary.status.phase or after.phase not in DECIDED:
            return
        known = (canary.namespace, canary.name)
        if known not in self._counted and len(self._counted) >= SHOWN:
            self._forget()
        if known in self._counted or len(self._counted) < SHOWN:
            self._counted.add(known)
        else:
            known = _OTHERS
        self._decisions.labels(*known, decision_of(after)).inc()

    def _forget(self) -> None:
        """Let go of the counts of canaries that are gone."""
        there = {(canary.namespace, canary.name) for canary in self._source()} if self._source is not None else set()
        for namespace, name in self._counted - there:
            for decision in (*_DECISIONS.values(), *_WOULD.values()):
                self._decisions.remove(namespace, name, decision)
        self._counted &= there

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Names, for the registry."""
        return _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """How each stands."""
        status, evidence, count = _families()
        canaries = sorted(self._source(), key=lambda canary: canary.path) if self._source is not None else []
        for canary in canaries[:SHOWN]:
            known = (canary.namespace, canary.name)
            status.add_metric([*known, canary.status.phase.value], 1.0)
            for each in canary.status.evidence:
                evidence.add_metric([*known, each.metric], each.log_e)
        if self._source is not None:
            count.add_metric([], len(canaries))
        yield from (status, evidence, count)


def decision_of(status: CanaryStatus) -> str:
    """How an analysis ended, in the words of the metric."""
    decision = _DECISIONS[status.phase]
    return _WOULD.get(status.reason, decision) if status.phase == Phase.INCONCLUSIVE else decision


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    labels = ["namespace", "name"]
    return (
        GaugeMetricFamily("monitor_canary_status", "1 for the phase that it is in.", labels=[*labels, "phase"]),
        GaugeMetricFamily(
            "monitor_canary_log_evidence",
            "Logarithm of a metric's evidence against the canary, at its newest minute.",
            labels=[*labels, "metric"],
        ),
        GaugeMetricFamily("monitor_canary_resources", "Canaries that are there, also beyond those shown.", labels=[]),
    )
