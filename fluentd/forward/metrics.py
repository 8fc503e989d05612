"""What the Forward input counts beside what all inputs count."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from fluentd.forward.errors import REASONS
from fluentd.forward.frame import Mode

CLOSED: tuple[str, ...] = (*REASONS, "cut", "idle", "connections", "handshake", "lost", "failed")
ODD = ("time", "record", "undecodable")


class ForwardMetrics:
    """See the module.

    Args:
        registry: Where they are registered.
        connections: How many clients there are.
    """

    def __init__(self, registry: CollectorRegistry, *, connections: Callable[[], int]) -> None:
        Gauge("fluentd_forward_connections", "Forward clients.", registry=registry).set_function(connections)
        frames = Counter("fluentd_forward_frames", "Frames taken, by mode.", ["mode"], registry=registry)
        self._closed = Counter(
            "fluentd_forward_closed",
            "Clients closed by this side, by reason; what they had sent of a frame was not taken.",
            ["reason"],
            registry=registry,
        )
        self._odd = Counter(
            "fluentd_forward_odd_entries",
            "Entries taken though something in them was unusual: what, by reason.",
            ["reason"],
            registry=registry,
        )
        self.doubles = Counter(
            "fluentd_forward_doubles", "Frames that had come before, and were not taken again.", registry=registry
        )
        self.acknowledged = Counter("fluentd_forward_acks", "Acknowledgements sent.", registry=registry)
        self.heartbeats = Counter("fluentd_forward_heartbeats", "UDP heartbeats answered.", registry=registry)
        self._modes = {mode: frames.labels(mode) for mode in Mode}
        for reason in CLOSED:
            self._closed.labels(reason)
        for reason in ODD:
            self._odd.labels(reason)

    def frame(self, mode: Mode) -> None:
        """A frame was taken."""
        self._modes[mode].inc()

    def closed(self, reason: str) -> None:
        """A client was closed by this side."""
        self._closed.labels(reason).inc()

    def odd(self, found: dict[str, int]) -> None:
        """Entries were unusual."""
        for reason, count in found.items():
            self._odd.labels(reason).inc(count)
