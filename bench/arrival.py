"""From a container's write to a follower over HTTP, through the real API server and a real broker, on a busy node."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.figures import Figure
from bench.latency import BUSY, LOAD_BYTES_PER_SECOND
from bench.load import writing
from bench.material import MB, SEED, Material
from bench.node import Node, a_node
from demo.containers import ContainerLog
from demo.corpus import make_container
from demo.follower import Follower, Line
from demo.stack import Stack, pause, wait_until

APP: Final = "arrival"
CONTAINERS: Final = 200
SILENT_SECONDS: Final = 15.0
PAUSE_SECONDS: Final = 0.1


class _Arrivals:
    """What a follower sees of lines that state when they were written."""

    def __init__(self) -> None:
        self.took_ms: list[float] = []

    def take(self, line: Line, arrived_ns: int) -> None:
        self.took_ms.append((arrived_ns - int(line["message"].split()[1])) / 1e6)

    def wait(self, count: int) -> None:
        wait_until(lambda: len(self.took_ms) >= count, seconds=60, what=f"{count} lines at the follower")

    def figure(self, name: str, took_ms: list[float]) -> Figure:
        ordered = sorted(took_ms)
        details = {
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
            "max": ordered[-1],
            "lines": len(ordered),
            "load_mb_per_s": LOAD_BYTES_PER_SECOND / MB,
        }
        return Figure(name, details["p99"], "ms", details)


def arrival_ms(material: Material) -> list[Figure]:
    """First lines of 200 new containers, then a line of each of them after they have been silent.

    A container's first line is written as soon as the API server has taken its pod: no kubelet is as fast.
    """
    arrivals = _Arrivals()
    with a_node(material, "arrival") as node, _pipeline(node, arrivals):
        logs = []
        for number in range(CONTAINERS):
            logs.append(_new_container(node, number))
            _write(logs[-1])
            pause(PAUSE_SECONDS)
        arrivals.wait(CONTAINERS)
        pause(SILENT_SECONDS)
        for log in logs:
            _write(log)
            pause(PAUSE_SECONDS)
        arrivals.wait(2 * CONTAINERS)
        for log in logs:
            log.close()
    return [
        arrivals.figure("first_line_ms", arrivals.took_ms[:CONTAINERS]),
        arrivals.figure("idle_line_ms", arrivals.took_ms[CONTAINERS:]),
    ]


@contextmanager
def _pipeline(node: Node, arrivals: _Arrivals) -> Iterator[None]:
    """Agent and logger that serve a follower, while other apps write."""
    with ExitStack() as ending:
        settings = {**node.settings("arrival"), **BUSY}
        stack = ending.enter_context(Stack(node.folder / "stack", pod_logs=node.pod_logs, settings=settings))
        stack.start("agent")
        stack.start("logger")
        stack.wait_ready("agent", "logger", seconds=120)
        ending.enter_context(writing(node.pod_logs, bytes_per_second=LOAD_BYTES_PER_SECOND, create=node.create))
        follower = ending.enter_context(Follower(stack.ports["logger"], APP, arrivals.take, lines=0))
        wait_until(lambda: follower.connections > 0, seconds=60, what="follower is connected")
        yield


def _new_container(node: Node, number: int) -> ContainerLog:
    rng = random.Random(SEED + number)
    return ContainerLog(node.pod_logs, node.create(make_container(rng, app=APP, process="web")))


def _write(log: ContainerLog) -> None:
    log.write(b"written %d" % time.time_ns())
