"""The monitor over HTTP: /metrics, probes, /v1 for people and their tools, /peer/v1 for other monitors."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter

from monitor.answers.answering import Answering
from monitor.answers.peerswire import ASK, Asked, decode, encode
from monitor.reading import IncompleteError
from monitor.settings import MonitorSettings
from pipeline.auth import GRANT, Access, Secret, check_tokens
from pipeline.errors import FormatError
from pipeline.service import Health, probe_routes
from pipeline.settings import is_loopback

log = structlog.get_logger()

_PEER_BYTES: Final = 4 * 1024 * 1024
"""Longest question of another monitor."""


class ParameterError(Exception):
    """A parameter of a request makes no sense; the message says which and why."""


def build_api(
    *,
    settings: MonitorSettings,
    answering: Answering,
    routes: Sequence[web.RouteDef],
    health: Health,
    registry: CollectorRegistry,
    peer_secret: str = "",
) -> web.Application:
    """What the monitor answers on `MONITOR_LISTEN`.

    Args:
        settings: The monitor's settings.
        answering: Answers other monitors.
        routes: What else is served; under /v1 with a token where one is needed.
        health: Which parts work.
        registry: Where metrics are registered.
        peer_secret: What other monitors show; empty for no such route.

    Raises:
        SettingsError: The file of tokens cannot be read.
    """
    if settings.tokens:
        check_tokens(settings.tokens, variable="MONITOR_TOKENS")
    app = web.Application(middlewares=[_answered, _authorized(settings, registry)], client_max_size=_PEER_BYTES)
    app.add_routes([*probe_routes(health), *routes])
    if peer_secret:
        app.add_routes([_peer_route(answering, peer_secret)])
    return app


def error(status: int, message: str) -> web.Response:
    """An answer under /v1 that says what is wrong."""
    return web.json_response({"error": message}, status=status)


def _peer_route(answering: Answering, secret: str) -> web.RouteDef:
    shared = Secret(secret)

    async def ask(request: web.Request) -> web.Response:
        if not shared.is_shown(request.headers.get("Authorization")):
            raise web.HTTPUnauthorized
        asked = decode(await request.read(), Asked)
        return web.Response(body=encode(await answering.answer(asked)), content_type="application/octet-stream")

    return web.post(ASK, ask)


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong into an answer: the one edge where everything is caught."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if not request.path.startswith("/v1"):
            raise
        return error(refusal.status, refusal.text or refusal.reason)
    except (ParameterError, FormatError) as wrong:
        return error(HTTPStatus.BAD_REQUEST, str(wrong))
    except IncompleteError as missing:
        return error(HTTPStatus.SERVICE_UNAVAILABLE, str(missing))
    except Exception:
        log.exception("request failed", path=request.path)
        return error(HTTPStatus.INTERNAL_SERVER_ERROR, "the monitor failed; its own log says why")


def _authorized(settings: MonitorSettings, registry: CollectorRegistry) -> Middleware:
    """Ask for a token under /v1; without any, only this machine may ask."""
    access = Access(
        settings.tokens,
        reload_failures=Counter(
            "monitor_tokens_reload_failures", "Times that a changed MONITOR_TOKENS was not usable.", registry=registry
        ),
        refused=Counter("monitor_tokens_refused", "Requests without a valid token.", registry=registry),
    )
    is_open = bool(settings.tokens) or is_loopback(settings.listen)

    @web.middleware
    async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1"):
            if not is_open:
                raise web.HTTPForbidden(text="MONITOR_TOKENS has to be set: other machines reach this address")
            grant = access.grant(request.headers.get("Authorization"))
            if grant is None:
                raise web.HTTPUnauthorized(text="a valid token is needed: Authorization: Bearer ...")
            request[GRANT] = grant
        return await handler(request)

    return authorized
