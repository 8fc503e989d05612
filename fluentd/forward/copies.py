"""Copies of all lines to an existing Fluentd, by fluent-logger's sender.

::

    lanes <-- sender.put --> waiting (bounded, in bytes) --> a thread: lines --> FluentSender --> Fluentd

Best effort, as that library is: it gets no acknowledgements. The pipeline never waits for it: what finds no room is
dropped and counted, and so is what the library gives up.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import structlog
from fluent.sender import EventTime, FluentSender
from msgpack.exceptions import OutOfData
from prometheus_client import CollectorRegistry, Counter, Gauge

from fluentd.forward.framing import new_scanner
from fluentd.forward.whole import WholeLine, WholeLines
from pipeline.chunk import Chunk
from pipeline.cri import STREAMS
from pipeline.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger()

_TIMEOUT_SECONDS: Final = 3.0
_KEPT_BYTES: Final = 1 * MIB  # what the library keeps while its Fluentd is away
_FIRST_BACKOFF_SECONDS: Final = 0.25
_LAST_BACKOFF_SECONDS: Final = 10.0


class Copies:
    """See the module. `fluentd.inputs.group.Inputs` runs and stops it, as it does inputs.

    Args:
        target: `host:port`.
        tag: What tags begin with.
        limit_bytes: Most bytes of chunks that wait.
        registry: For the metrics.
    """

    def __init__(self, target: str, *, tag: str, limit_bytes: int, registry: CollectorRegistry) -> None:
        self._target, self._limit_bytes = target, limit_bytes
        host, _, port = target.rpartition(":")
        self._sender = FluentSender(
            tag,
            host=host.strip("[]"),
            port=int(port),
            timeout=_TIMEOUT_SECONDS,
            bufmax=_KEPT_BYTES,
            buffer_overflow_handler=self._given_up,
        )
        self._waiting: deque[Chunk] = deque()  # bounded by the bytes
        self._waiting_bytes = 0
        self._whole = WholeLines()
        self._lines: Iterator[WholeLine] = iter(())
        self._wake = asyncio.Event()
        self._stopping = False
        self._sent = Counter(
            "fluentd_forward_out_lines", "Lines given to the library that copies them.", registry=registry
        )
        self._dropped = Counter(
            "fluentd_forward_out_dropped_lines", "Lines that were not copied, by reason.", ["reason"], registry=registry
        )
        for reason in ("full", "away", "stop"):
            self._dropped.labels(reason)
        gauge = Gauge("fluentd_forward_out_waiting_bytes", "Bytes of lines that wait to be copied.", registry=registry)
        gauge.set_function(lambda: self._waiting_bytes)

    def offer(self, chunk: Chunk) -> None:
        """Copy a chunk's lines, if there is room."""
        if self._waiting_bytes + len(chunk.data) > self._limit_bytes:
            self._dropped.labels("full").inc(chunk.data.count(b"\n"))
            return
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk.data)
        self._wake.set()

    async def stop(self) -> None:
        """Nothing more is offered: `run` ends when all is copied."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Copy until stopped and done, or cancelled."""
        try:
            while await self._next():
                await self._copy()
        finally:
            left = sum(chunk.data.count(b"\n") for chunk in self._waiting) + sum(1 for _ in self._lines)
            self._dropped.labels("stop").inc(left)
            await asyncio.to_thread(self._sender.close)

    async def _next(self) -> bool:
        """Wait for a chunk; false when there never will be one."""
        while not self._waiting:
            if self._stopping:
                return False
            self._wake.clear()
            await self._wake.wait()
        return True

    async def _copy(self) -> None:
        chunk = self._waiting.popleft()
        self._lines = self._whole.of(chunk)
        backoff_seconds = _FIRST_BACKOFF_SECONDS
        while not await asyncio.to_thread(self._ship):
            if backoff_seconds == _FIRST_BACKOFF_SECONDS:
                log.warning("copies cannot be sent, trying on", target=self._target)
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(2 * backoff_seconds, _LAST_BACKOFF_SECONDS)
        self._waiting_bytes -= len(chunk.data)

    def _ship(self) -> bool:
        """Send the chunk's lines, on a thread; false when Fluentd takes none now. The library keeps the last one."""
        for line in self._lines:
            self._sent.inc()
            origin = line.origin
            label = f"{origin.app}.{origin.process}" if origin.process else origin.app
            if not self._sender.emit_with_time(label, EventTime.from_unix_nano(line.time_ns), _record(line)):
                return False
        return True

    def _given_up(self, records: bytes) -> None:
        """The library drops what it kept: count it."""
        scanner, count = new_scanner(), 0
        scanner.feed(records)
        try:
            while True:
                scanner.skip()
                count += 1
        except OutOfData:
            self._dropped.labels("away").inc(count)


def _record(line: WholeLine) -> dict[str, Any]:
    """A record as Fluentd's filter for Kubernetes makes it; bytes that are no UTF-8 stay bytes."""
    origin = line.origin
    try:
        text: str | bytes = line.content.decode()
    except UnicodeDecodeError:
        text = line.content
    return {
        "log": text,
        "stream": STREAMS[line.stream],
        "app": origin.app,
        "type": origin.process,
        "kubernetes": {
            "namespace_name": origin.namespace,
            "pod_name": origin.pod,
            "pod_id": origin.uid,
            "container_name": origin.container,
            "host": origin.node,
        },
    }
