"""vlagent of VictoriaLogs, the agent that ours is compared with: built by the Go tool chain, run as on a node.

::

    vlagent_parts/go.mod, go.sum --go build--> build/vlagent/<hash>/vlagent --> a process

Its module names a version of VictoriaMetrics that no module proxy has; go.mod puts a release in its place. It is built
with C, as its own releases for this platform are: without, its zstd is a slower one written in Go.
"""

import hashlib
import os
import shutil
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

from demo.fetched import fetch
from demo.stack import ServiceProcess, free_port, get, wait_until

_PACKAGE: Final = "github.com/VictoriaMetrics/VictoriaLogs/app/vlagent"
_PARTS: Final = Path(__file__).parent / "vlagent_parts"
_SOURCES: Final = ("go.mod", "go.sum")
_BUILT: Final = Path(__file__).parents[1] / "build" / "vlagent"
_BUILD: Final = ("-trimpath", "-ldflags", "-s -w")
_C: Final = {"CGO_ENABLED": "1"}
_BUILD_SECONDS: Final = 900  # 40 CPU-seconds
_START_SECONDS: Final = 60


def missing_tools() -> str:
    """Why it cannot be run on this machine; empty if it can."""
    if _binary().exists():
        return ""
    return ", ".join(f"no {tool}" for tool in ("go", "cc") if shutil.which(tool) is None)


def build() -> Path:
    """The program, built once for each content of its sources and way to build it."""
    binary = _binary()
    if not binary.exists():
        partial = binary.parent.with_name(f"{binary.parent.name}.partial.{os.getpid()}")
        partial.mkdir(parents=True)
        command = ["go", "build", "-C", str(_PARTS), *_BUILD, "-o", str(partial / "vlagent"), _PACKAGE]
        fetch(command, seconds=_BUILD_SECONDS, environment={**os.environ, **_C})
        with suppress(OSError):  # another run was faster
            partial.rename(binary.parent)
        shutil.rmtree(partial, ignore_errors=True)
    return binary


def _binary() -> Path:
    content = hashlib.sha256(f"{_BUILD} {_C}".encode())
    for name in _SOURCES:
        content.update((_PARTS / name).read_bytes())
    return _BUILT / content.hexdigest()[:16] / "vlagent"


def start_vlagent(folder: Path, *, containers: Path, kubeconfig: Path, sink: str) -> ServiceProcess:
    """Start it with its own defaults, as the collector of the first node that the API server names.

    Args:
        folder: Of its state; not there yet.
        containers: kubelet's folder of links, `/var/log/containers` on a node.
        kubeconfig: How it reaches the API server.
        sink: URL that it sends JSON lines to.

    Raises:
        StackError: It does not answer.
    """
    folder.mkdir(parents=True)
    port = free_port()
    arguments = [
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-tmpDataPath={folder / 'state'}",
        f"-remoteWrite.url={sink}",
        "-remoteWrite.format=jsonline",
        "-kubernetesCollector",
        f"-kubernetesCollector.logsPath={containers}",
    ]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    environment.pop("KUBERNETES_SERVICE_HOST", None)  # it would look for a service account first
    process = ServiceProcess("vlagent", arguments, environment, folder / "vlagent.log", program=str(build()))
    wait_until(
        lambda: process.poll() is not None or get(port, "/health", seconds=5).status == HTTPStatus.OK,
        seconds=_START_SECONDS,
        what=f"vlagent answers\n{process.last_words()}",
    )
    return process
