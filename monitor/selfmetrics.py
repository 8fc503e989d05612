"""What the monitor counts of itself, beside what it counts of shards."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

_REASONS: Final = ("unreadable", "unwritten")


class SelfMetrics:
    """Counters of this process; those of a shard go with the shard, see `monitor.shards.shard.Counted`.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.state_failures = Counter(
            "monitor_state_failures",
            "States that could not be read or written.",
            ["reason"],
            registry=registry,
        )
        for reason in _REASONS:
            self.state_failures.labels(reason)
        self.taken_shards = Counter("monitor_taken_shards", "Shards that were taken over.", registry=registry)
        self.hidden_scrapes = Counter(
            "monitor_hidden_scrapes",
            "Scrapes without shards that were held, since it was not sure that nobody else owned them.",
            registry=registry,
        )
        self.incomplete_answers = Counter(
            "monitor_incomplete_answers",
            "Questions that not all shards answered.",
            ["reason"],
            registry=registry,
        )
