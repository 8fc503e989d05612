"""One client: frames in, in order; acknowledgements out, in order, as the queue has what they name.

::

    reader --> framer --> frame --> entries --> intake --> lanes --> queue       tasks: reading, answering
                                        |                              |         memory: a frame, and what the intake
                                        '-- chunk, delivery --> answers <'               has room for
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from fluentd.forward.access import HANDSHAKE_BYTES, Access, Grant, Handshake
from fluentd.forward.batch import Portion, portions
from fluentd.forward.doubles import Doubles, frame_key
from fluentd.forward.errors import RefusedError
from fluentd.forward.frame import Frame, Mode, entry_ends, inflated, parse_frame
from fluentd.forward.framing import READ_BYTES, SMALL_BYTES, Framer
from fluentd.forward.metrics import ForwardMetrics
from fluentd.forward.naming import Naming
from fluentd.inputs.delivery import Delivery
from fluentd.inputs.intake import Intake
from fluentd.inputs.metrics import InputMetrics

NAME: Final = "forward"
"""Of this input."""

ANSWERS: Final = 64
"""So many frames of one client may wait for the queue; then its next ones are not read."""

LAST_SECONDS: Final = 0.2
"""At a stop, a client that sends nothing for so long has no more on its way."""

_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Parts:
    """What all clients share.

    Attributes:
        intake: Takes lines.
        counts: Of all inputs.
        metrics: Of this one.
        access: Who may write.
        hostname: Of this server, told in the handshake.
        naming: How entries name their app.
        doubles: What came before.
        large: Held for a frame over `SMALL_BYTES`, from when it is that long until its lines are in the lanes.
        inflating: Held for a compressed frame, while its entries are in memory. Not the same: a client that is slow to
            send must not keep others from being read.
        frame_bytes: Most bytes of a frame.
        idle_seconds: How long a client may send nothing.
        frame_seconds: How long a frame may take to come, an answer to go, a handshake to be made.
    """

    intake: Intake
    counts: InputMetrics
    metrics: ForwardMetrics
    access: Access
    hostname: str
    naming: Naming
    doubles: Doubles
    large: asyncio.Semaphore
    inflating: asyncio.Semaphore
    frame_bytes: int
    idle_seconds: float
    frame_seconds: float


class Connection:
    """See the module.

    Args:
        reader: Of the connection.
        writer: Of the connection.
        parts: What all clients share.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parts: Parts) -> None:
        self._reader, self._writer, self._parts = reader, writer, parts
        self._framer = Framer(limit_bytes=HANDSHAKE_BYTES if parts.access.asks else parts.frame_bytes)
        self._grant = Grant()
        self._answers: asyncio.Queue[tuple[str | bytes, Delivery] | None] = asyncio.Queue(ANSWERS)
        self._spent_seconds = 0.0
        self._holds_large = False
        self._stopping = False
        self._waiting: asyncio.Timeout | None = None
        self.read = asyncio.Event()
        """Set when nothing more will be read, and all that was is put."""

    def stop(self) -> None:
        """Read what is on its way, then no more."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time() + LAST_SECONDS)

    async def run(self) -> None:
        """Serve the client until it is gone, or refused, or until there is no more to read and all is answered."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._answer(), name="forward answers")
                await self._read_all()
                self.read.set()
                await self._answers.put(None)
        finally:
            self.read.set()
            self._writer.close()

    async def _read_all(self) -> None:
        try:
            if self._parts.access.asks:
                await self._greet()
            while data := await self._receive():
                self._framer.feed(data)
                while (frame := self._framer.take()) is not None:
                    await self._take(frame)
                    self._give_large()
                if self._framer.buffered_bytes > SMALL_BYTES:
                    await self._take_large()
            if self._framer.buffered_bytes:
                self._closed("cut")
        except RefusedError as error:
            self._closed(error.reason)
        except OSError:
            self._closed("lost")
        finally:
            self._give_large()

    async def _greet(self) -> None:
        handshake = Handshake(self._parts.access, hostname=self._parts.hostname)
        self._writer.write(handshake.hello())
        ping = await self._first_frame()
        grant, pong = handshake.check(ping)
        self._writer.write(pong)
        if grant is None:
            raise RefusedError("auth", "a wrong key, user or password")
        self._grant = grant
        self._framer.limit_bytes = self._parts.frame_bytes

    async def _first_frame(self) -> bytearray:
        while (frame := self._framer.take()) is None:
            data = await self._receive(handshake=True)
            if not data:
                raise RefusedError("auth", "no PING")
            self._framer.feed(data)
        return frame

    async def _receive(self, *, handshake: bool = False) -> bytes:
        """The next bytes; none when there are no more, or when the client has been silent for too long.

        Raises:
            RefusedError: A frame takes too long to come.
        """
        in_frame = handshake or bool(self._framer.buffered_bytes)
        limit_seconds = self._parts.frame_seconds - self._spent_seconds if in_frame else self._parts.idle_seconds
        began = time.monotonic()
        try:
            async with asyncio.timeout(LAST_SECONDS if self._stopping else limit_seconds) as self._waiting:
                data = await self._reader.read(READ_BYTES)
        except TimeoutError:
            if self._stopping:
                return b""
            if in_frame:
                raise RefusedError("slow", "a frame took too long to come") from None
            self._closed("idle")
            return b""
        finally:
            self._waiting = None
        self._spent_seconds = self._spent_seconds + time.monotonic() - began if in_frame else 0.0
        return data

    async def _take_large(self) -> None:
        if not self._holds_large:
            await self._parts.large.acquire()
            self._holds_large = True

    def _give_large(self) -> None:
        if self._holds_large:
            self._holds_large = False
            self._parts.large.release()

    async def _take(self, data: bytearray) -> None:
        """Take one frame: all of its lines are in the lanes when this returns."""
        self._spent_seconds = 0.0
        with self._parts.intake.accept() as now_ns:
            frame = parse_frame(data)
            if frame is None:
                return
            key = b""
            if frame.chunk is not None:
                key = frame_key(self._grant.client, frame, frame.chunk)
                known = self._parts.doubles.find(key, now=time.monotonic())
                if known is not None:
                    self._parts.metrics.doubles.inc()
                    await self._answers.put((frame.chunk, known))
                    return
            await self._take_new(frame, key, now_ns)

    async def _take_new(self, frame: Frame, key: bytes, now_ns: int) -> None:
        self._parts.metrics.frame(frame.mode)
        if frame.mode is not Mode.COMPRESSED:
            await self._take_plain(frame, key, now_ns)
            return
        async with self._parts.inflating:
            frame = await asyncio.to_thread(inflated, frame, limit_bytes=self._parts.frame_bytes)
            await self._take_plain(frame, key, now_ns)

    async def _take_plain(self, frame: Frame, key: bytes, now_ns: int) -> None:
        found = portions(frame, entry_ends(frame), naming=self._parts.naming, now_ns=now_ns)
        delivery = Delivery()
        if frame.chunk is None:
            await self._put(found, delivery)
            return
        self._parts.doubles.remember(key, delivery, now=time.monotonic())
        try:
            await self._put(found, delivery)
        except BaseException:
            self._parts.doubles.forget(key)
            raise
        await self._answers.put((frame.chunk, delivery))

    async def _put(self, found: Iterator[Portion], delivery: Delivery) -> None:
        parts = self._parts
        for number, portion in enumerate(found):
            if number:
                await asyncio.sleep(0)  # decoding one took a millisecond
            await parts.intake.room()
            parts.metrics.odd(portion.odd)
            for lines in portion.lines:
                if self._grant.allows(lines.app):
                    parts.intake.put(NAME, lines, delivery)
                else:
                    parts.counts.dropped(NAME, "app", lines.messages)
        delivery.seal()

    async def _answer(self) -> None:
        """Acknowledge frames in their order; one that is gone is not told, and holds nothing up."""
        gone = False
        while (answer := await self._answers.get()) is not None:
            chunk, delivery = answer
            await delivery.wait()
            if gone:
                continue
            try:
                self._writer.write(_pack({"ack": chunk}))
                async with asyncio.timeout(self._parts.frame_seconds):
                    await self._writer.drain()
                self._parts.metrics.acknowledged.inc()
            except (OSError, TimeoutError):
                gone = True
                self._writer.transport.abort()

    def _closed(self, reason: str) -> None:
        self._parts.metrics.closed(reason)
