"""The tally as metrics, made at each scrape."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.tally import Tally

_NS: Final = 1_000_000_000


class TallyCollector(Collector):
    """Shows what `read` returns, which must not change during the scrape."""

    def __init__(self, read: Callable[[], Tally]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the tally."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        tally = self._read()
        yield from _traffic(tally)
        yield _counter("monitor_records", "Queue records read.", "shard", tally.records)
        yield _counter("monitor_record_bytes", "Bytes of queue records read.", "shard", tally.record_bytes)
        yield _counter("monitor_undecodable_records", "Records that are no pack, skipped.", "reason", tally.undecodable)
        yield _counter(
            "monitor_skipped_records",
            "Records that the queue dropped before they were read.",
            "shard",
            tally.skipped_records,
        )
        yield CounterMetricFamily(
            "monitor_ignored_heartbeats", "Heartbeats of nodes beyond the bound.", value=tally.nodes_ignored
        )
        watermark = GaugeMetricFamily(
            "monitor_watermark_seconds", "Up to when a shard is known to be complete, Unix time.", labels=["shard"]
        )
        for shard in sorted(tally.heartbeats):
            watermark_ns = tally.watermark_ns(shard)
            if watermark_ns is not None:
                watermark.add_metric([str(shard)], watermark_ns / _NS)
        yield watermark
        yield _node_heartbeats(tally)


def _traffic(tally: Tally) -> Iterator[Metric]:
    size = CounterMetricFamily("monitor_app_bytes", "Bytes of stored lines, by app.", labels=["app"])
    lines = CounterMetricFamily("monitor_app_lines", "Stored lines, by app; a piece counts as one.", labels=["app"])
    for app, traffic in tally.apps.items():
        size.add_metric([app], traffic.bytes)
        lines.add_metric([app], traffic.lines)
    yield from (size, lines)
    yield CounterMetricFamily(
        "monitor_bytes", "Bytes of stored lines.", value=sum(traffic.bytes for traffic in tally.apps.values())
    )
    yield CounterMetricFamily(
        "monitor_lines", "Stored lines.", value=sum(traffic.lines for traffic in tally.apps.values())
    )


def _node_heartbeats(tally: Tally) -> Metric:
    """A node that has gone holds the watermark: this shows which."""
    oldest: dict[str, int] = {}
    for nodes in tally.heartbeats.values():
        for node, heartbeat_ns in nodes.items():
            oldest[node] = min(oldest.get(node, heartbeat_ns), heartbeat_ns)
    family = GaugeMetricFamily(
        "monitor_node_heartbeat_seconds",
        "Oldest newest heartbeat of a node over the shards, Unix time.",
        labels=["node"],
    )
    for node, heartbeat_ns in oldest.items():
        family.add_metric([node], heartbeat_ns / _NS)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[int, int] | Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family
