"""Syslog over UDP: a message each datagram, best effort. What finds no room is dropped and counted.

Messages of a few milliseconds go on together, since a chunk for each costs more than the message.
"""

import asyncio
import time
from typing import Final

from fluentd.inputs.delivery import Delivery
from fluentd.inputs.intake import Intake
from fluentd.inputs.metrics import InputMetrics
from fluentd.syslog.batch import Batcher
from fluentd.syslog.metrics import SyslogMetrics
from pipeline.limits import CHUNK_BYTES

NAME: Final = "syslog-udp"
"""Of this input."""

_LINGER_SECONDS: Final = 0.005
_BATCH_BYTES: Final = CHUNK_BYTES
_DATAGRAM_BYTES: Final = 256
"""What a datagram takes beside its bytes while it waits."""


class Rate:
    """A token bucket that holds one second's worth.

    Args:
        per_second: So many.
        now: Monotonic seconds.
    """

    def __init__(self, per_second: int, *, now: float) -> None:
        self._per_second, self._left, self._at = per_second, float(per_second), now

    def take(self, *, now: float) -> bool:
        """Whether one more is within the rate."""
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Datagrams(asyncio.DatagramProtocol):
    """See the module.

    Args:
        batcher: Makes lines.
        intake: Takes them.
        counts: Of all inputs.
        metrics: Of syslog.
        limit_bytes: Most bytes of one message.
        per_second: Most messages of a second.
    """

    def __init__(
        self,
        *,
        batcher: Batcher,
        intake: Intake,
        counts: InputMetrics,
        metrics: SyslogMetrics,
        limit_bytes: int,
        per_second: int,
    ) -> None:
        self._batcher, self._intake, self._counts, self._metrics = batcher, intake, counts, metrics
        self._limit_bytes = limit_bytes
        self._rate = Rate(per_second, now=time.monotonic())
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._due: asyncio.TimerHandle | None = None

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - a sender's address proves nothing
        """See `asyncio.DatagramProtocol`."""
        if not self._rate.take(now=time.monotonic()):
            self._counts.dropped(NAME, "rate")
            return
        if not self._intake.has_room():
            self._counts.dropped(NAME, "room")
            return
        if len(data) > self._limit_bytes:
            self._metrics.cut(messages=1, size=len(data) - self._limit_bytes)
            data = data[: self._limit_bytes]
        self._waiting.append(data)
        self._waiting_bytes += len(data) + _DATAGRAM_BYTES
        if self._waiting_bytes >= _BATCH_BYTES:
            self.flush()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.flush)

    def flush(self) -> None:
        """Send on what waits."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        messages, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not messages:
            return
        with self._intake.accept() as now_ns:
            for lines in self._batcher.lines(messages, now_ns=now_ns):
                self._intake.put(NAME, lines, Delivery())
