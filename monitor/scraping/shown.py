"""What a shard says of itself, as metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from monitor.series.totals import Totals
from monitor.shards.shard import Counted

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shown:
    """One shard at the moment of a scrape.

    Attributes:
        shard: Its number.
        totals: Its metrics.
        counted: What it has counted of itself.
        nodes: Up to when the lines of each node are in, nanoseconds; 0 while unknown.
        watermark_ns: Up to when all lines are in; 0 while unknown.
        lag_records: Records in the queue that are not taken, by the queue's end as last heard.
        state_seconds: Age of the newest state written here; `None` before the first.
        state_bytes: How large that was.
    """

    shard: int
    totals: Sequence[Totals]
    counted: Counted
    nodes: Mapping[str, int]
    watermark_ns: int
    lag_records: int
    state_seconds: float | None
    state_bytes: int


_COUNTERS: Final[Sequence[tuple[str, str, Callable[[Counted], int]]]] = (
    ("monitor_records", "Queue records read.", lambda of: of.records),
    ("monitor_record_bytes", "Bytes of queue records read.", lambda of: of.record_bytes),
    ("monitor_skipped_records", "Records that the queue dropped unread.", lambda of: of.skipped_records),
)

_COUNTERS_BY: Final[Sequence[tuple[str, str, str, Callable[[Counted], Mapping[str, int]]]]] = (
    ("monitor_undecodable_records", "Records that are no pack, skipped.", "reason", lambda of: of.undecodable),
    ("monitor_ignored_statements", "Statements of agents not taken in.", "reason", lambda of: of.statements),
    ("monitor_unattributed_samples", "Samples that nobody known served.", "metric", lambda of: of.drops.unattributed),
    ("monitor_late_samples", "Samples too old for windows.", "metric", lambda of: of.drops.late),
    ("monitor_ahead_samples", "Samples too far in the future for windows.", "metric", lambda of: of.drops.ahead),
    ("monitor_pooled_samples", "Samples in windows without their pod.", "metric", lambda of: of.drops.pooled),
    ("monitor_refused_samples", "Samples of too many own rules.", "metric", lambda of: of.drops.refused),
)

_GAUGES: Final[Sequence[tuple[str, str, Callable[[Shown, int], float | None]]]] = (
    ("monitor_lag_records", "Records in the queue and not taken.", lambda of, _: of.lag_records),
    (
        "monitor_missing_bytes",
        "Bytes of lines that have not come although later ones have: nothing is complete beyond, for 15 minutes.",
        lambda of, _: of.counted.missing_bytes,
    ),
    (
        "monitor_watermark_seconds",
        "Up to when a shard is known to be complete, Unix time.",
        lambda of, _: of.watermark_ns / _NS or None,
    ),
    (
        "monitor_watermark_age_seconds",
        "How long ago that is, by this machine's clock.",
        lambda of, now_ns: (now_ns - of.watermark_ns) / _NS if of.watermark_ns else None,
    ),
    ("monitor_state_age_seconds", "Age of the newest state written of a shard.", lambda of, _: of.state_seconds),
    ("monitor_state_bytes", "Its bytes in the store.", lambda of, _: of.state_bytes or None),
)


def own_families(shards: Sequence[Shown], now_ns: int) -> Iterator[Metric]:
    """The metrics; `now_ns` says how old a watermark is."""
    for name, text, value in _COUNTERS:
        family = CounterMetricFamily(name, text, labels=["shard"])
        for shown in shards:
            family.add_metric([str(shown.shard)], value(shown.counted))
        yield family
    for name, text, label, values in _COUNTERS_BY:
        family = CounterMetricFamily(name, text, labels=[label, "shard"])
        for shown in shards:
            for key, count in sorted(values(shown.counted).items()):
                family.add_metric([key, str(shown.shard)], count)
        yield family
    for name, text, number in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["shard"])
        for shown in shards:
            known = number(shown, now_ns)
            if known is not None:
                gauge.add_metric([str(shown.shard)], known)
        yield gauge
    yield _over_budget(shards)
    yield _node_heartbeats(shards)


def _over_budget(shards: Sequence[Shown]) -> Metric:
    """Which app and metric has too many label sets."""
    family = CounterMetricFamily(
        "monitor_label_sets_over_budget",
        "Samples of label sets beyond an app's budget: they are in `_overflow`.",
        labels=["namespace", "app", "metric", "shard"],
    )
    for shown in shards:
        for app, count in sorted(shown.counted.over_budget.items()):
            family.add_metric([*app, str(shown.shard)], count)
    return family


def _node_heartbeats(shards: Sequence[Shown]) -> Metric:
    """A node that has gone holds the watermark: this shows which."""
    family = GaugeMetricFamily(
        "monitor_node_heartbeat_seconds", "Up to when a node's lines are in, Unix time.", labels=["node", "shard"]
    )
    for shown in shards:
        for node, heartbeat_ns in sorted(shown.nodes.items()):
            family.add_metric([node, str(shown.shard)], heartbeat_ns / _NS)
    return family
