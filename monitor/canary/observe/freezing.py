"""By what an analysis judges, found out before it begins and fixed then."""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from monitor.canary.counts import MINUTE_NS, MetricKind, MetricPolicy, Policy
from monitor.canary.noise import Noise
from monitor.canary.observe import asking
from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.history import History
from monitor.canary.observe.rows import floor_minute
from monitor.canary.resource.duration import length_of
from monitor.canary.resource.spec import Attribution, CanarySpec, MetricSpec, Source
from monitor.canary.resource.status import Frozen, Limit
from monitor.reading import Answer, Reader

LOOK_MINUTES: Final = 10
"""How far back is looked for who tells the releases apart: windows reach back a quarter of an hour."""

PROMQL: Final = "promQL"
_QUANTILE: Final = 0.95
_LEAST: Final = 20
"""Durations from which their p95 is told."""

_MOST_MINUTES: Final = 10
_KINDS: Final = {
    Source.ERRORS: MetricKind.ERROR,
    Source.LATENCY: MetricKind.LATENCY,
    Source.ERROR_LINES: MetricKind.RATE,
    Source.TRAFFIC: MetricKind.TRAFFIC,
}
_ORDER: Final = (Attribution.UPSTREAM, Attribution.POD_LINES)


async def freeze(
    spec: CanarySpec, names: ArmNames, reader: Reader, *, read_history: Callable[[], Awaitable[History]]
) -> Frozen | None:
    """What an analysis that begins now judges by; `None` when nothing tells which release served a request.

    Args:
        spec: See there.
        names: Of the arms; their attribution is looked for unless the spec says it.
        reader: Says what there was.
        read_history: Reads the noise of the stable release, once it is needed.

    Raises:
        IncompleteError: What there was is not known as a whole.
    """
    stop_ns = floor_minute(await reader.watermark_ns())
    start_ns = stop_ns - LOOK_MINUTES * MINUTE_NS
    attribution = await attribution_of(spec, names, reader, (start_ns, stop_ns))
    if attribution is None:
        return None
    found = ArmNames(names.namespace, names.app, names.process, names.stable, names.canary, attribution)
    durations = await reader.ask(asking.durations(found, start_ns, stop_ns))
    metrics = spec.metrics or default_metrics(durations, found.stable)
    limits = tuple(
        Limit(metric.name, limit_of(metric, durations, found.stable))
        for metric in metrics
        if metric.source == Source.LATENCY
    )
    history = await read_history()
    slow = {limit.metric: limit.seconds for limit in limits}
    policy = Policy(
        metrics=tuple(policy_of(metric, history.noise(metric.source, slow.get(metric.name))) for metric in metrics),
        false_rollback_rate=spec.false_rollback_rate,
        min_minutes=min_minutes(spec, metrics),
    )
    sources = tuple(metric.source.value if metric.source else PROMQL for metric in metrics)
    return Frozen(policy, attribution, limits, sources)


async def attribution_of(
    spec: CanarySpec, names: ArmNames, reader: Reader, window: tuple[int, int]
) -> Attribution | None:
    """The first way that tells the stable release; what the spec says unless it tells of unknown ones only.

    Raises:
        IncompleteError: What there was is not known as a whole.
    """
    said = spec.arms.attribution
    for each in [said] if said is not None else _ORDER:
        found = ArmNames(names.namespace, names.app, names.process, names.stable, names.canary, each)
        told = asking.events_of(await reader.ask(asking.requests(found, *window)))
        if told.get(found.stable):
            return each
        unknown = asking.total_of(await reader.ask(asking.unknown(found, *window)))
        if each == said and not unknown:
            return each
    return None


def default_metrics(durations: Answer, stable: str) -> tuple[MetricSpec, ...]:
    """Errors; and latency where durations are known."""
    known = asking.events_of(durations).get(stable, 0.0) >= _LEAST
    errors = MetricSpec(name=Source.ERRORS.value, source=Source.ERRORS)
    latency = MetricSpec(name=Source.LATENCY.value, source=Source.LATENCY)
    return (errors, latency) if known else (errors,)


def limit_of(metric: MetricSpec, durations: Answer, stable: str) -> float:
    """The edge nearest to what was asked for, else to the stable release's p95, else the middle one."""
    edges = durations.metric.edges
    if not edges:
        return 1.0
    wanted = metric.limit_seconds or _quantile(durations, stable)
    if wanted is None:
        return edges[len(edges) // 2]
    return min(edges, key=lambda edge: (abs(math.log(edge / wanted)), edge))


def _quantile(durations: Answer, stable: str) -> float | None:
    buckets = next((amount.buckets for (arm,), amount in durations.groups.items() if arm == stable), ())
    total = sum(buckets)
    if total < _LEAST:
        return None
    below = 0
    for edge, count in zip(durations.metric.edges, buckets, strict=False):
        below += count
        if below >= _QUANTILE * total:
            return edge
    return durations.metric.edges[-1]


def policy_of(metric: MetricSpec, noise: Noise | None) -> MetricPolicy:
    """How the decider takes a metric."""
    return MetricPolicy(
        name=metric.name,
        kind=_KINDS[metric.source] if metric.source is not None else MetricKind.ERROR,
        direction=metric.direction,
        weight=metric.weight,
        tolerance=metric.tolerance,
        phi=noise.phi if noise is not None else None,
        phi_size=(noise.size or None) if noise is not None else None,  # 0 when no minute of it compares two sides
        min_requests=metric.min_requests,
        warm_up_minutes=math.ceil(length_of(metric.warm_up).total_seconds() / 60),
    )


def min_minutes(spec: CanarySpec, metrics: Sequence[MetricSpec]) -> int:
    """Minutes that every metric needs: as many as the steps leave beside the warm-up, ten at most."""
    steps = sum(length_of(step.min_time).total_seconds() for step in spec.steps) / 60
    warm_up = max(length_of(metric.warm_up).total_seconds() / 60 for metric in metrics)
    return max(1, min(_MOST_MINUTES, int(steps - warm_up)))
