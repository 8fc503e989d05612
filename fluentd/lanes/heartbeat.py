"""Up to when everything that this node's containers wrote is sent: told to every partition, behind the data."""

import asyncio
from collections.abc import Callable

SLACK_NS = 1_000_000_000
"""A runtime stamps a line before it writes it: a line with a time before T may be written this long after T."""

_LOOK_SECONDS = 0.1


class Heartbeat:
    """See the module. Absence of a heartbeat says nothing; one that was sent is never taken back.

    Args:
        complete_ns: Wall time before which everything written was read and handed to the lanes; 0 while unknown.
        send: Puts a time into every lane, behind what was handed to them.
        interval_seconds: Least time between two heartbeats.
    """

    def __init__(self, *, complete_ns: Callable[[], int], send: Callable[[int], None], interval_seconds: float) -> None:
        self._complete_ns, self._send, self._interval_seconds = complete_ns, send, interval_seconds
        self.last_ns = 0

    def beat(self) -> None:
        """Send a heartbeat if there is something new to say."""
        time_ns = self._complete_ns() - SLACK_NS
        if time_ns > self.last_ns:
            self.last_ns = time_ns
            self._send(time_ns)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            last_ns = self.last_ns
            while self.last_ns == last_ns:  # at once when a scan has ended, not up to one interval later
                await asyncio.sleep(min(_LOOK_SECONDS, self._interval_seconds))
                self.beat()
            await asyncio.sleep(max(0.0, self._interval_seconds - _LOOK_SECONDS))
