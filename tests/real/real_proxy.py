"""A proxy before a real API server: passes on, refuses, or lets go of everybody."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import web

from demo.controlplane import ControlPlane

_HOP: Final = frozenset({"transfer-encoding", "content-encoding", "content-length", "connection"})


class Proxy:
    """See the module.

    Attributes:
        url: Where it listens.
        refusing: The status with which it refuses, 0 to pass on; with `headers`.
        asked: Queries of the requests so far, refused ones too.
        watches: How many are open.
    """

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self.url = ""
        self.refusing = 0
        self.headers: Mapping[str, str] = {}
        self.asked: list[Mapping[str, str]] = []
        self.watches = 0
        self._plane, self._session = plane, session
        self._open: set[asyncio.Transport] = set()
        self._trust = ssl.create_default_context(cafile=str(plane.authority))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.asked.append(dict(request.query))
        if self.refusing:
            return web.json_response({"message": "not now"}, status=self.refusing, headers=self.headers)
        asked = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = f"{self._plane.url}{request.rel_url}"
        async with self._session.get(url, headers=asked, ssl=self._trust) as told:
            kept = {name: value for name, value in told.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=told.status, headers=kept)
            await response.prepare(request)
            assert isinstance(request.transport, asyncio.Transport)
            self._open.add(request.transport)
            watches = int("watch" in request.query)
            self.watches += watches
            try:
                async for data in told.content.iter_any():
                    await response.write(data)
            finally:
                self.watches -= watches
        return response

    def cut(self) -> None:
        """Break all connections off."""
        while self._open:
            self._open.pop().abort()


@asynccontextmanager
async def proxied(plane: ControlPlane) -> AsyncIterator[Proxy]:
    """A proxy that runs inside the block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plane.folder / "apiserver.crt", plane.folder / "apiserver.key")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        proxy = Proxy(plane, session)
        app = web.Application()
        app.router.add_get("/{path:.*}", proxy.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        proxy.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            proxy.cut()
            await runner.cleanup()
