"""A follow as a response: server-sent events, or JSON lines. Whoever does not read is cut off here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from logger.api.render import NDJSON, SSE, follow_event
from logger.reading.backlog import FollowRequest
from logger.reading.follow import End, Follower
from logger.reading.gate import BusyError
from logger.reading.hub import FollowHub
from logger.reading.query import LogReader
from pipeline.errors import RetriableError

STALL_SECONDS: Final = 5.0
"""A client that took nothing for so long is cut off if its buffer is full."""

PATIENCE: Final = 6
"""A client that took nothing for so many times `STALL_SECONDS` is cut off in any case."""

GOODBYE_SECONDS: Final = 1.0
"""What the last event is given to get out, before the connection is dropped."""

_LOOK_SECONDS: Final = 0.02


class Streams:
    """Serves follows.

    Args:
        hub: Where followers go live.
        reader: Answers for what is there already.
        registry: Where metrics are registered.
        stall_seconds: See `STALL_SECONDS`.
    """

    def __init__(
        self,
        *,
        hub: FollowHub,
        reader: LogReader,
        registry: CollectorRegistry,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._hub = hub
        self._reader = reader
        self._stall_seconds = stall_seconds
        self._cut_off = Counter(
            "logger_followers_cut_off", "Follows ended since the client was slow.", registry=registry
        )

    async def serve(
        self, request: web.Request, wanted: FollowRequest, *, form: str, allowed: Callable[[], bool]
    ) -> web.StreamResponse:
        """Answer with the follow until the client goes or is cut off.

        Raises:
            BusyError: As many follows are open as are allowed.
        """
        self._hub.admit()
        try:
            follower = Follower(hub=self._hub, reader=self._reader, request=wanted, allowed=allowed)
            response = web.StreamResponse(
                headers={
                    "Content-Type": SSE if form == "sse" else NDJSON,
                    "Cache-Control": "no-store",
                    "X-Accel-Buffering": "no",  # nginx would keep lines back otherwise
                }
            )
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # the client has gone
                await self._stream(request, response, follower, form)
            return response
        finally:
            self._hub.dismiss()

    async def _stream(self, request: web.Request, response: web.StreamResponse, follower: Follower, form: str) -> None:
        guard = _StallGuard(follower, seconds=self._stall_seconds)
        try:
            async with contextlib.aclosing(follower.events()) as events, guard.watching():
                async for event in events:
                    with guard.writing():
                        await response.write(follow_event(event, form))
                    await asyncio.sleep(0)  # a client that takes everything must not keep the others waiting
        except TimeoutError:
            self._cut_off.inc()
            await _say_goodbye(request, response, End(guard.reason), form)
        except (RetriableError, BusyError) as error:
            # The client has its cursor and comes back.
            await _say_goodbye(request, response, End(f"not available: {error}"), form)


class _StallGuard:
    """Ends a block in which a write is stuck for too long: one timer for each follow, whatever it writes.

    Attributes:
        reason: Why it ended the block.
    """

    def __init__(self, follower: Follower, *, seconds: float) -> None:
        self.reason = ""
        self._follower = follower
        self._seconds = seconds
        self._writing_since: float | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the writes inside the block.

        Raises:
            TimeoutError: The client takes nothing.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            timer = loop.call_later(self._seconds, self._look, loop, limit)
            try:
                self._timer = timer
                yield
            finally:
                self._timer.cancel()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Mark one write."""
        self._writing_since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._writing_since = None

    def _look(self, loop: asyncio.AbstractEventLoop, limit: asyncio.Timeout) -> None:
        now = loop.time()
        stuck = 0.0 if self._writing_since is None else now - self._writing_since
        if stuck >= self._seconds and self._follower.overflowed:
            self.reason = f"slow client: {self._follower.waiting} lines waiting"
        elif stuck >= self._seconds * PATIENCE:
            self.reason = f"slow client: nothing was read for {stuck:.0f} seconds"
        if self.reason:
            limit.reschedule(now)
        else:
            self._timer = loop.call_later(self._seconds / 2, self._look, loop, limit)


async def _say_goodbye(request: web.Request, response: web.StreamResponse, end: End, form: str) -> None:
    """Send the last event. A client that does not take it in time is dropped.

    The write before may have been broken off in the middle of its wait, after which aiohttp's own waits on this
    connection fail. A small write does not wait.
    """
    await response.write(follow_event(end, form))
    waited = 0.0
    while (transport := request.transport) is not None and transport.get_write_buffer_size():
        if waited >= GOODBYE_SECONDS:
            transport.abort()
        await asyncio.sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
