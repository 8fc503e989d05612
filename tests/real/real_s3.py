"""What stands before a real S3 gateway where requests are to be refused, cut off, or carried out without an answer."""

import random
import socket
import socketserver
import threading
from collections import Counter
from contextlib import suppress
from typing import Self

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


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
