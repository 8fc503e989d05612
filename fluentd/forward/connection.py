"""One client: frames in, in order; acknowledgements out, in order, as the queue has what they name.

::

    reader --> framer --> frame --> entries --> intake --> lanes --> queue       tasks: reading, answering
                                        |                              |         memory: a frame, and what the intake
                                        '-- chunk, delivery --> answers <'               has room for
"""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from fluentd.forward.access import HANDSHAKE_BYTES, Access, Grant, Handshake
from fluentd.forward.batch import PORTION_BYTES, portions
from fluentd.forward.doubles import Doubles, frame_key
from fluentd.forward.errors import RefusedError
from fluentd.forward.frame import Frame, Mode, entry_ends, inflated, parse_frame
from fluentd.forward.framing import READ_BYTES, SMALL_BYTES, Framer
from fluentd.forward.gathered import Gathered
from fluentd.forward.metrics import ForwardMetrics
from fluentd.forward.naming import Naming
from fluentd.inputs.intake import Intake
from fluentd.inputs.metrics import InputMetrics

if TYPE_CHECKING:
    from fluentd.inputs.delivery import Delivery

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
                await self._take_all()
                if self._framer.buffered_bytes > SMALL_BYTES:
                    await self._take_large()
                else:
                    self._give_large()
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

    async def _take_all(self) -> None:
        """Take all frames that are there as a whole: their lines are in the lanes when this returns."""
        gathered = Gathered()
        try:
            with self._parts.intake.accept() as now_ns:
                refused = await self._take_good(gathered, now_ns)
                if gathered.size:
                    await self._put(gathered)
        except BaseException:
            for key in gathered.keys:  # they must be taken when they come again
                self._parts.doubles.forget(key)
            raise
        gathered.delivery.seal()
        for answer in gathered.answers:
            await self._answers.put(answer)
        if refused is not None:
            raise refused  # what came before it is taken, and will be answered

    async def _take_good(self, gathered: Gathered, now_ns: int) -> RefusedError | None:
        """Take frames up to one that is refused; returns why."""
        try:
            while (data := self._framer.take()) is not None:
                self._spent_seconds = 0.0
                await self._take(data, gathered, now_ns)
        except RefusedError as error:
            return error
        return None

    async def _take(self, data: bytearray, gathered: Gathered, now_ns: int) -> None:
        frame = parse_frame(data)
        if frame is None:
            return
        self._parts.metrics.frame(frame.mode)
        key = b""
        if frame.chunk is not None:
            key = frame_key(self._grant.client, frame, frame.chunk)
            known = self._parts.doubles.find(key, now=time.monotonic())
            if known is not None:
                self._parts.metrics.doubles.inc()
                gathered.answers.append((frame.chunk, known))
                return
        if frame.mode is Mode.COMPRESSED:
            async with self._parts.inflating:
                frame = await inflated(frame, limit_bytes=self._parts.frame_bytes)
                await self._gather(frame, key, gathered, now_ns)
        else:
            await self._gather(frame, key, gathered, now_ns)

    async def _gather(self, frame: Frame, key: bytes, gathered: Gathered, now_ns: int) -> None:
        """Take a frame that is new; whole, or not at all."""
        ends = entry_ends(frame)
        if frame.chunk is not None:
            self._parts.doubles.remember(key, gathered.delivery, now=time.monotonic())
            gathered.keys.append(key)
            gathered.answers.append((frame.chunk, gathered.delivery))
        for portion in portions(frame, ends, naming=self._parts.naming, now_ns=now_ns):
            self._parts.metrics.odd(portion.odd)
            for lines in portion.lines:
                if self._grant.allows(lines.app):
                    gathered.add(lines)
                else:
                    self._parts.counts.dropped(NAME, "app", lines.messages)
            if gathered.size >= PORTION_BYTES:
                await self._put(gathered)

    async def _put(self, gathered: Gathered) -> None:
        await asyncio.sleep(0)  # decoding them took a millisecond
        await self._parts.intake.room()
        for lines in gathered.take():
            self._parts.intake.put(NAME, lines, gathered.delivery)

    async def _answer(self) -> None:
        """Acknowledge frames in their order; a client that is gone holds nothing up."""
        gone = False
        while (answer := await self._answers.get()) is not None:
            chunk, delivery = answer
            await delivery.wait()
            if gone:
                continue
            self._writer.write(_pack({"ack": chunk}))
            self._parts.metrics.acknowledged.inc()
            if self._answers.empty() or self._writer.transport.get_write_buffer_size() > READ_BYTES:
                gone = not await self._flush()

    async def _flush(self) -> bool:
        """Wait until the client takes what was written; false when it does not."""
        try:
            async with asyncio.timeout(self._parts.frame_seconds):
                await self._writer.drain()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
            return False
        return True

    def _closed(self, reason: str) -> None:
        self._parts.metrics.closed(reason)
