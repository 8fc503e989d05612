"""What Deis answers is read as a whole, however it comes in."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from monitor.canary.deis import Deis, DeisError


def served_as(parts: list[bytes]) -> web.Application:
    """A Deis controller whose list of releases comes in parts, each once the last one has been sent."""

    async def whoami(_: web.Request) -> web.Response:
        return web.json_response({"username": "telemetry"})

    async def releases(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for part in parts:
            await answer.write(part)
            for _ in range(10):  # lets who reads have it before the next comes
                await asyncio.sleep(0)
        await answer.write_eof()
        return answer

    app = web.Application()
    app.add_routes([web.get("/v2/auth/whoami/", whoami), web.get("/v2/apps/shop/releases/", releases)])
    return app


async def facts_of(parts: list[bytes]) -> list[str]:
    runner = web.AppRunner(served_as(parts))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as session:
            host, port = runner.addresses[0][:2]
            facts = await Deis(session, f"http://{host}:{port}", "token").facts("shop")
            return [release.name for release in facts.releases]
    finally:
        await runner.cleanup()


async def test_releases_that_come_in_many_parts_are_read_to_the_end() -> None:
    assert await facts_of([b'{"results": [', b'{"version": 1},', b'{"version": 2}', b"]}"]) == ["v2", "v1"]


async def test_an_answer_that_makes_no_sense_is_no_fact() -> None:
    with pytest.raises(DeisError, match="make no sense"):
        await facts_of([b'{"results": ['])
