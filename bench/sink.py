"""Takes JSON lines over HTTP, as a log store does, and does nothing with them but count."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import zstandard

_POLL_SECONDS: Final = 0.05
"""How long its end may take."""


@dataclass(slots=True)
class Taken:
    """What has come so far.

    Attributes:
        lines: JSON objects, one a line.
        size: Their bytes, unpacked.
    """

    lines: int = 0
    size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, body: bytes) -> None:
        """Count one request's body."""
        lines = body.count(b"\n")
        with self._lock:
            self.lines += lines
            self.size += len(body)


@contextmanager
def json_sink(taken: Taken) -> Iterator[str]:
    """A sink on a free port of the loopback; its URL. It takes bodies compressed by zstd."""

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # else each request is a connection

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            unpacking = zstandard.ZstdDecompressor().decompressobj()  # a frame need not state its size
            try:
                lines = unpacking.decompress(body)
            except zstandard.ZstdError:
                lines = b""
            whole = unpacking.eof
            if whole:
                taken.add(lines)
            self.send_response(HTTPStatus.OK if whole else HTTPStatus.BAD_REQUEST)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads = True  # connections that stay open end with the process that opened them
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="sink")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
