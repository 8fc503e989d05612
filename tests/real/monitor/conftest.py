"""Monitors as processes, scraped by everybody: what they show must only grow, and in the end be the truth."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

from demo import prometheus
from demo.prometheus import Prometheus
from demo.stack import get
from pipeline.chunk import Chunk, Origin
from pipeline.cri import format_time
from pipeline.pack import encode_pack

_SAMPLE = re.compile(
    r'^((?:app|monitor)_[a-z_]+_(?:total|bucket|count|sum)\{[^\n]*shard="[^\n]*\}) ([^ \n]+)$', re.MULTILINE
)


_AT_ONCE = 3


@pytest.fixture(scope="session")
def prometheus_tools() -> None:
    """Skip, with the reason, where no Prometheus can be had."""
    if missing := prometheus.missing_tools():
        pytest.skip(f"real Prometheus: {missing} on this machine")


@pytest.fixture
def scraping(prometheus_tools: None, tmp_path: Path) -> Iterator[Callable[..., Prometheus]]:
    """Starts a Prometheus that scrapes the monitors on some ports."""
    started: list[Prometheus] = []

    def start(*ports: int, scrape_seconds: float = 0.5) -> Prometheus:
        one = Prometheus(tmp_path / f"prometheus-{len(started)}", ports, scrape_seconds=scrape_seconds)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.kill()


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one monitor said once.

    Attributes:
        began_at: When the scrape began, monotonic seconds.
        ended_at: When its answer was there.
        port: Of the monitor.
        status: Of the answer; 0 when there was none.
        values: Counters that go with a shard.
    """

    began_at: float
    ended_at: float
    port: int
    status: int
    values: Mapping[str, float]


@dataclass(slots=True)
class Eye:
    """Scrapes monitors all the time, with a few scrapes at once: one that is frozen has some before it when it wakes.

    Attributes:
        scrapes: All that was seen.
    """

    ports: tuple[int, ...]
    scrapes: list[Scrape] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        self._threads = [
            threading.Thread(target=self._look, args=(port,), daemon=True) for port in self.ports * _AT_ONCE
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _look(self, port: int) -> None:
        while not self._stopping.wait(0.15):
            began_at = time.monotonic()
            answer = get(port, "/metrics", seconds=1)
            told = answer.body.decode() if answer.status == 200 else ""
            values = {key: float(value) for key, value in _SAMPLE.findall(told)}
            self.scrapes.append(Scrape(began_at, time.monotonic(), port, answer.status, values))

    def lowered(self) -> list[str]:
        """Every counter that a scrape showed lower than another that had ended before it began, at whatever monitor."""
        newest: dict[str, tuple[float, int]] = {}
        found, ended = [], iter(sorted(self.scrapes, key=lambda one: one.ended_at))
        before = next(ended, None)
        for scrape in sorted(self.scrapes, key=lambda one: one.began_at):
            while before is not None and before.ended_at < scrape.began_at:
                for key, value in before.values.items():
                    newest[key] = max(newest.get(key, (value, before.port)), (value, before.port))
                before = next(ended, None)
            for key, value in scrape.values.items():
                most, port = newest.get(key, (value, scrape.port))
                if value < most:
                    found.append(f"{key}: {most} at {port}, then {value} at {scrape.port}")
        return found


@pytest.fixture
def watching() -> Iterator[Callable[..., Eye]]:
    """Starts an `Eye` over the monitors on some ports."""
    eyes: list[Eye] = []

    def start(*ports: int) -> Eye:
        eye = Eye(ports)
        eyes.append(eye)
        eye.start()
        return eye

    yield start
    for eye in eyes:
        eye.stop()


@dataclass(slots=True)
class Lines:
    """A container's lines as an agent sends them: each pack goes on where the last one ended."""

    app: str
    node: str = "node-1"
    lines: int = 0
    _end: int = 0

    def pack(self, count: int) -> bytes:
        """The next lines."""
        now_ns = time.time_ns()
        data = b"".join(format_time(now_ns + n) + b" stdout F line %d\n" % (self.lines + n) for n in range(count))
        self.lines += count
        start, self._end = self._end, self._end + len(data)
        origin = Origin(self.node, self.app, f"{self.app}-web", f"uid-{self.app}", "web", 0, self.app)
        chunk = Chunk(origin, self.app.encode()[:16].ljust(16, b"s"), 0, start, self._end, start, data)
        return encode_pack(
            [chunk] if data else [], node=self.node, heartbeat_ns=now_ns + count, compressor=zstandard.ZstdCompressor()
        )


@pytest.fixture
def make_lines() -> type[Lines]:
    """Makes `Lines`."""
    return Lines


@pytest.fixture
def asked() -> Callable[[int, str], tuple[int, dict[str, object]]]:
    """Asks a monitor for a JSON answer."""

    def ask(port: int, path: str) -> tuple[int, dict[str, object]]:
        answer = get(port, path, seconds=20)
        return answer.status, json.loads(answer.body) if answer.body else {}

    return ask
