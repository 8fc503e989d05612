"""What other loggers ask, under /peer/v1: rows of this one's head, and a stream of what arrives in it."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from logger.reading.gate import Gate
from logger.reading.hub import FollowHub
from logger.reading.peershead import PeerHead
from logger.reading.peerswire import (
    APPS,
    ARRIVALS,
    KEEP_ALIVE_SECONDS,
    LENGTH_BYTES,
    ROWS,
    AppsQuestion,
    ArrivalsQuestion,
    PeerFormatError,
    RowsQuestion,
    decode,
    encode,
)
from logger.reading.query import LogReader
from logger.reading.search import PatternError
from pipeline.auth import Secret

_CONTENT_TYPE: Final = "application/octet-stream"

Q = TypeVar("Q", RowsQuestion, AppsQuestion, ArrivalsQuestion)


def peer_routes(reader: LogReader, *, hub: FollowHub, secret: str, registry: CollectorRegistry) -> list[web.RouteDef]:
    """The routes; `secret` is what a logger shows that may ask."""
    asked = _Questions(secret=secret, queue_id=reader.table.queue_id)
    head = PeerHead(head=reader.head, deleted=reader.tombstones, takeover=reader.takeover)
    answers = _Answers(head, asked)
    arrivals = _Arrivals(head, asked, hub, registry)
    return [web.post(ROWS, answers.rows), web.post(APPS, answers.apps), web.post(ARRIVALS, arrivals.stream)]


class _Questions:
    """Questions, of loggers that may ask, about the queue that is read here."""

    def __init__(self, *, secret: str, queue_id: str) -> None:
        self._secret = Secret(secret)
        self._queue_id = queue_id

    async def read(self, request: web.Request, kind: type[Q]) -> Q:
        """The question in a request.

        Raises:
            HTTPUnauthorized: The secret is not shown.
            HTTPConflict: It is about another queue.
            PeerFormatError: It is none.
        """
        if not self._secret.is_shown(request.headers.get("Authorization")):
            raise web.HTTPUnauthorized
        question = decode(await request.read(), kind)
        if question.queue_id != self._queue_id:
            raise web.HTTPConflict
        return question


class _Answers:
    """Answers out of the head."""

    def __init__(self, head: PeerHead, questions: _Questions) -> None:
        self._head = head
        self._questions = questions
        self._gate = Gate(running=2, waiting=64)
        # Threads of its own: the default ones may all wait for answers of loggers that wait for this one's.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="peers")

    async def rows(self, request: web.Request) -> web.StreamResponse:
        asked = await self._questions.read(request, RowsQuestion)
        try:
            selection = self._head.selection(asked)
        except PatternError as error:
            raise PeerFormatError(str(error)) from error
        held = self._head.held(asked.starts, asked.ends)
        make = partial(self._head.rows, selection, asked.hidden, held, gone=partial(_is_gone, request))
        return await self._answer(request, make)

    async def apps(self, request: web.Request) -> web.StreamResponse:
        asked = await self._questions.read(request, AppsQuestion)
        return await self._answer(request, partial(self._head.apps, asked, self._head.held(asked.starts, {})))

    async def _answer(self, request: web.Request, make: Callable[[], bytes]) -> web.StreamResponse:
        """Answer with what a thread makes. It begins at once: who asks sees that somebody is there."""
        async with self._gate.pass_through():
            response = await _begun(request)
            with contextlib.suppress(ConnectionResetError):
                await response.write_eof(await asyncio.get_running_loop().run_in_executor(self._threads, make))
        return response


class _Arrivals:
    """Streams of what arrives in the head."""

    def __init__(self, head: PeerHead, questions: _Questions, hub: FollowHub, registry: CollectorRegistry) -> None:
        self._head = head
        self._questions = questions
        self._hub = hub
        self._streams = Gauge("logger_peer_streams", "Streams of arrivals to other loggers.", registry=registry)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        asked = await self._questions.read(request, ArrivalsQuestion)
        response = await _begun(request)
        with (
            contextlib.suppress(ConnectionResetError),
            self._streams.track_inprogress(),
            self._hub.watching(asked.app) as arrived,
        ):
            await _stream(response, self._head, self._hub, asked, arrived)
        return response


async def _begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _CONTENT_TYPE, "Cache-Control": "no-store"})
    await response.prepare(request)
    return response


async def _stream(
    response: web.StreamResponse, head: PeerHead, hub: FollowHub, asked: ArrivalsQuestion, arrived: asyncio.Event
) -> None:
    """Send frames until a shard is not to be had any more, or the service stops."""
    positions = dict(asked.positions)
    while not hub.stopping.is_set():
        arrived.clear()
        frame = head.frame(asked.app, positions)
        content = encode(frame)
        await response.write(len(content).to_bytes(LENGTH_BYTES) + content)
        if frame.standing.refused:
            return
        positions |= {shard: max(end, positions[shard]) for shard, end in frame.standing.ends.items()}
        if frame.is_current:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await arrived.wait()
        else:
            await asyncio.sleep(0)


def _is_gone(request: web.Request) -> bool:
    transport = request.transport
    return transport is None or transport.is_closing()
