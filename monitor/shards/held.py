"""One shard as this monitor holds it: its metrics, and from when on they may be shown."""

import asyncio
from dataclasses import dataclass, field

from monitor.shards.shard import ShardMetrics


@dataclass(slots=True)
class Held:
    """A shard that is owned and loaded.

    Counters must never seem to go down, though another monitor may have shown the shard before. What that one showed
    came of records before `end`, and in scrapes that began before `since`.

    Attributes:
        metrics: Its metrics. Whoever takes records into them, or their state out, holds `taking`.
        end: The queue's end when the shard was taken: nothing is shown before all records up to there are in.
        since: Only scrapes that begin after this show it, seconds of `time.monotonic`.
        position: Of the record to take next; what is before it is in what the metrics show.
        written: Position of the newest state that was written here; -1 before the first.
        written_at: When that was, seconds of `time.monotonic`.
        state_bytes: How large it was.
        taking: See `metrics`.
    """

    metrics: ShardMetrics
    end: int
    since: float
    position: int
    written: int = -1
    written_at: float = 0.0
    state_bytes: int = 0
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_current(self) -> bool:
        """Whether everything is in that may have been shown before."""
        return self.position >= self.end
