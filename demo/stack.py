"""The services as processes of their own, in a folder of their own: for benchmarks, fault tests and tries by hand."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "agent": ("fluentd",),
    "logger": ("logger",),
    "monitor": ("monitor",),
    "all": ("pipeline", "up"),
}
"""What `python -m` is given for each service; `all` is the one-process form."""

STOP_SECONDS: Final = 30.0
"""A service has ended this long after SIGTERM, or the stop has failed."""

POLL_SECONDS: Final = 0.02
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_TAIL_BYTES: Final = 4000


class StackError(Exception):
    """A process or a condition did not do what was waited for; says what, and shows the services' last words."""


def pause(seconds: float) -> None:
    """Let other processes run between two looks at a condition."""
    threading.Event().wait(seconds)


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, every_seconds: float = POLL_SECONDS
) -> None:
    """Look until a condition holds.

    Raises:
        StackError: It did not within `seconds`; names `what`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(f"waited {seconds} s in vain: {what}")
        pause(every_seconds)


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different TCP ports of this machine that nobody listens on now."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def process_cpu_seconds(pid: int) -> float:
    """CPU time, user and system, that a running process has used so far, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended.

    Attributes:
        status: Exit status; minus the number of the signal that ended it.
        cpu_seconds: What it and its children used, user and system.
        system_seconds: How much of it the kernel used: for memory taken for the first time, more than for all else.
        peak_rss_bytes: Its largest resident memory, as last looked at before its end. Not the kernel's `ru_maxrss`,
            which counts the memory of the process that started it.
        took_seconds: Wall time from its start to its end, as last looked.
    """

    status: int
    cpu_seconds: float
    system_seconds: float
    peak_rss_bytes: int
    took_seconds: float


class ServiceProcess:
    """One running service, ended by its pid and nothing else.

    Args:
        name: What it is called in messages.
        arguments: For the program.
        environment: All of it.
        output: What it prints is added to this file; the file's folder is its working directory.
        program: The interpreter, or another program that is measured beside our services.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        output: Path,
        *,
        program: str = sys.executable,
    ) -> None:
        self.name = name
        self.output = output
        self._ended: Ended | None = None
        self._peak_rss_bytes = 0
        self._begun = time.monotonic()
        with output.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own services, and programs we built
                [program, *arguments],
                env=environment,
                cwd=output.parent,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> Ended | None:
        """How it ended, `None` while it runs."""
        if self._ended is None:
            self._peak_rss_bytes = max(self._peak_rss_bytes, self._status_bytes("VmHWM"))
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                cpu_seconds = usage.ru_utime + usage.ru_stime
                took = time.monotonic() - self._begun
                self._ended = Ended(self._process.returncode, cpu_seconds, usage.ru_stime, self._peak_rss_bytes, took)
        return self._ended

    def wait(self, seconds: float = STOP_SECONDS) -> Ended:
        """Wait for its end.

        Raises:
            StackError: It still runs after `seconds`.
        """
        wait_until(lambda: self.poll() is not None, seconds=seconds, what=f"end of {self.name}\n{self.last_words()}")
        if self._ended is None:
            raise StackError(f"{self.name} has ended and not ended")
        return self._ended

    def send(self, number: signal.Signals) -> None:
        """Send it a signal if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> Ended:
        """End it as `kill -9` does."""
        self.send(signal.SIGKILL)
        return self.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> Ended:
        """End it as Kubernetes does, with SIGTERM."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def cpu_seconds(self) -> float:
        """CPU time that it has used so far, in steps of 10 ms."""
        return process_cpu_seconds(self.pid)

    def rss_bytes(self) -> int:
        """Its resident memory now."""
        return self._status_bytes("VmRSS")

    def _status_bytes(self, name: str) -> int:
        """A size from the kernel's account of the process; 0 when it is a zombie."""
        match = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        return int(match[1]) * 1024 if match else 0

    def last_words(self) -> str:
        """The end of what it has printed."""
        return f"--- {self.name}: {self.output}\n" + self.output.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; status 0 when nobody answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def get(port: int, path: str, *, seconds: float = 60.0) -> Answer:
    """Ask whoever listens on a port of this machine; an answer of status 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            headers = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, b"")


class Stack:
    """The services of one machine, their data below one folder, on ports of their own.

    Args:
        folder: Holds queue, table, agent state, pod logs and the services' output.
        pod_logs: kubelet's folder of pod logs; `<folder>/pods` by default.
        settings: More environment variables for all services.
    """

    def __init__(
        self, folder: Path, *, pod_logs: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.pod_logs = pod_logs or folder / "pods"
        self.store = folder / "store"
        self.queue = folder / "queue"
        self.state = folder / "agent"
        self.ports = {"agent": free_port(), "logger": free_port(), "monitor": free_port()}
        self.processes: dict[str, ServiceProcess] = {}
        self._settings = dict(settings or {})
        for needed in (self.pod_logs, self.queue, self.store, self.state):
            needed.mkdir(parents=True, exist_ok=True)

    def environment(self) -> dict[str, str]:
        """Environment of every service."""
        return {
            **os.environ,
            "QUEUE_URL": f"sqlite:///{self.queue / 'queue.db'}",
            "STORE_URL": str(self.store),
            "AGENT_POD_LOGS": str(self.pod_logs),
            "AGENT_STATE": str(self.state),
            "AGENT_LISTEN": f"127.0.0.1:{self.ports['agent']}",
            "LOGGER_LISTEN": f"127.0.0.1:{self.ports['logger']}",
            "MONITOR_LISTEN": f"127.0.0.1:{self.ports['monitor']}",
            **self._settings,
        }

    def start(self, name: str, **settings: str) -> ServiceProcess:
        """Start one service (`agent`, `logger`, `monitor`, `all`), with more settings for this run alone."""
        environment = self.environment() | settings
        process = ServiceProcess(name, ["-m", *MODULES[name]], environment, self.folder / f"{name}.log")
        self.processes[name] = process
        return process

    def url(self, name: str) -> str:
        """Where a service answers."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def get(self, name: str, path: str, *, seconds: float = 60.0) -> Answer:
        """Ask a service; an answer of status 0 when there is none."""
        return get(self.ports[name], path, seconds=seconds)

    def is_ready(self, name: str) -> bool:
        """Whether a service says that it is able to serve."""
        return self.get(name, "/readyz", seconds=5).status == http.HTTPStatus.OK

    def wait_ready(self, *names: str, seconds: float = 30.0) -> None:
        """Wait until services are ready.

        Raises:
            StackError: One is not after `seconds`; shows what it said.
        """
        for name in names:
            try:
                wait_until(lambda name=name: self.is_ready(name), seconds=seconds, what=f"{name} ready")  # type: ignore[misc]
            except StackError as error:
                said = self.get(name, "/readyz", seconds=5)
                raise StackError(f"{error}: {said.status} {said.body!r}\n{self.last_words()}") from error

    def metric(self, name: str, metric: str) -> float:
        """Sum of a metric's samples over its labels, NaN when the service does not show it."""
        text = self.get(name, "/metrics", seconds=10).body.decode()
        found = re.findall(rf"^{re.escape(metric)}(?:\{{[^\n]*\}})? ([^ \n]+)", text, re.MULTILINE)
        return sum(map(float, found)) if found else float("nan")

    def last_words(self) -> str:
        """The ends of what the services have printed."""
        return "\n".join(process.last_words() for process in self.processes.values())

    def alive(self) -> Iterator[ServiceProcess]:
        """The services that run."""
        return (process for process in self.processes.values() if process.poll() is None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in list(self.alive()):
            process.kill()
