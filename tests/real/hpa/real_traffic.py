"""Requests to the pods of Deployments, as a router that passes them to endpoints writes of them."""

import itertools
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from demo.containers import ContainerLog

PER_SECOND: Final = 200
"""Requests to each process."""

_STEP_SECONDS: Final = 0.05


def line(upstream: str, *, code: int = 200) -> bytes:
    """An access line of ingress-nginx, in its own format."""
    return (
        f'10.1.2.3 - - [24/Nov/2026:19:00:00 +0000] "GET /cart HTTP/1.1" {code} 512 "-" "curl/8" 120 0.012 '
        f"[shop-web-80] [] {upstream} 512 0.011 {code} 5f0c"
    ).encode()


@dataclass
class Traffic:
    """Writes access lines at a steady pace, on a thread.

    Attributes:
        log: Of the router's container.
        pods: Addresses of the pods of each process, which may change at any time; a process without any has no
            requests.
        written: Lines so far.
    """

    log: ContainerLog
    pods: dict[str, list[str]]
    written: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._write, name="traffic")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self) -> None:
        begun, turn, done = time.monotonic(), itertools.count(), 0
        while not self._stop.wait(_STEP_SECONDS):
            due = int((time.monotonic() - begun) * PER_SECOND)
            for _ in range(due - done):
                number = next(turn)
                for addresses in list(self.pods.values()):
                    if addresses:
                        self.log.write(line(f"{addresses[number % len(addresses)]}:8080"))
                        self.written += 1
            done = due
