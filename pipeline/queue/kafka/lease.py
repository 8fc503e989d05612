"""How long a member can be sure of what it owns.

The group gives away what a member owns when it has not heard of it for the session's time, counted from when a broker
got the last heartbeat. That is not before the heartbeat was sent: so by this member's own clock it is sure for a part
of that time from the sending on. One that was stopped finds, as it goes on, that it no longer is.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

NEVER: Final = float("-inf")


class Lease:
    """From heartbeats that were answered, when the last one was sent.

    Args:
        seconds: Of certainty; less than the session, by as much as another member may be early.
        clock: Seconds that go on while the process is stopped.

    Attributes:
        until: Up to when ownership is sure, seconds of `clock`.
    """

    def __init__(self, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._moving = True
        self.until = NEVER

    def revoke(self) -> None:
        """The partitions are being given out anew: from here on nothing is sure, whatever is answered."""
        self._moving = True
        self.until = NEVER

    def assign(self) -> None:
        """They have been. It is sure with the next heartbeat: this process may have been stopped since it was told."""
        self._moving = False

    def watch(self, coordinator: Any) -> None:
        """See the heartbeats of the client library's coordinator, which tells nobody of them."""
        beat: Callable[[], Awaitable[bool]] = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def seen() -> bool:
            sent_at = self._clock()
            is_known = await beat()
            if is_known and not self._moving:
                self.until = sent_at + self._seconds
            return is_known

        coordinator._do_heartbeat = seen  # noqa: SLF001 - same
