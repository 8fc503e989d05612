"""What inputs count. Whatever is dropped is counted by reason."""

from prometheus_client import CollectorRegistry, Counter


class InputMetrics:
    """Metrics that all inputs share; the label `input` is the input's name.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lines = Counter(
            "fluentd_input_messages", "Messages taken from the network.", ["input"], registry=registry
        )
        self._bytes = Counter(
            "fluentd_input_bytes", "Bytes of lines made of messages from the network.", ["input"], registry=registry
        )
        self._dropped = Counter(
            "fluentd_input_dropped_messages",
            "Messages that came and were not taken, by reason.",
            ["input", "reason"],
            registry=registry,
        )

    def expect(self, name: str, *, reasons: tuple[str, ...] = ()) -> None:
        """Show an input's counters from the start, at 0."""
        self._lines.labels(name)
        self._bytes.labels(name)
        for reason in reasons:
            self._dropped.labels(name, reason)

    def taken(self, name: str, *, messages: int, size: int) -> None:
        """Messages became `size` bytes of lines that are on their way."""
        self._lines.labels(name).inc(messages)
        self._bytes.labels(name).inc(size)

    def dropped(self, name: str, reason: str, messages: int = 1) -> None:
        """Messages are lost here, or refused."""
        self._dropped.labels(name, reason).inc(messages)
