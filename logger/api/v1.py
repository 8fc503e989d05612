"""The interface under /v1: apps, pages of lines, follows, deletion. See `docs/api.md`."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from logger.api.params import (
    FOLLOW_FORMATS,
    FOLLOW_PARAMETERS,
    PAGE_FORMATS,
    PAGE_LINES,
    PAGE_PARAMETERS,
    Parameters,
    check_app,
)
from logger.api.render import ARROW, CSV, NDJSON, TEXT, arrow, csv, format_time, ndjson, partial_header, text
from logger.api.stream import Streams
from logger.reading.backlog import FollowRequest
from logger.reading.cursor import BacklogCursor, LiveCursor, PageCursor, encode_cursor
from logger.reading.page import Page, Selection
from logger.reading.query import LogReader
from logger.reading.summary import AppSummary
from pipeline.auth import GRANT, Access

DEFAULT_LINES: Final = 100
DEFAULT_FOLLOW_LINES: Final = 10


def v1_routes(
    reader: LogReader, *, access: Access, streams: Streams, gone_nodes: frozenset[str] = frozenset()
) -> list[web.RouteDef]:
    """The routes; `gone_nodes` were declared gone, so that completeness says nothing about them."""
    pages, follows = _Pages(reader, gone_nodes), _Follows(reader, access, streams)
    return [
        web.get("/v1/apps", pages.apps, allow_head=False),
        web.get("/v1/apps/{app}/logs", pages.logs, allow_head=False),
        web.get("/v1/apps/{app}/logs/follow", follows.follow, allow_head=False),
        web.delete("/v1/apps/{app}", pages.delete),
    ]


class _Pages:
    """What is answered at once."""

    def __init__(self, reader: LogReader, gone_nodes: frozenset[str]) -> None:
        self._reader = reader
        self._gone_nodes = gone_nodes

    async def apps(self, request: web.Request) -> web.Response:
        Parameters(request.query, known=())
        found, missing = await self._reader.apps(request[GRANT].opens)
        return web.json_response({"apps": [_told(app) for app in found]}, headers=partial_header(missing))

    async def logs(self, request: web.Request) -> web.Response:
        app = open_app(request)
        parameters = Parameters(request.query, known=PAGE_PARAMETERS)
        form = parameters.choice("format", PAGE_FORMATS, default="ndjson")
        selection = _selection(app, parameters)
        page = await self._reader.page(selection, gone=partial(_is_gone, request))
        content_type, render = _renderer(form, selection)
        body = await asyncio.to_thread(render, page)
        return web.Response(body=body, headers={"Content-Type": content_type, **_page_headers(page, self._gone_nodes)})

    async def delete(self, request: web.Request) -> web.Response:
        app = open_app(request)
        Parameters(request.query, known=())
        await self._reader.delete(app)
        return web.Response(status=204)


class _Follows:
    """What goes on until somebody ends it."""

    def __init__(self, reader: LogReader, access: Access, streams: Streams) -> None:
        self._queue_id = reader.table.queue_id
        self._access = access
        self._streams = streams

    async def follow(self, request: web.Request) -> web.StreamResponse:
        app = open_app(request)
        parameters = Parameters(request.query, known=FOLLOW_PARAMETERS)
        form = parameters.choice("format", FOLLOW_FORMATS, default="sse")
        cursor = parameters.follow_cursor(request.headers.get("Last-Event-ID", ""), queue_id=self._queue_id)
        wanted = _follow_request(app, parameters, cursor)
        allowed = partial(self._access.still_opens, request[GRANT], app)
        return await self._streams.serve(request, wanted, form=form, allowed=allowed)


def open_app(request: web.Request) -> str:
    """The app in the request's path, if its token opens it: whether the app exists plays no part."""
    app = check_app(request.match_info["app"])
    if not request[GRANT].opens(app):
        raise web.HTTPForbidden(text="the token does not open this app")
    return app


def _selection(app: str, parameters: Parameters) -> Selection:
    before, after = parameters.context()
    return Selection(
        app,
        parameters.integer("limit", default=DEFAULT_LINES, least=1, most=PAGE_LINES),
        descending=parameters.choice("order", ("asc", "desc"), default="asc") == "desc",
        since_ns=parameters.moment("since"),
        until_ns=parameters.moment("until"),
        beyond=parameters.page_cursor(),
        lines=parameters.line_filter(),
        before=before,
        after=after,
    )


def _follow_request(app: str, parameters: Parameters, cursor: BacklogCursor | LiveCursor | None) -> FollowRequest:
    before, after = parameters.context()
    return FollowRequest(
        app,
        lines=parameters.integer("lines", default=DEFAULT_FOLLOW_LINES, least=0, most=PAGE_LINES),
        since_ns=parameters.moment("since"),
        cursor=cursor,
        wanted=parameters.line_filter(),
        before=before,
        after=after,
    )


def _told(app: AppSummary) -> dict[str, str | int]:
    first, last = format_time(app.first_ns), format_time(app.last_ns)
    return {"app": app.app, "first_time": first, "last_time": last, "lines": app.lines}


def _renderer(form: str, selection: Selection) -> tuple[str, Callable[[Page], bytes]]:
    goes_on = selection.beyond is not None and selection.lines.passes_all
    as_text = partial(text, goes_on=goes_on, descending=selection.descending)
    renderers: dict[str, tuple[str, Callable[[Page], bytes]]] = {
        "ndjson": (NDJSON, ndjson),
        "text": (TEXT, as_text),
        "csv": (CSV, csv),
        "arrow": (ARROW, arrow),
    }
    return renderers[form]


def _page_headers(page: Page, gone_nodes: frozenset[str]) -> dict[str, str]:
    headers = partial_header(page.partial)
    if page.watermark_ns is not None:
        headers["Complete-Up-To"] = format_time(page.watermark_ns)
        if gone_nodes:
            headers["Complete-Without"] = ", ".join(sorted(gone_nodes))
    if page.following is not None:
        headers["Next-Cursor"] = encode_cursor(PageCursor(page.following))
    return headers


def _is_gone(request: web.Request) -> bool:
    """Whether the client has closed its connection; also asked from threads."""
    transport = request.transport
    return transport is None or transport.is_closing()
