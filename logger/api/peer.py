"""What other loggers ask, under /peer/v1: rows of this one's head, and a stream of what arrives in it."""

import asyncio
import contextlib
import hashlib
import hmac
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

_CONTENT_TYPE: Final = "application/octet-stream"

T = TypeVar("T")


def peer_routes(reader: LogReader, *, hub: FollowHub, secret: str, registry: CollectorRegistry) -> list[web.RouteDef]:
    """The routes; `secret` is what a logger shows that may ask."""
    streams = Gauge("logger_peer_streams", "Streams of arrivals to other loggers.", registry=registry)
    digest = hashlib.sha256(secret.encode()).digest()
    queue_id = reader.table.queue_id
    head = PeerHead(head=reader.head, deleted=reader.tombstones, takeover=reader.takeover)
    gate = Gate(running=2, waiting=64)
    # Threads of its own: the default ones may all wait for answers of loggers that wait for this one's.
    threads = ThreadPoolExecutor(2, thread_name_prefix="peers")

    async def question(request: web.Request, kind: type[T]) -> T:
        kind_of_access, _, shown = request.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(hashlib.sha256(shown.strip().encode(errors="replace")).digest(), digest)
        if kind_of_access.lower() != "bearer" or not is_right:
            raise web.HTTPUnauthorized
        return decode(await request.read(), kind)

    def check_queue(asked: str) -> None:
        if asked != queue_id:
            raise web.HTTPConflict

    async def answer(request: web.Request, make: Callable[[], bytes]) -> web.StreamResponse:
        """Answer with what a thread makes. It begins at once: who asks sees that somebody is there."""
        async with gate.pass_through():
            response = await _begun(request)
            with contextlib.suppress(ConnectionResetError):
                await response.write_eof(await asyncio.get_running_loop().run_in_executor(threads, make))
        return response

    async def rows(request: web.Request) -> web.StreamResponse:
        asked = await question(request, RowsQuestion)
        check_queue(asked.queue_id)
        try:
            selection = head.selection(asked)
        except PatternError as error:
            raise PeerFormatError(str(error)) from error
        held = head.held(asked.starts, asked.ends)
        return await answer(request, partial(head.rows, selection, asked.hidden, held, gone=partial(_is_gone, request)))

    async def apps(request: web.Request) -> web.StreamResponse:
        asked = await question(request, AppsQuestion)
        check_queue(asked.queue_id)
        return await answer(request, partial(head.apps, asked, head.held(asked.starts, {})))

    async def arrivals(request: web.Request) -> web.StreamResponse:
        asked = await question(request, ArrivalsQuestion)
        check_queue(asked.queue_id)
        response = await _begun(request)
        with contextlib.suppress(ConnectionResetError), streams.track_inprogress(), hub.watching(asked.app) as arrived:
            await _stream(response, head, hub, asked, arrived)
        return response

    return [web.post(ROWS, rows), web.post(APPS, apps), web.post(ARRIVALS, arrivals)]


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
