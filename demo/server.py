"""A server program that is not ours, as a process on a port of the loopback."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from demo.stack import StackError, process_cpu_seconds

_STOP_SECONDS: Final = 15.0
_LAST_WORDS: Final = 2000


class Server:
    """One process, ended by its pid. It dies with the process that started it, as far as the system can see to that.

    Attributes:
        port: Where it listens, on the loopback.
        output: What it prints.
    """

    def __init__(self, name: str, *, port: int, output: Path) -> None:
        self.port = port
        self.output = output
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens: `host:port`."""
        return f"127.0.0.1:{self.port}"

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the process; it is not ready yet."""
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603 - programs that we have fetched ourselves
                [*guard, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,  # a terminal's Ctrl-C is for the services, which need this for their last words
            )

    def listens(self) -> bool:
        """Whether it takes connections.

        Raises:
            StackError: It has ended.
        """
        if self._running().poll() is not None:
            raise StackError(f"{self._name} ended by itself\n{self.last_words()}")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.output.replace(self.output.with_suffix(".old"))

    def stop(self) -> None:
        """End it in order, or by force if that takes too long."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def pause(self) -> None:
        """Stop it without closing its connections."""
        os.kill(self._running().pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._running().pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU time that it has used so far, in steps of 10 ms."""
        return process_cpu_seconds(self._running().pid)

    def last_words(self) -> str:
        """The end of what it has printed."""
        return self.output.read_text(errors="replace")[-_LAST_WORDS:] if self.output.exists() else ""

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise StackError(f"{self._name} does not run")
        return self._process
