"""The audit's figures. `way` is how lines came back: `follow`, `query`, or `stored`, which asks late."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fluentd.audit.judge import NS, Judge, Reason, Verdict

WAYS: Final = ("follow", "query", "stored")

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
_ODD: Final = {Verdict.UNEXPECTED: "unwritten", Verdict.FORGOTTEN: "forgotten"}


class AuditMetrics:
    """All of them.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.written = Counter("fluentd_audit_written_lines", "Lines written.", registry=registry)
        self._seen = self._by_way("fluentd_audit_seen_lines", "Lines that came for the first time.")
        self._late = self._by_way("fluentd_audit_late_lines", "Lines that were missing, and came after all.")
        self._duplicated = self._by_way("fluentd_audit_duplicated_lines", "Lines that came once more.")
        self._out_of_order = self._by_way(
            "fluentd_audit_out_of_order_lines", "Lines that came after one written later."
        )
        self._unexpected = Counter(
            "fluentd_audit_unexpected_lines",
            "Lines of this run that were not written so, or are forgotten.",
            ["way", "reason"],
            registry=registry,
        )
        self._errors = Counter(
            "fluentd_audit_errors",
            "Connections and requests that ended without what was asked for.",
            ["way", "reason"],
            registry=registry,
        )
        for way in WAYS:
            for reason in ("altered", *_ODD.values()):
                self._unexpected.labels(way, reason)
        self._latency = Histogram(
            "fluentd_audit_latency_seconds",
            "From writing a line to its first coming back.",
            ["way"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._request = Histogram(
            "fluentd_audit_request_seconds", "Whole answers.", ["way"], registry=registry, buckets=_SECONDS
        )
        self._missing = Gauge(
            "fluentd_audit_missing_lines",
            "Lines given up and not come since: `complete` where the logger said that it had them, else `waited`.",
            ["way", "reason"],
            registry=registry,
        )
        self._waiting = Gauge("fluentd_audit_waiting_lines", "Lines to come.", ["way"], registry=registry)
        self._oldest = Gauge(
            "fluentd_audit_oldest_waiting_seconds", "Age of the oldest line to come.", ["way"], registry=registry
        )

    def _by_way(self, name: str, text: str) -> Counter:
        counter = Counter(name, text, ["way"], registry=self._registry)
        for way in WAYS:
            counter.labels(way)
        return counter

    def show(self, way: str, judge: Judge, now_ns: int) -> None:
        """Show the state of `judge`."""
        for reason in Reason:
            self._missing.labels(way, reason.value).set(judge.given_up[reason])
        self._waiting.labels(way).set(len(judge.waiting))
        oldest_ns = next(iter(judge.waiting.values()), now_ns)
        self._oldest.labels(way).set(max(0, now_ns - oldest_ns) / NS)

    def judged(self, way: str, verdict: Verdict, lines: int = 1) -> None:
        """Count lines that came."""
        if verdict in _ODD:
            self._unexpected.labels(way, _ODD[verdict]).inc(lines)
        elif verdict is Verdict.DUPLICATE:
            self._duplicated.labels(way).inc(lines)
        elif verdict is Verdict.LATE:
            self._late.labels(way).inc(lines)
        else:
            self._seen.labels(way).inc(lines)
            if verdict is Verdict.OUT_OF_ORDER:
                self._out_of_order.labels(way).inc(lines)

    def altered(self, way: str, lines: int = 1) -> None:
        """Count lines that have this run's name, and are not as they were written."""
        self._unexpected.labels(way, "altered").inc(lines)

    def came(self, way: str, latency_ns: int) -> None:
        """A line came for the first time, so long after it was written; a clock set back is no negative time."""
        self._latency.labels(way).observe(max(0, latency_ns) / NS)

    def answered(self, way: str, seconds: float) -> None:
        """A whole answer came."""
        self._request.labels(way).observe(seconds)

    def failed(self, way: str, reason: str) -> None:
        """A connection or request failed."""
        self._errors.labels(way, reason).inc()
