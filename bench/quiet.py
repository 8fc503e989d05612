"""From quiet pods' writes to their followers over HTTP, while one pod of the same node writes at full speed."""

import asyncio
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import zstandard

from bench.figures import Figure
from bench.latency import BUSY
from bench.material import MB, SEED, Material
from demo.containers import ContainerLog
from demo.corpus import make_container
from demo.follower import Follower, Line
from demo.stack import ServiceProcess, Stack, pause, wait_until
from fluentd.chunks.surroundings import RunKey
from fluentd.runs.tree import choose_partition
from pipeline.pack import decode_pack
from pipeline.queue import open_consumer

LOUD: Final = "loud"
PROCESS: Final = "web"
PARTITIONS: Final = 4
PODS: Final = 4
SECONDS: Final = 40.0
WARM_SECONDS: Final = 3.0
LINES_PER_SECOND: Final = 5.0
SUSTAINED_BYTES_PER_SECOND: Final = 20_000_000
MOST_BYTES: Final = 6_000_000_000
_STAMP: Final = re.compile(rb" written (\d+)\n")
ROOT: Final = Path(__file__).parents[1]


class _Quiet:
    """Pods of one app that write now and then, and what a follower sees of them."""

    def __init__(self, stack: Stack, app: str) -> None:
        self.app = app
        self.written = 0
        self.took_ms: list[float] = []
        self.logs = [
            ContainerLog(stack.pod_logs, make_container(random.Random(f"{app}{number}"), app=app, process=PROCESS))
            for number in range(PODS)
        ]

    def write(self) -> None:
        """One line of the next pod."""
        self.logs[self.written % PODS].write(b"written %d" % time.time_ns())
        self.written += 1

    def take(self, line: Line, arrived_ns: int) -> None:
        """Called by the follower."""
        self.took_ms.append((arrived_ns - int(line["message"].split()[1])) / 1e6)


def quiet_line_ms(material: Material) -> list[Figure]:
    """Lines of quiet pods, in the loud one's partition and in others, at two speeds of the loud one."""
    return [
        _measure(material, "quiet_line_ms", SUSTAINED_BYTES_PER_SECOND),
        _measure(material, "quiet_line_saturated_ms", 0),
    ]


def _measure(material: Material, name: str, bytes_per_second: int) -> Figure:
    with Stack(material.run / name, settings=BUSY) as stack:
        stack.start("agent")
        stack.start("logger")
        stack.wait_ready("agent", "logger", seconds=120)
        beside, apart = (_Quiet(stack, app) for app in _apps())
        with _follow(stack, beside), _follow(stack, apart), _loud(stack, bytes_per_second):
            pause(WARM_SECONDS)
            skips, begun = (beside.written, apart.written), time.monotonic()
            while time.monotonic() < begun + SECONDS:
                beside.write()
                apart.write()
                pause(1 / LINES_PER_SECOND / PODS)
            took_seconds, size = time.monotonic() - begun, stack.metric("agent", "fluentd_read_bytes_total")
            wait_until(lambda: len(apart.took_ms) >= apart.written, seconds=120, what="all lines of the quiet pods")
            come = len(beside.took_ms)
        details: dict[str, float] = {
            **_spread("apart", apart.took_ms[skips[1] :]),
            **_spread("beside", beside.took_ms[skips[0] :]),
        }
        details |= {
            **_spread("apart_queued", asyncio.run(_queued_ms(stack, apart.app))),
            "beside_to_come": beside.written - come,
            "loud_read_mb_per_s": size / MB / took_seconds,
            "agent_cpu_s": stack.processes["agent"].stop().cpu_seconds,
            "logger_cpu_s": stack.processes["logger"].stop(120).cpu_seconds,
        }
    return Figure(name, details["apart_p99"], "ms", details)


def _spread(name: str, took_ms: list[float]) -> dict[str, float]:
    if not took_ms:
        return {}
    ordered = sorted(took_ms)
    count = len(ordered)
    return {
        f"{name}_p50": ordered[count // 2],
        f"{name}_p99": ordered[count * 99 // 100],
        f"{name}_max": ordered[-1],
        f"{name}_lines": count,
    }


async def _queued_ms(stack: Stack, app: str) -> list[float]:
    """How long after its write the queue had each line of an app that is alone in its partition: the agent's part."""
    consumer = await open_consumer(stack.environment()["QUEUE_URL"], group="bench")
    took_ms: list[float] = []
    try:
        positions = {_partition(app): (await consumer.starts())[_partition(app)]}
        while records := await consumer.fetch(positions, max_bytes=MB, wait_seconds=0):
            positions = {records[-1].partition: records[-1].offset + 1}
            for record in records:
                body = decode_pack(record.value, decompressor=zstandard.ZstdDecompressor())
                took_ms += ((record.time_ns - int(stamp)) / 1e6 for stamp in _STAMP.findall(body.data))
    finally:
        await consumer.close()
    return took_ms


def _apps() -> tuple[str, str]:
    """An app in the loud one's partition, and one in another."""
    names = [f"quiet-{number}" for number in range(10 * PARTITIONS)]
    beside = next(name for name in names if _partition(name) == _partition(LOUD))
    return beside, next(name for name in names if _partition(name) != _partition(LOUD))


def _partition(app: str) -> int:
    return choose_partition(f"{app}/{PROCESS}", RunKey("", "", 0), spread=1, partitions=PARTITIONS)


@contextmanager
def _follow(stack: Stack, quiet: _Quiet) -> Iterator[None]:
    with Follower(stack.ports["logger"], quiet.app, quiet.take, lines=0) as follower:
        wait_until(lambda: follower.connections > 0, seconds=60, what="follower is connected")
        yield


@contextmanager
def _loud(stack: Stack, bytes_per_second: int) -> Iterator[None]:
    """The loud pod writes inside the block."""
    folder = make_container(random.Random(SEED), app=LOUD, process=PROCESS).folder(stack.pod_logs)
    arguments = ["-m", "bench.loud", str(folder), str(bytes_per_second), str(MOST_BYTES)]
    process = ServiceProcess("loud", arguments, {**os.environ, "PYTHONPATH": str(ROOT)}, stack.folder / "loud.log")
    try:
        yield
    finally:
        process.kill()
