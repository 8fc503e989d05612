"""The services of one machine while their queue is replaced, and the verdict on what the table holds afterwards."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from deltalake import DeltaTable

from demo.follower import Follower
from demo.kafka import Broker
from demo.numbered import Seen, Writers, find_faults
from demo.stack import Stack, wait_until
from pipeline.names import TABLE_DIRECTORY
from pipeline.queue import open_consumer

SETTINGS = {
    "LOGGER_FLUSH_SECONDS": "0.5",
    "LOGGER_UPKEEP_SECONDS": "5",
    "LOGGER_PEER_SECRET": "a secret among loggers",
    "LOG_FORMAT": "json",
}
SECONDS = 60.0
_NAME = re.compile(r"w(\d+) r\d+ n(\d+) ")


def _fault_kit() -> ModuleType:
    """What the fault tests of one machine read a table with."""
    name = "fault_kit"
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, Path(__file__).parents[2] / "faults" / "conftest.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


async def _lag(url: str) -> int:
    """Records that the loggers have not committed, as Kafka's own tools show it."""
    consumer = await open_consumer(url, group="logger")
    try:
        committed, ends = await consumer.committed(), await consumer.ends()
    finally:
        await consumer.close()
    return sum(end - committed[partition] for partition, end in ends.items())


@dataclass
class Move:
    """A stack, and who writes on its node."""

    stack: Stack
    writers: Writers

    def start(self, url: str, *names: str, ready: bool = True) -> None:
        """Start services with a queue; an empty URL is the stack's own SQLite file."""
        for name in names:
            self.stack.start(name, **({"QUEUE_URL": url} if url else {}))
        if ready:
            self.stack.wait_ready(*names, seconds=SECONDS)

    def stop(self, *names: str) -> None:
        """Stop services in order; each must end well."""
        for name in names:
            assert self.stack.processes[name].stop().status == 0, self.stack.last_words()

    def command(self, *arguments: str, url: str = "") -> tuple[list[list[str]], str]:
        """What `python -m logger` lists, cells of rows without the header, and what it says."""
        environment = self.stack.environment() | ({"QUEUE_URL": url} if url else {})
        done = subprocess.run(
            [sys.executable, "-m", "logger", *arguments],
            env=environment,
            cwd=self.stack.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()[1:]], done.stderr

    @contextmanager
    def followers(self) -> Iterator[dict[str, list[Seen]]]:
        """Follow all apps inside the block; yields what was seen of each."""
        kit = _fault_kit()
        followed: dict[str, list[Seen]] = {app: [] for app in self.writers.apps}
        with ExitStack() as resources:
            for app, seen in followed.items():
                follower = Follower(self.stack.ports["logger"], app, kit.keep_in(seen))
                resources.enter_context(follower)
                wait_until(lambda one=follower: one.connections > 0, seconds=SECONDS, what=f"a follow of {app}")  # type: ignore[misc]
            yield followed

    @contextmanager
    def tail(self, app: str) -> Iterator[Callable[[], list[Seen]]]:
        """Run `deis-logs tail` inside the block; yields what reads the lines that it has printed."""
        printed, told = self.stack.folder / "tail.out", self.stack.folder / "tail.err"
        command = [sys.executable, "-m", "deis_logs", "tail", "-a", app, "-n", "0", "-o", "raw"]
        environment = {**os.environ, "DEIS_LOGS_URL": self.stack.url("logger")}
        with (
            printed.open("wb") as out,
            told.open("wb") as err,
            subprocess.Popen(command, env=environment, stdout=out, stderr=err) as process,
        ):
            try:
                self.wait_metric("logger", "logger_followers", lambda count: count == 1)
                yield lambda: [Seen(line, "tail") for line in printed.read_text().splitlines()]
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(SECONDS)

    def wait_drained(self, url: str = "") -> None:
        """Wait until the logger has committed all that a queue has: of SQLite as our command shows it."""

        def is_drained() -> bool:
            if url:
                return asyncio.run(_lag(url)) == 0
            return dict(row[:2] for row in self.command("groups")[0])["logger"] == "0"

        wait_until(is_drained, seconds=SECONDS, what="a queue that is read to its end", every_seconds=0.5)

    def rows(self) -> int:
        """How many rows the table has."""
        try:
            table = DeltaTable(str(self.stack.store / TABLE_DIRECTORY))
            return sum(table.get_add_actions().column("num_records").to_pylist())
        except Exception:  # noqa: BLE001 - it is not made yet, or upkeep has just swapped a file: look again
            return -1

    def wait_rows(self, count: int) -> None:
        """Wait until the table has so many rows."""
        wait_until(lambda: self.rows() >= count, seconds=SECONDS, what=f"{count} rows", every_seconds=0.2)

    def wait_metric(self, service: str, name: str, holds: Callable[[float], bool]) -> None:
        """Wait until a metric is as it should be."""
        what = f"{service}: {name}"
        wait_until(lambda: holds(self.stack.metric(service, name)), seconds=SECONDS, what=what, every_seconds=0.2)

    def written(self) -> int:
        """How many lines were written so far."""
        return sum(self.writers.numbers)

    def faults(self) -> list[str]:
        """Everything that is wrong with the table."""
        table = _fault_kit().read_table(self.stack.store)
        return [
            fault for app in self.writers.apps for fault in find_faults(table.get(app, []), self.writers.written(app))
        ]

    def gap_lines(self, listed: list[list[str]]) -> list[tuple[int, int]]:
        """Writer and number of the lines in listed gaps, of containers that rotate nothing."""
        found: list[tuple[int, int]] = []
        for name, _, _, _, pod, _, restart, *_ in listed:
            [path] = self.stack.pod_logs.glob(f"*_{pod}_*/*/{restart}.log")
            start, end = map(int, name.rpartition(":")[2].split("-"))
            lines = re.findall(rb" w(\d+) r\d+ n(\d+) ", path.read_bytes()[start:end])
            found += [(int(writer), int(number)) for writer, number in lines]
        return sorted(found)

    def lost_lines(self) -> list[tuple[int, int]]:
        """Writer and number of the lines that the table lacks; anything else that is wrong with it fails the test."""
        found: list[tuple[int, int]] = []
        table = _fault_kit().read_table(self.stack.store)
        for app in self.writers.apps:
            rows = table.get(app, [])
            matches = [_NAME.match(row.message) for row in rows]
            seen = {(int(match[1]), int(match[2])) for match in matches if match is not None}
            found += [
                (writer, number)
                for writer, count in self.writers.written(app).items()
                for number in range(count)
                if (writer, number) not in seen
            ]
            others = [fault for fault in find_faults(rows, self.writers.written(app)) if not fault.startswith("lost: ")]
            assert others == []
        return sorted(found)

    def complete_up_to(self) -> str:
        """What an answer says of its completeness; empty while unknown."""
        answer = self.stack.get("logger", f"/v1/apps/{self.writers.apps[0]}/logs?limit=1&format=ndjson")
        return answer.headers.get("complete-up-to", "")

    def verdict(self) -> None:
        """Nothing is lost, doubled or out of order, no gap is left, and answers are complete."""
        self.writers.stop()
        self.wait_rows(self.written())
        self.wait_metric("logger", "logger_open_gaps", lambda gaps: gaps == 0)
        wait_until(lambda: bool(self.complete_up_to()), seconds=SECONDS, what="completeness", every_seconds=0.2)
        self.stop("agent", "logger")
        faults = self.faults()
        assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:40]) + "\n" + self.stack.last_words()


@pytest.fixture
def move(tmp_path: Path) -> Iterator[Move]:
    """A stack on its own SQLite file, nothing of it runs yet."""
    with ExitStack() as resources:
        stack = resources.enter_context(Stack(tmp_path, settings=SETTINGS))
        writers = resources.enter_context(Writers(stack.pod_logs, writers=4, apps=2, restart_seconds=3.0, seed=5))
        yield Move(stack, writers)


@pytest.fixture
def quiet_move(tmp_path: Path) -> Iterator[Move]:
    """The same, with writers that write when they are told to only."""
    with ExitStack() as resources:
        stack = resources.enter_context(Stack(tmp_path, settings=SETTINGS))
        writers = resources.enter_context(Writers(stack.pod_logs, writers=4, apps=2, restart_seconds=0.0, seed=6))
        yield Move(stack, writers)


@pytest.fixture
def kafka_url(broker: Broker) -> Any:
    """URL of a topic of one's own, which is not there yet."""
    return f"kafka://{broker.server}/move-{uuid4().hex[:12]}?create=1&partitions=6&replication=1&min_insync=1"
