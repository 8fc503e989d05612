"""The audit beside a whole pipeline: nothing is wrong while nothing is, and each harm is told by its own figure."""

import contextlib
import http
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.containers import Container, ContainerLog
from demo.stack import Stack, free_port, get, wait_until

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-audit-alone"  # noqa: S105 - of this test
WAYS = ("follow", "query", "stored")
SECONDS = 60.0
QUICK = {
    "LOG_FORMAT": "json",
    "LOGGER_FLUSH_SECONDS": "0.5",
    "AGENT_HEARTBEAT_SECONDS": "0.5",
    "AUDIT_LINES_PER_SECOND": "40",
    "AUDIT_QUERY_SECONDS": "0.5",
    "AUDIT_STORED_SECONDS": "2",
    "AUDIT_SETTLE_SECONDS": "3",
}

Change = Callable[[bytes], list[bytes]]


class Auditor:
    """The audit as a container: what it writes to stdout goes through a runtime of ours, which can do harm.

    Attributes:
        change: What is stored in place of each line that the audit writes.
    """

    def __init__(self, stack: Stack, **settings: str) -> None:
        self.change: Change = lambda line: [line]
        self._port = free_port()
        environment = {
            **os.environ,
            **QUICK,
            "AUDIT_LOGGER_URL": stack.url("logger"),
            "AUDIT_LISTEN": f"127.0.0.1:{self._port}",
            **settings,
        }
        container = Container("audit", "audit-5c8f-x7k2p", "00000000-0000-4000-8000-000000000001", "audit")
        self._log = ContainerLog(stack.pod_logs, container)
        self.words = stack.folder / "audit.log"
        with self.words.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fluentd", "audit"],
                env=environment,
                cwd=stack.folder,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        self._thread = threading.Thread(target=self._store, name="runtime", daemon=True)
        self._thread.start()
        wait_until(lambda: get(self._port, "/healthz").status == http.HTTPStatus.OK, seconds=SECONDS, what="audit up")

    def _store(self) -> None:
        for line in self.process.stdout:
            for stored in self.change(line.rstrip(b"\n")):
                self._log.write(stored)

    def figure(self, name: str, way: str, **labels: str) -> float:
        """Sum of a figure's samples of a way, NaN while there is none."""
        body = get(self._port, "/metrics", seconds=10).body.decode()
        wanted = [f'{label}="{value}"' for label, value in {"way": way, **labels}.items()]
        found = [
            float(sample.rpartition(" ")[2])
            for sample in body.splitlines()
            if sample.startswith(f"fluentd_audit_{name}{{") and all(label in sample for label in wanted)
        ]
        return sum(found) if found else math.nan

    def wait(self, name: str, value: float, *ways: str, **labels: str) -> None:
        """Wait until a figure has a value on these ways, all by default."""
        for way in ways or WAYS:
            wait_until(
                lambda way=way: self.figure(name, way, **labels) == value,
                seconds=SECONDS,
                what=f"{name} of {way} {value}\n{get(self._port, '/metrics').body.decode()}",
                every_seconds=0.2,
            )

    def wait_seen(self, more: int) -> None:
        """Wait until that many more lines came on each way."""
        for way in WAYS:
            enough = self.figure("seen_lines_total", way) + more
            wait_until(
                lambda way=way, enough=enough: self.figure("seen_lines_total", way) >= enough,
                seconds=SECONDS,
                what=f"{enough} lines on {way}\n{self.words.read_text()}\n{get(self._port, '/readyz').body!r}",
                every_seconds=0.2,
            )

    def is_ready(self) -> bool:
        return get(self._port, "/readyz").status == 200

    def harm(self, change: Change) -> None:
        """Do something to the next line, and to that alone."""
        done = threading.Event()

        def once(line: bytes) -> list[bytes]:
            if done.is_set():
                return [line]
            done.set()
            return change(line)

        self.change = once
        assert done.wait(SECONDS)

    def stop(self) -> int:
        """Stop it as Kubernetes does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SECONDS)
        finally:
            self._thread.join(SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS)
        self._thread.join(SECONDS)
        self.process.stdout.close()
        self._log.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} audit audit\n")
    with Stack(tmp_path, settings={**QUICK, "LOGGER_TOKENS": str(tokens)}) as stack:
        stack.start("agent")
        stack.start("logger")
        stack.wait_ready("agent", "logger", seconds=SECONDS)
        yield stack


def test_each_harm_to_a_line_is_told_by_its_figure_and_nothing_else_is(stack: Stack, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    with contextlib.closing(Auditor(stack, AUDIT_TOKEN_FILE=str(token))) as auditor:
        auditor.wait_seen(100)
        wait_until(auditor.is_ready, seconds=SECONDS, what="audit ready")
        auditor.wait("missing_lines", 0)
        for way in WAYS:
            for name in ("duplicated_lines_total", "out_of_order_lines_total", "unexpected_lines_total"):
                assert auditor.figure(name, way) == 0, (way, name)
        assert auditor.figure("latency_seconds_count", "follow") >= 100
        assert auditor.figure("latency_seconds_count", "query") >= 100

        other = ContainerLog(
            stack.pod_logs, Container("audit", "audit-5c8f-other", "00000000-0000-4000-8000-000000000002", "audit")
        )
        held: list[bytes] = []
        auditor.harm(lambda _: [])
        auditor.harm(lambda line: [line[:50] + b"x" + line[51:]])
        auditor.harm(lambda line: other.write(line) or [line])
        auditor.harm(lambda line: held.append(line) or [])
        auditor.wait("missing_lines", 3, reason="complete")
        auditor.wait("duplicated_lines_total", 1)
        auditor.wait("unexpected_lines_total", 1, reason="altered")
        other.write(held[0])
        auditor.wait("missing_lines", 2, reason="complete")
        auditor.wait("late_lines_total", 1)

        auditor.wait_seen(40)
        for way in WAYS:
            assert auditor.figure("missing_lines", way, reason="waited") == 0
            assert auditor.figure("duplicated_lines_total", way) == 1
            assert auditor.figure("out_of_order_lines_total", way) == 0
        assert auditor.stop() == 0
        other.close()


def test_a_logger_that_is_away_makes_nothing_missing_and_a_follow_goes_on(stack: Stack, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with contextlib.closing(Auditor(stack, AUDIT_TOKEN_FILE=str(token))) as auditor:
        auditor.wait_seen(20)
        stack.processes["logger"].kill()
        wait_until(lambda: auditor.figure("errors_total", "follow") > 0, seconds=SECONDS, what="a failure seen")
        wait_until(lambda: auditor.figure("errors_total", "query", reason="away") > 0, seconds=SECONDS, what="away")
        assert not auditor.is_ready()
        stack.start("logger")
        stack.wait_ready("logger", seconds=SECONDS)
        auditor.wait_seen(100)
        auditor.wait("missing_lines", 0)
        for way in WAYS:
            for name in ("duplicated_lines_total", "out_of_order_lines_total", "unexpected_lines_total"):
                assert auditor.figure(name, way) == 0, (way, name)
        token.write_text("no-token-that-anybody-knows")
        stack.processes["logger"].stop()
        stack.start("logger")
        wait_until(
            lambda: auditor.figure("errors_total", "query", reason="refused") > 0, seconds=SECONDS, what="refused"
        )
        assert auditor.stop() == 0
