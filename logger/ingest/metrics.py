"""What ingest counts, and how far behind it is."""

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logger.head import Head
from pipeline.lines.accepted import Accepted
from pipeline.lines.assemble import Assembled
from pipeline.lines.gaps import Gaps

_NS = 1_000_000_000
_COMMIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class IngestMetrics:
    """Counters of ingest, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, ["shard"], registry=registry)

        self.records = counter("logger_records", "Records taken from the queue.")
        self.bytes = counter("logger_bytes", "Raw bytes of log files that were new.")
        self.rows = counter("logger_rows", "Rows made of them.")
        self.unparsed = counter("logger_unparsed_lines", "Rows kept whole, since they have no runtime header.")
        self.joined = counter("logger_joined_rows", "Rows put together from pieces, or cut from longer lines.")
        self.duplicate_bytes = counter("logger_duplicate_bytes", "Bytes that came again, and were trimmed.")
        self.gaps = counter("logger_gaps", "Times that bytes were missing and not declared lost.")
        self.gap_bytes = counter("logger_gap_bytes", "How many they were.")
        self.late_bytes = counter("logger_late_bytes", "Missing bytes that came after all.")
        self.given_up_bytes = counter("logger_given_up_bytes", "Missing bytes of sources that are forgotten: lost.")
        self.bad_records = counter("logger_bad_records", "Records that are no packs, kept aside.", "reason")
        self.dead_letters_dropped = counter("logger_dead_letters_dropped", "Bad records that could not be kept aside.")
        self.lost_records = counter("logger_lost_records", "Records that the queue dropped before they were read.")
        self.fenced = counter("logger_fenced", "Shards dropped since another logger had committed them.")
        self.blocked = gauge(
            "logger_blocked_records",
            "Records that the queue dropped unread: the shard waits for `python -m logger skip`.",
        )
        self.commits = counter("logger_commits", "Commits to the table.")
        self.commit_failures = counter("logger_commit_failures", "Commits that the store refused; they are repeated.")
        self.open_gaps = gauge("logger_open_gaps", "Missing ranges not declared lost: each holds `Complete-Up-To`.")
        self.open_gap_bytes = gauge("logger_open_gap_bytes", "Bytes of these ranges.")
        self.accepted_gap_bytes = gauge(
            "logger_accepted_gap_bytes", "Missing bytes that `python -m logger accept-gap` has declared lost so far."
        )
        self.commit_seconds = Histogram(
            "logger_commit_seconds", "Build, write and commit.", buckets=_COMMIT_BUCKETS, registry=registry
        )

    def forget(self, shard: int) -> None:
        """Show no more of a shard that another logger has."""
        for shown in (self.open_gaps, self.open_gap_bytes, self.accepted_gap_bytes):
            with contextlib.suppress(KeyError):
                shown.remove(str(shard))

    def show_gaps(self, shard: int, gaps: Gaps) -> None:
        """Show what is missing in a shard."""
        name = str(shard)
        self.open_gaps.labels(name).set(gaps.count)
        self.open_gap_bytes.labels(name).set(gaps.bytes)
        self.accepted_gap_bytes.labels(name).set(gaps.accepted_bytes)

    def count(self, accepted: Accepted, made: Assembled) -> None:
        """Count one batch."""
        self.bytes.inc(sum(accepted.ends) - sum(accepted.starts))
        self.rows.inc(made.batch.rows)
        self.unparsed.inc(made.unparsed)
        self.joined.inc(made.joined)
        self.duplicate_bytes.inc(accepted.duplicate_bytes)
        self.gaps.inc(accepted.gaps)
        self.gap_bytes.inc(accepted.gap_bytes)
        self.late_bytes.inc(accepted.late_bytes)
        self.given_up_bytes.inc(accepted.given_up_bytes)


class HeadCollector(Collector):
    """Metrics that are read off the head at each scrape: its size, and how old the watermarks are."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The metrics, now."""
        now_ns = time.time_ns()
        size = GaugeMetricFamily("logger_head_bytes", "Rows in memory, by whether they are committed.", labels=["age"])
        size.add_metric(["waiting"], self._head.waiting_bytes)
        size.add_metric(["kept"], self._head.kept_bytes)
        yield size
        behind = GaugeMetricFamily("logger_watermark_behind_seconds", "Age of the watermark; absent while unknown.")
        watermark_ns = self._head.watermark()
        if watermark_ns is not None:
            behind.add_metric([], (now_ns - watermark_ns) / _NS)
        yield behind
        nodes = GaugeMetricFamily(
            "logger_node_behind_seconds", "Age of the node's heartbeat that holds its watermark.", labels=["node"]
        )
        for node, heartbeat_ns in self._head.node_heartbeats().items():
            nodes.add_metric([node], (now_ns - heartbeat_ns) / _NS)
        yield nodes
