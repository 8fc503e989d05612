"""Shards as metrics, at a scrape: what rules made of lines, and what the monitor says of itself.

Every series that goes with a shard has the label `shard`, and continues at whoever takes the shard over.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from monitor.metric import STANDING, Kind, LabelSet
from monitor.metric import Metric as Definition
from monitor.scraping.shown import Shown, own_families
from monitor.series.totals import Totals, Trace

_NS: Final = 1_000_000_000

_ENDINGS: Final = ("", "_total", "_bucket", "_sum", "_count", "_created", "_info")
"""What the names of a metric's samples end with."""

_FAMILIES: Final = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


class ShardsCollector(Collector):
    """Shards, and before them what a registry holds.

    Args:
        registry: What goes with this process.
        shards: The shards.
        now_ns: Nanoseconds since the epoch; says how old a watermark is.
    """

    def __init__(
        self, registry: CollectorRegistry, shards: Sequence[Shown], *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._registry = registry
        self._shards = shards
        self._now_ns = now_ns

    def collect(self) -> Iterator[Metric]:
        """See `Collector`. A metric of a rule whose name another one has already is left out, and counted."""
        taken: set[str] = set()
        for family in (*self._registry.collect(), *own_families(self._shards, self._now_ns())):
            taken.update(family.name + ending for ending in _ENDINGS)
            yield family
        hidden = 0
        for name, parts in _by_name(self._shards):
            kind = parts[0][1].metric.kind
            fitting = [part for part in parts if part[1].metric.kind is kind]
            names = {name + ending for ending in _ENDINGS}
            if names & taken:
                fitting = []
            hidden += len({part[1].metric for part in parts} - {part[1].metric for part in fitting})
            if fitting:
                taken |= names
                yield _family(fitting)
        yield GaugeMetricFamily(
            "monitor_unshown_metrics", "Metrics of rules that have the name of another one, and are left out.", hidden
        )


def _by_name(shards: Iterable[Shown]) -> Iterable[tuple[str, list[tuple[int, Totals]]]]:
    """The totals of all shards by name: apps' own rules may define a name in several ways."""
    found: dict[str, list[tuple[int, Totals]]] = {}
    for shown in shards:
        for totals in shown.totals:
            found.setdefault(totals.metric.name, []).append((shown.shard, totals))
    return sorted(found.items(), key=itemgetter(0))


def _family(parts: Sequence[tuple[int, Totals]]) -> Metric:
    first = parts[0][1].metric
    family: Metric = _FAMILIES[first.kind](first.name, first.help or first.name)
    add = _add_histogram if first.kind is Kind.HISTOGRAM else _add_number
    for shard, totals in parts:
        for place, label_set in enumerate(totals.sets):
            add(family.samples, _labels(totals.metric, label_set, shard), totals, place)
    return family


def _labels(definition: Definition, of: LabelSet, shard: int) -> dict[str, str]:
    standing = (of.namespace, of.app, of.process, of.release)
    return (
        dict(zip(definition.labels, of.labels, strict=True))
        | dict(zip(STANDING, standing, strict=True))
        | {"shard": str(shard)}
    )


def _add_number(samples: list[Sample], labels: dict[str, str], totals: Totals, place: int) -> None:
    """One sample of a counter or a gauge; only a counter can have an exemplar."""
    is_counter = totals.metric.kind is Kind.COUNTER
    name = totals.metric.name + ("_total" if is_counter else "")
    trace = totals.traces.get(place) if is_counter else None
    samples.append(Sample(name, labels, float(totals.total[place]), None, _exemplar(trace)))


def _add_histogram(samples: list[Sample], labels: dict[str, str], totals: Totals, place: int) -> None:
    name, trace, below = totals.metric.name, totals.traces.get(place), 0
    edges = (*totals.metric.edges, float("inf"))
    marked = None if trace is None else next(edge for edge in edges if trace.value <= edge)
    for edge, count in zip(edges, totals.buckets[place].tolist(), strict=True):
        below += count
        exemplar = _exemplar(trace) if edge == marked else None
        samples.append(Sample(f"{name}_bucket", labels | {"le": _told(edge)}, below, None, exemplar))
    samples.append(Sample(f"{name}_count", labels, int(totals.count[place])))
    samples.append(Sample(f"{name}_sum", labels, float(totals.total[place])))


def _told(edge: float) -> str:
    told: str = floatToGoString(edge)  # type: ignore[no-untyped-call]
    return told


def _exemplar(trace: Trace | None) -> Exemplar | None:
    if trace is None:
        return None
    return Exemplar({"trace_id": trace.trace_id}, trace.value, trace.time_ns / _NS)
