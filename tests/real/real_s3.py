"""A real S3 gateway for tests: versitygw, built by the Go tool chain, started on a free port of the loopback.

::

    go install MODULE@VERSION --> build/versitygw/<version>/versitygw --> a process; its buckets are folders

`Meddler` stands before it where a test wants requests refused, cut off, or carried out without an answer.
"""

import os
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
MODULE = "github.com/versity/versitygw"
VERSION = "v1.8.0"
BUILD_SECONDS = 900  # 90 CPU-seconds
START_SECONDS = 30
BUCKET = "logs"
ACCESS, SECRET = "access", "secret"

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


def missing_tools() -> str:
    """Why no gateway can be started on this machine; empty if one can."""
    return "" if shutil.which("go") or _binary().exists() else "no go"


def _binary() -> Path:
    return ROOT / "build" / "versitygw" / VERSION / "versitygw"


def build() -> Path:
    """The gateway's binary, built once for each version."""
    if not _binary().exists():
        partial = _binary().parent.with_name(f"{VERSION}.partial.{os.getpid()}")
        partial.mkdir(parents=True)
        environment = {**os.environ, "GOBIN": str(partial)}
        command = ["go", "install", f"{MODULE}/cmd/versitygw@{VERSION}"]
        subprocess.run(command, check=True, timeout=BUILD_SECONDS, env=environment)
        with suppress(OSError):  # another run was faster
            partial.rename(_binary().parent)
        shutil.rmtree(partial, ignore_errors=True)
    return _binary()


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(port: int) -> dict[str, str]:
    """How the client libraries find what listens on `port`."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


class Gateway:
    """One gateway process over a folder, with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.bucket = folder / "data" / BUCKET
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.bucket.mkdir(parents=True)
        (folder / "meta").mkdir()

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it serves."""
        options = ["--access", ACCESS, "--secret", SECRET, "--port", f"127.0.0.1:{self.port}", "--quiet"]
        backend = ["posix", "--sidecar", str(self._folder / "meta"), str(self._folder / "data")]
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._folder / "gateway.log").open("ab") as out:
            self._process = subprocess.Popen(
                [*guard, str(build()), *options, *backend], stdout=out, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            assert self._process.poll() is None, (self._folder / "gateway.log").read_text()
            assert time.monotonic() < deadline, "the gateway does not listen"
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it without closing its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _accepts(self) -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", self.port)) == 0


class Meddler:
    """Stands before a gateway and harms requests, one connection each, as chance or the test wants.

    Attributes:
        port: Where it listens.
        rates: Probability of each harm: `refuse` (503, nothing is done), `cut` (closed, nothing is done), `lose` (done,
            and closed without an answer), `break` (done, and closed in the middle of the answer).
        seen: How many requests met which fate, by method.
    """

    def __init__(self, upstream: int, seed: int = 0) -> None:
        self.rates: dict[str, float] = {}
        self.seen: Counter[tuple[str, str]] = Counter()
        self._chance = random.Random(seed)
        self._upstream = upstream
        meddler = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    meddler._handle(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def harmed(self, fate: str) -> int:
        """How many requests met that fate."""
        return sum(count for (_, name), count in self.seen.items() if name == fate)

    def _fate(self) -> str:
        roll = self._chance.random()
        for name, rate in self.rates.items():
            roll -= rate
            if roll < 0:
                return name
        return "pass"

    def _handle(self, client: socket.socket) -> None:
        request = _read_request(client)
        if not request:
            return
        fate = self._fate()
        self.seen[request.split(b" ", 1)[0].decode(), fate] += 1
        if fate == "cut":
            return
        if fate == "refuse":
            head = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(SLOW_DOWN)}\r\nConnection: close\r\n\r\n"
            client.sendall(head.encode() + SLOW_DOWN)
            return
        with socket.create_connection(("127.0.0.1", self._upstream), timeout=30) as upstream:
            upstream.sendall(request)
            answer = b"".join(iter(lambda: upstream.recv(65536), b""))
        if fate == "break":
            client.sendall(answer[: len(answer) // 2])
        elif fate == "pass":
            client.sendall(answer)


def _read_request(client: socket.socket) -> bytes:
    """One request, asking the other side to close the connection after its answer."""
    client.settimeout(30)
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = client.recv(65536)
        if not part:
            return b""
        body += part
    lines = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body
