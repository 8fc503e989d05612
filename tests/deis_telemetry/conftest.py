"""The command, run in this process in an empty home directory; and the monitor's own routes over canaries of a test."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from deis_telemetry.__main__ import main
from monitor.answers.api import build_api
from monitor.canary.board import Board
from monitor.canary.resource.canary import Canary
from monitor.canary.trying import Trying
from monitor.canary.views import canary_routes
from monitor.settings import MonitorSettings
from pipeline.service import Health
from pipeline.store import Store, open_store


@dataclass(frozen=True)
class Outcome:
    """What a run of the command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run `deis-telemetry` with arguments."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "DEIS_PROFILE", "HEPHY_PROFILE", "DEIS_TELEMETRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str) -> Outcome:
        capfdbinary.readouterr()
        status = main(list(arguments))
        captured = capfdbinary.readouterr()
        return Outcome(status, captured.out.decode(), captured.err.decode())

    return run


@dataclass
class OwnMonitor:
    """The monitor's own routes.

    Attributes:
        store: Where analyses are kept.
        canaries: What is there; or one such list for each request, while there is more than one left.
        url: Where it listens.
        unavailable: How many more requests it cannot answer.
    """

    store: Store
    canaries: list[list[Canary]] = field(default_factory=lambda: [[]])
    url: str = ""
    unavailable: int = 0

    async def listed(self) -> Sequence[Canary]:
        """What a request sees."""
        return self.canaries.pop(0) if len(self.canaries) > 1 else self.canaries[0]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen inside the block."""
        board = Board(self.store, clock=itertools.count(step=60).__next__)
        api = build_api(
            settings=MonitorSettings(),
            answering=cast("Any", None),  # for other monitors, of which there are none
            routes=[*canary_routes(board), *Trying().routes()],
            health=Health(),
            registry=CollectorRegistry(),
        )
        api.middlewares.append(self._away())
        runner = web.AppRunner(api)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            with board.showing(self.listed):
                yield
        finally:
            await runner.cleanup()

    def _away(self) -> Any:
        @web.middleware
        async def away(request: web.Request, handler: Any) -> web.StreamResponse:
            if self.unavailable:
                self.unavailable -= 1
                raise web.HTTPServiceUnavailable(text="starting")
            answer: web.StreamResponse = await handler(request)
            return answer

        return away


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnMonitor]:
    """A monitor on a thread of its own, that the command asks."""
    one = OwnMonitor(open_store(str(tmp_path / "store"), directory="monitor"))
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with one.serving():
            ready.set()
            await stop.wait()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(30)
        monkeypatch.setenv("DEIS_TELEMETRY_URL", one.url)
        yield one
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
