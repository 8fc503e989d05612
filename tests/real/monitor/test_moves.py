"""Two monitors on a real broker: shards move at joins, leaves, kills and freezes, and no counter seems to go down."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from demo.kafka import Broker
from demo.stack import ServiceProcess, free_port, get, wait_until
from pipeline.queue import Producer, open_producer

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.faults]

PARTITIONS = 4
APPS = [f"app-{number}" for number in range(PARTITIONS)]
ROUNDS = int(os.environ.get("MONITOR_MOVES", "1"))
FROZEN_SECONDS = 14.0
"""Longer than a session: the group gives away what a frozen member owned."""


class Monitors:
    """Monitors of one topic, each a process."""

    def __init__(self, url: str, folder: Path) -> None:
        self.ports = {name: free_port() for name in ("one", "two")}
        self._folder = folder
        self._settings = {
            "QUEUE_URL": url,
            "STORE_URL": str(folder / "store"),
            "MONITOR_PEER_SECRET": "a secret of sixteen",
            "MONITOR_STATE_SECONDS": "30",  # so that whoever takes a shard has something to read first
            "LOG_LEVEL": "info",
        }
        self.processes: dict[str, ServiceProcess] = {}

    def start(self, name: str) -> None:
        settings = {**os.environ, **self._settings, "MONITOR_LISTEN": f"127.0.0.1:{self.ports[name]}"}
        process = ServiceProcess(name, ["-m", "monitor"], settings, self._folder / f"{name}.log")
        self.processes[name] = process

    def wait_ready(self, *names: str) -> None:
        for name in names:
            wait_until(
                lambda name=name: get(self.ports[name], "/readyz", seconds=5).status == 200,  # type: ignore[misc]
                seconds=60,
                what=f"{name} ready\n{self.processes[name].last_words()}",
            )

    def shown(self, *names: str) -> dict[str, float]:
        """Lines of each app over the monitors asked; twice when two show the same."""
        found: dict[str, float] = {}
        for name in names:
            for line in get(self.ports[name], "/metrics", seconds=30).body.decode().splitlines():
                if line.startswith("app_lines_total"):
                    app = line.partition('app="')[2].partition('"')[0]
                    found[app] = found.get(app, 0.0) + float(line.rpartition(" ")[2])
        return found

    def answered(self, name: str) -> dict[str, float]:
        """The same by questions over all shards, whoever has them; 0 for what is not answered."""
        found = {}
        for app in APPS:
            path = f"/v1/metrics/{app}?window=900&points=0&metric=app_lines&by="
            answer = get(self.ports[name], path, seconds=30)
            series = json.loads(answer.body)["metrics"][0]["series"] if answer.status == HTTPStatus.OK else []
            found[app] = float(round(sum(one["value"] for one in series) * 900))
        return found


@pytest.fixture
def monitors(broker: Broker, tmp_path: Path) -> Iterator[Monitors]:
    url = f"kafka://{broker.server}/m-{uuid4().hex[:12]}?create=1&partitions={PARTITIONS}&replication=1&min_insync=1"
    one = Monitors(url, tmp_path)
    yield one
    for process in one.processes.values():
        process.kill()


@asynccontextmanager
async def writing(producer: Producer, make_lines: Callable[..., Any]) -> AsyncIterator[dict[str, Any]]:
    """Lines of one app in each partition, all the time."""
    apps = {app: make_lines(app) for app in APPS}

    async def write() -> None:
        while True:
            for number, app in enumerate(APPS):
                await producer.send(number, [apps[app].pack(7)])
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(write())
        try:
            yield apps
        finally:
            task.cancel()


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_moves_lower_no_counter_and_lose_and_double_nothing(
    monitors: Monitors, scraping: Callable[..., Any], watching: Callable[..., Any], make_lines: Callable[..., Any]
) -> None:
    producer = await open_producer(monitors._settings["QUEUE_URL"])
    await in_thread(lambda: monitors.start("one"))
    async with writing(producer, make_lines) as apps:
        await in_thread(lambda: monitors.wait_ready("one"))
        seen = await in_thread(lambda: scraping(*monitors.ports.values()))
        eye = watching(*monitors.ports.values())
        for _ in range(ROUNDS):
            await in_thread(lambda: _round(monitors))
        await in_thread(lambda: monitors.start("two"))
        await in_thread(lambda: _settle(monitors, "one", "two"))
    truth = {app: float(lines.lines) for app, lines in apps.items()}
    await in_thread(
        lambda: wait_until(
            lambda: monitors.shown("one", "two") == truth, seconds=60, what=f"{truth}", every_seconds=0.5
        )
    )
    await asyncio.sleep(1.5)  # Prometheus has seen it, too
    eye.stop()
    assert eye.lowered() == []
    every = await in_thread(lambda: seen.series('{shard=~".+",__name__=~"(app|monitor)_.*_(total|bucket)"}'))
    assert [series.labels for series in every if series.resets] == []
    assert {series.labels["instance"] for series in every} == {"monitor"}
    lines = [series for series in every if series.labels["__name__"] == "app_lines_total"]
    assert {series.labels["app"]: series.values[-1] for series in lines} == truth, "one series of each, over all moves"
    async with asyncio.timeout(60):
        await _ask_until(monitors, truth, producer, apps)
    await producer.close()


async def _ask_until(monitors: Monitors, truth: dict[str, float], producer: Producer, apps: dict[str, Any]) -> None:
    """Ask each monitor about all shards until both say the truth; what is complete goes on with heartbeats."""
    for name in monitors.ports:
        while await in_thread(lambda name=name: monitors.answered(name)) != truth:
            for number, app in enumerate(APPS):
                await producer.send(number, [apps[app].pack(0)])
            await asyncio.sleep(0.5)


def _round(monitors: Monitors) -> None:
    """A join, a kill, a freeze over a take-over, and an orderly end."""
    monitors.start("two")
    monitors.wait_ready("two")
    _settle(monitors, "one", "two")
    monitors.processes["one"].kill()
    _settle(monitors, "two")
    monitors.start("one")
    monitors.wait_ready("one")
    _settle(monitors, "one", "two")
    monitors.processes["two"].send(signal.SIGSTOP)
    frozen_at = time.monotonic()
    _settle(monitors, "one")
    wait_until(lambda: time.monotonic() > frozen_at + FROZEN_SECONDS, seconds=60, what="a long freeze")
    monitors.processes["two"].send(signal.SIGCONT)
    _settle(monitors, "one", "two")
    monitors.processes["two"].stop()
    _settle(monitors, "one")


def _settle(monitors: Monitors, *names: str) -> None:
    """Wait until all apps are shown somewhere, and each of the monitors shows some."""
    wait_until(
        lambda: len(monitors.shown(*names)) == PARTITIONS and all(monitors.shown(name) for name in names),
        seconds=60,
        what=f"all shards at {names}",
        every_seconds=0.2,
    )
