"""A logger as `docs/api.md` describes it, on a thread of its own, and the command run against it in this process."""

import asyncio
import base64
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deis_logs.__main__ import main
from deis_logs.times import format_time

BASE_NS = 1_795_521_600 * 10**9  # 2026-11-24T12:00:00Z
SECOND_NS = 10**9


def make_row(number: int, content: bytes = b"", **changes: Any) -> dict[str, Any]:
    """Make a line as the logger gives it, one second after the one before; `content` is not UTF-8: `raw` is there."""
    content = content or f"line {number}".encode()
    row: dict[str, Any] = {
        "app": "demo",
        "time": format_time(BASE_NS + number * SECOND_NS + 123456789),
        "process": "web",
        "release": "v3",
        "pod": "demo-web-5c8f-x7k2p",
        "container": "demo-web",
        "node": "n1",
        "stream": "stdout",
        "message": content.decode("utf-8", "replace"),
        "source": "00" * 16,
        "ordinal": 0,
        "offset": number * 100,
        "continuation": 0,
    }
    try:
        content.decode()
    except UnicodeDecodeError:
        row["raw"] = base64.b64encode(content).decode()
    return row | changes


@dataclass
class FakeLogger:
    """Answers by `docs/api.md` from a list of rows, and misbehaves on demand.

    Attributes:
        rows: All lines, in reading and arrival order.
        apps: The answer of `/v1/apps`.
        refusals: Answers given first, in order: status and error.
        later_refusals: Answers given after the first one.
        on_refusal: Called with each of them.
        kill_after: At which request the process in `victims` is killed, counted from 1.
        victims: A process of the test's own.
        torn_pages: How many more pages end inside a line.
        empty_pages: How many more pages have no line and yet a cursor.
        cut_follows: How many more follows are cut before their first line.
        page_lines: Most lines of one page, whatever `limit` says.
        drop_follow_after: How many lines each follow gets before its connection is cut; `None`: all.
        end_follow: Whether a follow is ended with an `end` event where it would be cut.
        cut_pages: How many more pages are cut in the middle.
        complete_up_to: The watermark; empty while unknown.
        requests: Path and parameters of all requests.
        tokens: `Authorization` of all requests.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    apps: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    later_refusals: list[tuple[int, str]] = field(default_factory=list)
    on_refusal: Callable[[], object] = lambda: None
    kill_after: int = 0
    victims: queue.Queue[Any] = field(default_factory=queue.Queue)
    torn_pages: int = 0
    empty_pages: int = 0
    cut_follows: int = 0
    page_lines: int = 10_000
    drop_follow_after: int | None = None
    end_follow: bool = False
    cut_pages: int = 0
    complete_up_to: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    url: str = ""

    def application(self) -> web.Application:
        """Make the application."""

        @web.middleware
        async def note(request: web.Request, handler: Any) -> web.StreamResponse:
            return await self._note(request, handler)

        app = web.Application(middlewares=[note])
        app.router.add_get("/v1/apps", self._apps)
        app.router.add_get("/v1/apps/{app}/logs", self._history)
        app.router.add_get("/v1/apps/{app}/logs/follow", self._follow)
        return app

    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.query)))
        self.tokens.append(request.headers.get("Authorization"))
        if self.kill_after and len(self.requests) >= self.kill_after:
            self.kill_after = 0
            victim = await asyncio.to_thread(self.victims.get, timeout=20)
            victim.kill()
        if len(self.requests) > 1 and self.later_refusals:
            self.refusals.append(self.later_refusals.pop(0))
        if self.refusals:
            status, error = self.refusals.pop(0)
            self.on_refusal()
            return web.json_response({"error": error}, status=status, headers={"Location": "http://other.test"})
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _apps(self, request: web.Request) -> web.Response:
        return web.json_response({"apps": self.apps})

    def _matching(self, request: web.Request) -> list[int]:
        query = request.query
        since, until = int(query.get("since", "0")), int(query.get("until", str(2**63)))
        text = query.get("text", "")
        chosen = []
        for index, row in enumerate(self.rows):
            moment = BASE_NS + (row["offset"] // 100) * SECOND_NS + 123456789
            if since <= moment < until and text in row["message"]:
                chosen.append(index)
        return chosen

    async def _history(self, request: web.Request) -> web.StreamResponse:
        chosen = self._matching(request)
        if request.query.get("order") == "desc":
            chosen.reverse()
        start = int(request.query.get("cursor", "0").removeprefix("h"))
        stop = start + min(int(request.query["limit"]), self.page_lines)
        if self.empty_pages:
            self.empty_pages -= 1
            return web.Response(headers={"Next-Cursor": f"h{'0' * self.empty_pages}{start}"})
        headers = {"Next-Cursor": f"h{stop}"} if stop < len(chosen) else {}
        if self.complete_up_to:
            headers["Complete-Up-To"] = self.complete_up_to
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        body = b"".join(json.dumps(self.rows[index]).encode() + b"\n" for index in chosen[start:stop])
        if self.cut_pages:
            self.cut_pages -= 1
            await response.write(body[: len(body) // 2])
            cut(request)
            return response
        torn = bool(self.torn_pages) and len(self.requests) > 1  # the first one may fail at once
        self.torn_pages -= torn
        await response.write(body[:-5] if torn else body)
        return response

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await self._send(response, self._watermark(None))  # a sign of life while the last lines are looked for
        if self.cut_follows:
            self.cut_follows -= 1
            cut(request)
            return response
        sent = 0
        position = self._first(request)
        while True:
            while position < len(self.rows):
                if sent == self.drop_follow_after:
                    if self.end_follow:
                        await self._send(response, {"type": "end", "reason": "slow client"})
                    else:
                        cut(request)
                    return response
                await self._send(response, {"type": "line", "cursor": f"f{position + 1}", **self.rows[position]})
                position += 1
                sent += 1
            await self._send(response, self._watermark(self.complete_up_to or None))
            await asyncio.sleep(0.05)

    def _first(self, request: web.Request) -> int:
        query = request.query
        if "cursor" in query:
            return int(query["cursor"].removeprefix("f"))
        if "since" in query:
            return next(iter(self._matching(request)), len(self.rows)) if query["since"].isdigit() else 0
        return max(0, len(self.rows) - int(query.get("lines", "10")))

    @staticmethod
    def _watermark(moment: str | None) -> dict[str, Any]:
        return {"type": "watermark", "complete_up_to": moment}

    @staticmethod
    async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(json.dumps(event).encode() + b"\n")


def cut(request: web.Request) -> None:
    """Cut the connection of a request, as a crash of the server does."""
    transport = request.transport
    if transport is not None:
        transport.abort()


@asynccontextmanager
async def _serving(application: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def server() -> Iterator[FakeLogger]:
    """A fake logger that listens."""
    fake = FakeLogger()
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with _serving(fake.application()) as port:
            fake.url = f"http://127.0.0.1:{port}"
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(5)
        yield fake
    finally:
        done.set()
        thread.join(10)


@dataclass(frozen=True)
class Outcome:
    """What a run of the command left behind."""

    status: int
    out: bytes
    err: str


@pytest.fixture
def run(
    server: FakeLogger, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run `deis-logs` with arguments in this process, against the fake logger, in an empty home directory."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("DEIS_PROFILE", "HEPHY_PROFILE", "DEIS_LOGS_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DEIS_LOGS_URL", server.url)

    def run(*arguments: str) -> Outcome:
        capfdbinary.readouterr()
        status = main(list(arguments))
        captured = capfdbinary.readouterr()
        return Outcome(status, captured.out, captured.err.decode())

    return run


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """`make_row`."""
    return make_row
