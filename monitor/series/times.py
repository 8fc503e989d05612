"""What the time is in a shard: a function of its records, which changes at ticks only."""

from dataclasses import dataclass
from typing import Final

from monitor.reading import SLOT_NS, WINDOW_NS
from monitor.series.limits import AHEAD_NS, PATIENCE_NS, SLACK_NS

_NEVER_SLOT: Final = -(2**40)


@dataclass(frozen=True, slots=True)
class Times:
    """The time at one tick.

    Two clocks hold each other: the newest heartbeat, and when the queue took the newest record. A node or a broker
    whose clock is ahead then moves no window away from what the others say.

    Attributes:
        clock_ns: The older of the newest heartbeat and the newest record's time; before any heartbeat, the latter.
        newest_ns: The newest record's time.
        certain_ns: Up to when it is certain who was at an address: every node that is not silent has spoken of it, or
            it was long ago.
    """

    clock_ns: int = 0
    newest_ns: int = 0
    certain_ns: int = 0

    @property
    def first_slot(self) -> int:
        """The oldest slot that windows hold."""
        if not self.newest_ns:
            return _NEVER_SLOT
        oldest_ns = max(self.clock_ns - WINDOW_NS - SLACK_NS, self.newest_ns - WINDOW_NS - AHEAD_NS)
        return oldest_ns // SLOT_NS

    @property
    def last_slot(self) -> int:
        """The newest slot that windows may hold."""
        return (self.newest_ns + AHEAD_NS) // SLOT_NS

    def then(self, *, heard_ns: int, lowest_ns: int, record_ns: int) -> "Times":
        """The time after another record.

        Args:
            heard_ns: The newest heartbeat of all; 0 before the first.
            lowest_ns: The oldest of the nodes' newest heartbeats, without silent nodes.
            record_ns: When the queue took the record.
        """
        newest_ns = max(self.newest_ns, record_ns)
        before_ns = self.clock_ns if self.certain_ns else 0  # which is 0 before the first heartbeat
        clock_ns = max(min(heard_ns, newest_ns), before_ns) if heard_ns else newest_ns
        certain_ns = max(self.certain_ns, lowest_ns, clock_ns - PATIENCE_NS if heard_ns else 0)
        return Times(clock_ns, newest_ns, certain_ns)

    def is_another_slot(self, other: "Times") -> bool:
        """Whether any of the times is in another slot there."""
        return (self.clock_ns // SLOT_NS, self.newest_ns // SLOT_NS, self.certain_ns // SLOT_NS) != (
            other.clock_ns // SLOT_NS,
            other.newest_ns // SLOT_NS,
            other.certain_ns // SLOT_NS,
        )
