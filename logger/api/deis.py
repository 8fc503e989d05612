"""The contract of deis/logger: `GET` and `DELETE /logs/{app}`, byte for byte, without tokens."""

import asyncio
import re
from typing import Final

import structlog
from aiohttp import web

from logger.api.params import ParameterError, check_app
from logger.api.render import TEXT, contract_text, partial_header
from logger.reading.gate import BusyError
from logger.reading.query import LogReader
from pipeline.auth import GRANT
from pipeline.errors import RetriableError

log = structlog.get_logger()

DEFAULT_LINES: Final = 100
MOST_LINES: Final = 10_000
"""More are never given at once; the logger that this replaces kept 1,000 by default."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


def parse_log_lines(value: str) -> int:
    """How many lines are asked for. What is no 64-bit integer means the default, as it always did.

    0 and less asks for no lines, whatever the storage is (deis/logger: none from memory, everything from Redis).
    """
    if not _INTEGER.fullmatch(value) or not -(2**63) <= int(value) < 2**63:
        return DEFAULT_LINES
    return min(max(int(value), 0), MOST_LINES)


def deis_routes(reader: LogReader) -> list[web.RouteDef]:
    """The routes; each with and without a trailing slash."""

    async def read(request: web.Request) -> web.Response:
        app = _app_of(request)
        count = parse_log_lines(request.query.get("log_lines", ""))
        if not count:
            return web.Response(status=204)
        try:
            table, partial = await reader.last_lines(app, count)
        except (RetriableError, BusyError) as error:
            return _failed("read", error)
        if not table.num_rows:
            return web.Response(status=204, headers=partial_header(partial))
        body = await asyncio.to_thread(contract_text, table)
        return web.Response(body=body, headers={"Content-Type": TEXT, **partial_header(partial)})

    async def delete(request: web.Request) -> web.Response:
        app = _app_of(request)
        try:
            await reader.delete(app)
        except RetriableError as error:
            return _failed("delete", error)
        return web.Response()

    return [
        route
        for path in ("/logs/{app}", "/logs/{app}/")
        for route in (web.get(path, read, allow_head=False), web.delete(path, delete))
    ]


def _app_of(request: web.Request) -> str:
    try:
        app = check_app(request.match_info["app"])
    except ParameterError as error:
        raise web.HTTPNotFound from error
    grant = request.get(GRANT)  # there only where the network could read everything otherwise
    if grant is not None and not grant.opens(app):
        raise web.HTTPForbidden
    return app


def _failed(act: str, error: Exception) -> web.Response:
    log.warning("logs not served", act=act, error=str(error))
    return web.Response(status=500)
