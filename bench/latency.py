"""The one-process form: from an append to a follower, and what it costs when nothing happens."""

import random
import time
from typing import Final

from bench.figures import Figure
from bench.load import writing
from bench.material import MB, SEED, Material
from demo.containers import ContainerLog
from demo.corpus import make_container, write_corpus
from demo.follower import Follower, Line
from demo.stack import Stack, StackError, pause, wait_until

LINES: Final = 1000
LINES_PER_SECOND: Final = 50
LOAD_BYTES_PER_SECOND: Final = 2_000_000
IDLE_SECONDS: Final = 20.0
BUSY: Final = {"LOGGER_FLUSH_SECONDS": "1", "LOGGER_UPKEEP_SECONDS": "2"}
"""Flush and upkeep ten and more times as often as by default: the follower is to feel them."""


def follow_latency_ms(material: Material) -> list[Figure]:
    """Time from a line's write to its arrival at a follower over HTTP, with other apps writing 2 MB/s."""
    took: list[float] = []

    def on_line(line: Line, arrived_ns: int) -> None:
        took.append((arrived_ns - int(line["message"].split()[1])) / 1e6)

    with Stack(material.run / "follow", settings=BUSY) as stack:
        stack.start("all")
        stack.wait_ready("agent", "logger", "monitor", seconds=120)
        container = make_container(random.Random(SEED), app="follow", process="web")
        with (
            writing(stack.pod_logs, bytes_per_second=LOAD_BYTES_PER_SECOND),
            Follower(stack.ports["logger"], "follow", on_line, lines=0) as follower,
        ):
            log = ContainerLog(stack.pod_logs, container)
            wait_until(lambda: follower.connections > 0, seconds=60, what="follower is connected")
            for number in range(LINES):
                log.write(b"line %d %d" % (time.time_ns(), number))
                pause(1 / LINES_PER_SECOND)
            log.close()
            wait_until(lambda: len(took) >= LINES, seconds=60, what=f"{LINES} lines, {len(took)} came")
        commits = stack.metric("logger", "logger_table_version")
        merges = stack.metric("logger", "logger_upkeep_commits_total")
        ended = stack.processes["all"].stop()
    if len(took) != LINES:
        raise StackError(f"{len(took)} lines of {LINES}")
    took.sort()
    details = {
        "p50": took[LINES // 2],
        "p99": took[LINES * 99 // 100],
        "max": took[-1],
        "lines": LINES,
        "load_mb_per_s": LOAD_BYTES_PER_SECOND / MB,
        "cpu_s": ended.cpu_seconds,
        "commits": commits,
        "upkeep_commits": merges,
    }
    return [Figure("follow_latency_ms", details["p99"], "ms", details)]


def idle_cpu_percent(material: Material) -> list[Figure]:
    """CPU of all services in one process, 60 containers that write nothing, default settings; of one core."""
    with Stack(material.run / "idle") as stack:
        write_corpus(stack.pod_logs, total_bytes=60 * 1024, seed=SEED)
        process = stack.start("all")
        stack.wait_ready("agent", "logger", "monitor", seconds=120)
        pause(IDLE_SECONDS)  # past the first flush
        before, begin = process.cpu_seconds(), time.monotonic()
        pause(IDLE_SECONDS)
        used, took = process.cpu_seconds() - before, time.monotonic() - begin
        details = {"cpu_s": used, "took_s": took, "rss_mb": process.rss_bytes() / MB}
        process.stop()
    return [Figure("idle_cpu_percent", 100 * used / took, "%", details)]
