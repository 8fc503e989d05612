"""The exposition, byte by byte; metrics that would break a whole scrape are left out."""

from collections import Counter

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.metric import Kind, LabelSet, Metric
from monitor.scraping.exposition import ShardsCollector
from monitor.scraping.shown import Shown
from monitor.series.totals import Totals, Trace
from monitor.shards.shard import Counted

SECOND = 1_000_000_000
REQUESTS = Metric("app_requests", Kind.COUNTER, "Requests.", ("source", "code"))
SECONDS = Metric("app_request_duration_seconds", Kind.HISTOGRAM, "Time to answer.", ("source",), (0.1, 2.5))
DEPTH = Metric("queue_depth_of_shop", Kind.GAUGE, "Jobs\nthat wait.")


def totals(metric: Metric, values: dict[LabelSet, tuple[float, ...]], traces: dict[int, Trace] | None = None) -> Totals:
    """Each label set with its total, or the counts of its buckets and their sum."""
    rows = list(values.values())
    buckets = [row[:-1] if metric.edges else () for row in rows]
    count = [sum(row[:-1]) if metric.edges else 1 for row in rows]
    return Totals(
        metric,
        list(values),
        np.array(count, np.int64),
        np.array([row[-1] for row in rows], np.float64),
        np.array(buckets, np.int64).reshape(len(rows), -1),
        traces or {},
    )


def shown(shard: int, *parts: Totals) -> Shown:
    counted = Counted(records=7, record_bytes=70, undecodable=Counter(version=2), missing_bytes=9)
    counted.over_budget[("shop", "shop", "app_requests")] = 5
    return Shown(shard, parts, counted, {"node-1": 90 * SECOND}, 90 * SECOND, 3, 4.5, 800)


def of(*labels: str, release: str = "v2") -> LabelSet:
    return LabelSet("shop", "shop", "web", release, labels=labels)


def collector(*shards: Shown) -> ShardsCollector:
    return ShardsCollector(CollectorRegistry(), shards, now_ns=lambda: 100 * SECOND)


def both() -> ShardsCollector:
    trace = Trace("0123456789abcdef", 0.5, 89 * SECOND)
    return collector(
        shown(
            0,
            totals(REQUESTS, {of("router", "200"): (10.0,), of("router", '5"\\\n'): (1.0,)}),
            totals(SECONDS, {of("router"): (3, 2, 1, 4.25)}, {0: trace}),
        ),
        shown(1, totals(REQUESTS, {of("router", "200"): (20.0,)}), totals(DEPTH, {of(): (12.0,)})),
    )


APP_TEXT = """\
# HELP app_request_duration_seconds Time to answer.
# TYPE app_request_duration_seconds histogram
app_request_duration_seconds_bucket{app="shop",le="0.1",namespace="shop",process="web",release="v2",shard="0",source="router"} 3.0
app_request_duration_seconds_bucket{app="shop",le="2.5",namespace="shop",process="web",release="v2",shard="0",source="router"} 5.0@
app_request_duration_seconds_bucket{app="shop",le="+Inf",namespace="shop",process="web",release="v2",shard="0",source="router"} 6.0
app_request_duration_seconds_count{app="shop",namespace="shop",process="web",release="v2",shard="0",source="router"} 6.0
app_request_duration_seconds_sum{app="shop",namespace="shop",process="web",release="v2",shard="0",source="router"} 4.25
# HELP app_requests# Requests.
# TYPE app_requests# counter
app_requests_total{app="shop",code="200",namespace="shop",process="web",release="v2",shard="0",source="router"} 10.0
app_requests_total{app="shop",code="5\\"\\\\\\n",namespace="shop",process="web",release="v2",shard="0",source="router"} 1.0
app_requests_total{app="shop",code="200",namespace="shop",process="web",release="v2",shard="1",source="router"} 20.0
# HELP queue_depth_of_shop Jobs\\nthat wait.
# TYPE queue_depth_of_shop gauge
queue_depth_of_shop{app="shop",namespace="shop",process="web",release="v2",shard="1"} 12.0
# HELP monitor_unshown_metrics Metrics of rules that have the name of another one, and are left out.
# TYPE monitor_unshown_metrics gauge
monitor_unshown_metrics 0.0
"""  # noqa: E501 - the bytes themselves

OWN_TEXT = """\
# HELP monitor_records_total Queue records read.
# TYPE monitor_records_total counter
monitor_records_total{shard="0"} 7.0
monitor_records_total{shard="1"} 7.0
"""


def test_the_text_form_byte_by_byte() -> None:
    text = generate_latest(both()).decode()
    assert text.endswith(APP_TEXT.replace("@", "").replace("app_requests#", "app_requests_total"))
    assert text.startswith(OWN_TEXT)


def test_openmetrics_byte_by_byte_with_the_trace_at_its_bucket() -> None:
    text = generate_openmetrics(both()).decode()
    exemplar = ' # {trace_id="0123456789abcdef"} 0.5 89.0'
    assert text.endswith(APP_TEXT.replace("@", exemplar).replace("app_requests#", "app_requests") + "# EOF\n")
    assert list(text_string_to_metric_families(text))


def test_what_a_shard_says_of_itself() -> None:
    registry = CollectorRegistry()
    registry.register(collector(shown(4)))
    for name, labels, value in (
        ("monitor_record_bytes_total", {}, 70),
        ("monitor_undecodable_records_total", {"reason": "version"}, 2),
        ("monitor_lag_records", {}, 3),
        ("monitor_missing_bytes", {}, 9),
        ("monitor_watermark_seconds", {}, 90),
        ("monitor_watermark_age_seconds", {}, 10),
        ("monitor_state_age_seconds", {}, 4.5),
        ("monitor_state_bytes", {}, 800),
        ("monitor_node_heartbeat_seconds", {"node": "node-1"}, 90),
        (
            "monitor_label_sets_over_budget_total",
            {"namespace": "shop", "app": "shop", "metric": "app_requests"},
            5,
        ),
    ):
        assert registry.get_sample_value(name, {"shard": "4", **labels}) == value, name


def test_a_definition_of_the_same_kind_and_name_is_shown_with_the_other() -> None:
    other = Metric("app_requests", Kind.COUNTER, "Mine.", ("path",))
    text = generate_openmetrics(
        collector(shown(0, totals(REQUESTS, {of("router", "200"): (1.0,)}), totals(other, {of("/"): (2.0,)})))
    ).decode()
    assert text.count("# TYPE app_requests counter") == 1
    assert 'path="/"' in text
    assert list(text_string_to_metric_families(text))


@pytest.mark.parametrize(
    "bad",
    [
        Metric("app_requests", Kind.GAUGE, "Another kind."),
        Metric("app_requests_total", Kind.GAUGE, "The name of a sample of another one."),
        Metric("monitor_records", Kind.COUNTER, "Poses as the monitor's own."),
    ],
    ids=lambda metric: metric.help,
)
def test_a_metric_that_takes_the_name_of_another_is_left_out_and_counted(bad: Metric) -> None:
    text = generate_openmetrics(
        collector(shown(0, totals(REQUESTS, {of("router", "200"): (1.0,)}), totals(bad, {of(): (666.0,)})))
    ).decode()
    assert "666" not in text
    assert "monitor_unshown_metrics 1.0" in text
    assert list(text_string_to_metric_families(text))
