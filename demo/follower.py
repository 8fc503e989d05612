"""A follower as a good client is: it keeps its cursor, and goes on from there when the connection ends."""

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from demo.stack import pause

RETRY_SECONDS: Final = 0.1
SILENCE_SECONDS: Final = 15.0
"""A watermark comes every 5 s at least: a connection silent for longer is given up."""

Line = dict[str, Any]
"""A line as the logger's ndjson gives it."""


class Follower:
    """Follows an app over HTTP in a thread of its own, from its first line on.

    Args:
        port: Where the logger answers, on this machine.
        app: Whose lines.
        on_line: Called in the follower's thread with each line and the time of its arrival (`time.time_ns()`).
        lines: How many of the last lines to begin with.
        others: Where more loggers of the same queue answer: it goes on at the next one each time a connection ends.
    """

    def __init__(
        self,
        port: int,
        app: str,
        on_line: Callable[[Line, int], None],
        *,
        lines: int = 10_000,
        others: Sequence[int] = (),
    ) -> None:
        self.app = app
        self.cursor = ""
        self.connections = 0
        self.reason = ""
        self._ports = itertools.cycle([port, *others])
        self._lines = lines
        self._on_line = on_line
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {app}", daemon=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._follow()
            pause(RETRY_SECONDS)

    def _follow(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", next(self._ports), timeout=SILENCE_SECONDS)
        with contextlib.closing(connection):
            start = f"cursor={quote(self.cursor, safe='')}" if self.cursor else f"lines={self._lines}"
            connection.request("GET", f"/v1/apps/{quote(self.app)}/logs/follow?format=ndjson&{start}")
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                self.reason = f"{response.status} {response.read(2000)!r}"
                return
            self.connections += 1
            while not self._stopping.is_set() and (stored := response.readline()).endswith(b"\n"):
                self._take(json.loads(stored))

    def _take(self, event: Line) -> None:
        if event["type"] == "line":
            self._on_line(event, time.time_ns())
        elif event["type"] == "end":
            self.reason = event["reason"]
        # Only after the line is taken: the cursor stands for what this follower has.
        self.cursor = event.get("cursor", self.cursor)

    def stop(self) -> None:
        """Stop following; returns when the thread has ended."""
        self._stopping.set()
        self._thread.join(SILENCE_SECONDS + 5)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
