"""What the syslog input counts beside what all inputs count."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

ODD: Final = ("format", "time", "torn", "empty")
DROPPED: Final = ("room", "rate")
CLOSED: Final = ("connections", "idle", "lost", "failed")


class SyslogMetrics:
    """See the module.

    Args:
        registry: Where they are registered.
        connections: How many clients there are.
    """

    def __init__(self, registry: CollectorRegistry, *, connections: Callable[[], int]) -> None:
        Gauge("fluentd_syslog_connections", "Syslog clients.", registry=registry).set_function(connections)
        self._odd = Counter(
            "fluentd_syslog_odd_messages",
            "Messages in no known form, or with a time that is none, or without their end: kept as they came, with the "
            "time of their arrival. Empty ones say nothing and make no line.",
            ["reason"],
            registry=registry,
        )
        self._cut = Counter("fluentd_syslog_cut_messages", "Messages over the limit, cut there.", registry=registry)
        self._cut_bytes = Counter(
            "fluentd_syslog_cut_bytes", "Bytes of messages beyond the limit, which are lost.", registry=registry
        )
        self._closed = Counter(
            "fluentd_syslog_closed", "Clients closed by this side, by reason.", ["reason"], registry=registry
        )
        for reason in ODD:
            self._odd.labels(reason)
        for reason in CLOSED:
            self._closed.labels(reason)

    def odd(self, reason: str) -> None:
        """A message was unusual."""
        self._odd.labels(reason).inc()

    def cut(self, *, messages: int, size: int) -> None:
        """Messages were too long by `size` bytes."""
        self._cut.inc(messages)
        self._cut_bytes.inc(size)

    def closed(self, reason: str) -> None:
        """A client was closed by this side."""
        self._closed.labels(reason).inc()
