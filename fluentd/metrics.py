"""The agent's metrics. What is lost is counted by reason; a loss without a metric is the one error not forgiven."""

from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

log = structlog.get_logger()


class AgentMetrics:
    """All of them; also the `Tally` of what nobody sees otherwise.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.read_bytes = Counter(
            "fluentd_read_bytes", "Bytes of log files read and put into packs.", registry=registry
        )
        self.chunks = Counter("fluentd_chunks", "Chunks that the queue acknowledged.", registry=registry)
        self.packs = Counter("fluentd_packs", "Packs that the queue acknowledged.", registry=registry)
        self.sent_bytes = Counter("fluentd_sent_bytes", "Compressed bytes that the queue took.", registry=registry)
        self.send_errors = Counter("fluentd_send_errors", "Sends that failed and were repeated.", registry=registry)
        self.checkpoint_errors = Counter(
            "fluentd_checkpoint_errors", "Checkpoints that could not be written.", registry=registry
        )
        self._lost = Counter(
            "fluentd_lost_bytes", "Bytes known to be in a file and never read.", ["reason"], registry=registry
        )
        for reason in ("truncated", "deleted"):
            self._lost.labels(reason)
        self._truncations = Counter(
            "fluentd_truncations", "Files truncated; what nobody saw in them is lost, too.", registry=registry
        )
        self._damaged = Counter("fluentd_damaged_files", "Compressed files that end in the middle.", registry=registry)
        self._malformed = Counter(
            "fluentd_malformed_lines",
            "Lines in files of docker's format that are not; kept as they are.",
            registry=registry,
        )
        self.ignored_paths = Gauge(
            "fluentd_ignored_paths", "Links that lead out, and folders named like no pod's.", registry=registry
        )
        self.overflows = Counter("fluentd_watch_overflows", "Times that file events were lost.", registry=registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is asked when it is scraped."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def acknowledged(self, *, packs: int, chunks: int, sent_bytes: int) -> None:
        """The queue has these durably."""
        self.packs.inc(packs)
        self.chunks.inc(chunks)
        self.sent_bytes.inc(sent_bytes)

    def lost(self, reason: str, size: int) -> None:
        """See `fluentd.chunks.surroundings.Tally`."""
        self._lost.labels(reason).inc(size)
        log.error("bytes lost", reason=reason, bytes=size)

    def truncated(self) -> None:
        """See `fluentd.chunks.surroundings.Tally`."""
        self._truncations.inc()

    def damaged(self) -> None:
        """See `fluentd.chunks.surroundings.Tally`."""
        self._damaged.inc()

    def malformed(self, lines: int) -> None:
        """See `fluentd.chunks.surroundings.Tally`."""
        self._malformed.inc(lines)
