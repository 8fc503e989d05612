"""The logger over HTTP.

Layers, lower ones know nothing of higher ones::

    params, auth, render     what is asked, by whom, and in which form it is answered
    stream                   a follow as a response
    deis, v1, peer           the contract of deis/logger; the interface of this logger; what other loggers ask
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram

from logger.api.auth import check_access, make_access
from logger.api.deis import deis_routes
from logger.api.params import GoneError, ParameterError
from logger.api.peer import peer_routes
from logger.api.stream import Streams
from logger.api.v1 import v1_routes
from logger.reading.gate import BusyError
from logger.reading.hub import FollowHub
from logger.reading.peerswire import PeerFormatError
from logger.reading.query import LogReader
from logger.reading.search import AbandonedError
from logger.settings import LoggerSettings
from pipeline.auth import GRANT, Access
from pipeline.errors import RetriableError
from pipeline.service import Health, health_routes
from pipeline.settings import is_loopback

log = structlog.get_logger()

_CLIENT_GONE: Final = 499  # what nginx logs for it; nobody gets to see it
_NOT_FOUND: Final = b"404 page not found\n"  # what Go's servers say

__all__ = ["build_api", "build_deis_api", "check_access"]


def build_api(
    *,
    reader: LogReader,
    settings: LoggerSettings,
    health: Health,
    registry: CollectorRegistry,
    peer_secret: str = "",
) -> web.Application:
    """What the logger answers on `LOGGER_LISTEN`: /v1, health, and the contract unless it has its own listener.

    Args:
        reader: Answers the questions.
        settings: The logger's settings.
        health: Which parts work.
        registry: Where metrics are registered.
        peer_secret: What other loggers show to read this one's head (/peer/v1); empty for no such routes.

    Raises:
        SettingsError: The network could read everything, see `check_access`.
    """
    check_access(settings)
    access = make_access(settings.tokens, registry=registry)
    hub = FollowHub(
        head=reader.head,
        boundary=reader.tombstones.boundary,
        limit_lines=settings.follower_lines,
        limit_followers=settings.followers,
        registry=registry,
        queue_id=reader.table.queue_id,
        peers=reader.peers,
        pin=reader.positions,
    )
    open_contract = is_loopback(settings.listen)
    app = web.Application(
        middlewares=[
            _measured(registry, "logger_http"),
            _answered,
            _authorized(access, also=() if open_contract else ("/logs/",)),
        ]
    )
    app.add_routes(health_routes(health, registry))
    streams = Streams(hub=hub, reader=reader, registry=registry)
    app.add_routes(v1_routes(reader, access=access, streams=streams, gone_nodes=settings.gone_node_names))
    if settings.deis_listen is None:
        app.add_routes(deis_routes(reader))
    if peer_secret:
        app.add_routes(peer_routes(reader, hub=hub, secret=peer_secret, registry=registry))
    app.cleanup_ctx.append(_running(hub, reader))
    app.on_shutdown.append(_stop(hub))
    return app


def build_deis_api(*, reader: LogReader, health: Health, registry: CollectorRegistry) -> web.Application:
    """What the logger answers on `LOGGER_DEIS_LISTEN`: the contract of deis/logger alone, without tokens."""
    app = web.Application(middlewares=[_measured(registry, "logger_deis_http"), _answered])
    app.add_routes(health_routes(health, registry))
    app.add_routes(deis_routes(reader))
    return app


def _running(hub: FollowHub, reader: LogReader) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(_: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(hub.run(), name="follow hub")]
            if reader.peers is not None:
                running.append(tasks.create_task(reader.takeover.run(), name="take-over"))
                running.append(tasks.create_task(reader.keep_deletions(), name="deletions"))
            yield
            for task in running:
                task.cancel()

    return run


def _stop(hub: FollowHub) -> Callable[[web.Application], Awaitable[None]]:
    async def stop(_: web.Application) -> None:
        hub.stop()

    return stop


def _measured(registry: CollectorRegistry, prefix: str) -> Middleware:
    answers = Counter(f"{prefix}_answers", "Answers by route and status.", ["route", "status"], registry=registry)
    seconds = Histogram(f"{prefix}_seconds", "Time to answer, follows apart.", ["route"], registry=registry)

    @web.middleware
    async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = "none" if resource is None else resource.canonical
        began = time.monotonic()
        response = await handler(request)
        answers.labels(route, str(response.status)).inc()
        if not route.endswith(("/follow", "/arrivals")):
            seconds.labels(route).observe(time.monotonic() - began)
        return response

    return measured


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong into an answer: the one edge where everything is caught."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refused(request, error)
    except (ParameterError, PeerFormatError, BusyError, AbandonedError, RetriableError) as error:
        return _answer_of(request, error)
    except Exception:
        log.exception("request failed", path=request.path)
        return _error(500, "the logger failed; its own log says why")


def _answer_of(request: web.Request, error: Exception) -> web.Response:
    match error:
        case GoneError():
            return _error(410, str(error))
        case ParameterError() | PeerFormatError():
            return _error(400, str(error))
        case BusyError():
            return _error(429, str(error), {"Retry-After": "1"})
        case AbandonedError():
            return web.Response(status=_CLIENT_GONE)
    log.warning("request not served", path=request.path, error=str(error))
    return _error(503, str(error), {"Retry-After": "1"})


def _refused(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    headers = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
    if request.path.startswith("/v1"):
        return _error(error.status, error.text or error.reason, headers)
    if error.status == 404:  # noqa: PLR2004 - the status
        return web.Response(status=404, body=_NOT_FOUND, headers={"Content-Type": "text/plain; charset=utf-8"})
    return web.Response(status=error.status, headers=headers)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def _authorized(access: Access, *, also: tuple[str, ...]) -> Middleware:
    """Ask for a token under /v1, and under the paths `also`."""

    @web.middleware
    async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(("/v1", *also)):
            grant = access.grant(request.headers.get("Authorization"))
            if grant is None:
                raise web.HTTPUnauthorized(
                    text="a valid token is needed: Authorization: Bearer ...", headers={"WWW-Authenticate": "Bearer"}
                )
            request[GRANT] = grant
        return await handler(request)

    return authorized
