"""The apps of the demo: which pods there are, what each writes and how often, for as long as it is asked to."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from demo.containers import ContainerLog, next_restart, remove_dead_runs
from demo.corpus import LineMaker, access_lines, java_lines, json_lines, make_container, plain_lines, router_lines
from pipeline.cri import STDERR, STDOUT

ROTATE_BYTES: Final = 256 * 1024
"""A few minutes of a demo app: small, so that rotation and gzip are seen."""

LABELS_FILE: Final = "labels.json"
"""Beside the pods' folders: what `AGENT_POD_LABELS` reads, in place of the API server."""

RELEASE: Final = "v3"

CHECKOUT: Final = "checkout"
"""An app of which three releases run: two are on trial beside the stable one."""

STABLE: Final = "v7"
GOOD: Final = "v8"
BAD: Final = "v9"

_USUAL_ERRORS: Final = 0.005
_BAD_ERRORS: Final = 0.05
_REQUESTS_PER_SECOND: Final = 5.0
"""To each pod."""

_STDERR_RATIO: Final = 0.1
_LONG_LINE_RATIO: Final = 0.002
_RESTARTS_PER_SECOND: Final = 1 / 600


@dataclass(frozen=True, slots=True)
class Workload:
    """Pods of one process type of one app.

    Attributes:
        app: Name of the app.
        process: Process type.
        pods: How many pods.
        maker: What each writes.
        writes_per_second: How often each writes (a write is a line, or a stack trace).
        release: Of these pods.
    """

    app: str
    process: str
    pods: int
    maker: LineMaker
    writes_per_second: float
    release: str = RELEASE


def demo_lines(rng: random.Random, app: str, second: str) -> list[str]:
    """What the web processes of `demo` write: at times coloured, at times more than the runtime stores in one piece."""
    dice = rng.random()
    if dice < _LONG_LINE_RATIO:
        return [f"dump of {app} at {second}: " + " ".join(f"{rng.getrandbits(32):08x}" for _ in range(5000))]
    path = f"/hello/{rng.choice(('world', 'kubernetes', 'deis', 'logs'))}"
    if dice < 0.1:  # noqa: PLR2004 - one line in ten
        return [f"\x1b[33mWARN\x1b[0m GET {path} is slow: {rng.lognormvariate(6, 0.5):.0f} ms"]
    return [f"\x1b[32mINFO\x1b[0m GET {path} 200 {rng.lognormvariate(2, 1):.1f} ms"]


WORKLOADS: Final = (
    Workload("demo", "web", 2, demo_lines, 8),
    Workload("demo", "worker", 1, plain_lines, 4),
    Workload("shop", "web", 2, java_lines, 4),
    Workload("api", "web", 2, json_lines, 15),
    Workload("router", "web", 1, router_lines, 40),
    *(
        Workload(CHECKOUT, "web", pods, partial(access_lines, error_ratio=ratio), _REQUESTS_PER_SECOND, release)
        for release, pods, ratio in ((STABLE, 3, _USUAL_ERRORS), (GOOD, 1, _USUAL_ERRORS), (BAD, 1, _BAD_ERRORS))
    ),
)


class Writer:
    """One pod of a workload, writing at its pace; of its earlier runs the last one is kept, as kubelet keeps it.

    Attributes:
        pod: `<namespace>/<pod>`.
        labels: What Deis labels its pods with.
    """

    def __init__(self, root: Path, workload: Workload, *, replica: int, seed: int, rotate_bytes: int) -> None:
        # The names come from the seed alone: a later demo in the same folder goes on as the next run of these pods.
        names = random.Random(f"{seed}/{workload.app}/{workload.process}/{workload.release}/{replica}")
        container = make_container(names, app=workload.app, process=workload.process)
        self.pod = f"{container.namespace}/{container.pod}"
        self.labels = {"app": workload.app, "type": workload.process, "version": workload.release, "heritage": "deis"}
        self._run = next_restart(container.folder(root))
        remove_dead_runs(container.folder(root), before=self._run - 1)
        self._log = ContainerLog(root, container, restart=self._run, rotate_bytes=rotate_bytes)
        self._workload = workload
        self._rng = random.Random(f"{seed}/{container.pod}/{self._run}")

    def advance(self, seconds: float) -> None:
        """Write what this pod writes in a stretch of time."""
        expected = self._workload.writes_per_second * seconds
        for _ in range(int(expected) + (self._rng.random() < expected % 1)):
            self._write()
        if self._rng.random() < _RESTARTS_PER_SECOND * seconds:
            self._restart()

    def _write(self) -> None:
        stream = STDERR if self._rng.random() < _STDERR_RATIO else STDOUT
        second = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
        for line in self._workload.maker(self._rng, self._workload.app, second):
            self._log.write(line.encode(), stream=stream)

    def _restart(self) -> None:
        self._log.write(b"received SIGTERM, shutting down", stream=STDERR)
        self._log.restart()
        self._run += 1
        remove_dead_runs(self._log.folder, before=self._run - 1)
        self._log.write(b"started", stream=STDERR)

    def close(self) -> None:
        """Close the live file."""
        self._log.close()


def make_writers(
    root: Path, *, seed: int, workloads: Iterable[Workload] = WORKLOADS, rotate_bytes: int = ROTATE_BYTES
) -> Sequence[Writer]:
    """One writer for each pod of the workloads, in log files below `root`."""
    return [
        Writer(root, workload, replica=replica, seed=seed, rotate_bytes=rotate_bytes)
        for workload in workloads
        for replica in range(workload.pods)
    ]


def write_labels(root: Path, writers: Iterable[Writer]) -> None:
    """Write the labels of all pods, as a whole."""
    root.mkdir(parents=True, exist_ok=True)
    temporary = root / f"{LABELS_FILE}.tmp"
    temporary.write_text(json.dumps({writer.pod: writer.labels for writer in writers}, indent=1))
    temporary.rename(root / LABELS_FILE)
