"""A real S3 gateway: versitygw, built by the Go tool chain, started on a free port of the loopback.

::

    go install MODULE@VERSION --> build/versitygw/<version>/versitygw --> a process; its buckets are folders
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from demo.fetched import fetch
from demo.server import Server
from demo.stack import free_port, wait_until

BUCKET: Final = "logs"

_MODULE: Final = "github.com/versity/versitygw"
_VERSION: Final = "v1.8.0"
_BINARY: Final = Path(__file__).parents[1] / "build" / "versitygw" / _VERSION / "versitygw"
_BUILD_SECONDS: Final = 900  # 90 CPU-seconds
_START_SECONDS: Final = 30
_ACCESS, _SECRET = "access", "secret"


def missing_tools() -> str:
    """Why no gateway can be started on this machine; empty if one can."""
    return "" if shutil.which("go") or _BINARY.exists() else "no go"


def build() -> Path:
    """The gateway's binary, built once for each version."""
    if not _BINARY.exists():
        partial = _BINARY.parent.with_name(f"{_VERSION}.partial.{os.getpid()}")
        partial.mkdir(parents=True)
        command = ["go", "install", f"{_MODULE}/cmd/versitygw@{_VERSION}"]
        settings = {**os.environ, "GOBIN": str(partial)}
        fetch(command, seconds=_BUILD_SECONDS, environment=settings)
        with suppress(OSError):  # another run was faster
            partial.rename(_BINARY.parent)
        shutil.rmtree(partial, ignore_errors=True)
    return _BINARY


def environment(port: int) -> dict[str, str]:
    """How the client libraries find what listens on `port`."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": _ACCESS,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
    }


class Gateway(Server):
    """One gateway process over a folder, with one bucket.

    Attributes:
        bucket: The folder that is the bucket.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("gateway", port=free_port(), output=folder / "gateway.log")
        self.bucket = folder / "data" / BUCKET
        self._folder = folder
        self.bucket.mkdir(parents=True)
        (folder / "meta").mkdir()

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it serves."""
        options = ["--access", _ACCESS, "--secret", _SECRET, "--port", self.address, "--quiet"]
        self.run([str(build()), *options, "posix", "--sidecar", str(self._folder / "meta"), str(self._folder / "data")])
        wait_until(self.listens, seconds=_START_SECONDS, what="the gateway listens", every_seconds=0.05)
