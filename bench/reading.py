"""Reading: the last lines of an app, and a search through all of them."""

import os
import statistics
import time
from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.figures import Figure
from bench.ingest import NO_UPKEEP, ingest, table_files
from bench.material import LONG_SECONDS, MB, Material
from demo.corpus import APPS
from demo.stack import Stack, StackError

ROUNDS: Final = 10
NEEDLE: Final = "no-line-has-this-text"


def last100_and_search(material: Material) -> list[Figure]:
    """Last 100 lines by the contract's route, then a search that finds nothing and so reads everything."""
    with material.copy_of(material.queue, "read", **NO_UPKEEP) as stack:
        ingest(stack, material.queue)
        files = table_files(stack.store)
        _forget(files)
        stack.start("logger")
        stack.wait_ready("logger", seconds=LONG_SECONDS)
        cold, warm = _last_lines(stack)
        return [
            Figure("last100_ms", statistics.median(warm), "ms", _spread(warm)),
            Figure("last100_cold_ms", cold, "ms", {"files": len(files), "page_cache": "dropped"}),
            _search(stack, files),
        ]


def _forget(files: list[Path]) -> None:
    """Drop files from the page cache."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _last_lines(stack: Stack) -> tuple[float, list[float]]:
    apps = [f"app-{number:05d}" for number in range(APPS)]
    cold = _timed(stack, apps[0])
    for app in apps:
        _timed(stack, app)
    return cold, [_timed(stack, app) for _ in range(ROUNDS) for app in apps]


def _timed(stack: Stack, app: str) -> float:
    begin = time.perf_counter()
    answer = stack.get("logger", f"/logs/{app}?log_lines=100")
    took = (time.perf_counter() - begin) * 1000
    if answer.body.count(b"\n") != 100:
        raise StackError(f"{app}: not 100 lines but {answer.status} {answer.body[:200]!r}")
    return took


def _spread(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "requests": len(ordered)}


def _search(stack: Stack, files: list[Path]) -> Figure:
    process = stack.processes["logger"]
    messages = sum(_message_bytes(path) for path in files)
    before, begin = process.cpu_seconds(), time.perf_counter()
    for number in range(APPS):
        answer = stack.get("logger", f"/v1/apps/app-{number:05d}/logs?text={NEEDLE}", seconds=LONG_SECONDS)
        if answer.status != 200 or answer.body:
            raise StackError(f"search: {answer.status} {answer.body[:200]!r}")
    cpu_seconds, took = process.cpu_seconds() - before, time.perf_counter() - begin
    details = {"message_mb": messages / MB, "cpu_s": cpu_seconds, "took_s": took, "apps": APPS}
    return Figure("search_mb_per_cpu_s", messages / MB / cpu_seconds, "MB/CPU-s", details)


def _message_bytes(path: Path) -> int:
    column = pq.ParquetFile(path).read(columns=["message"]).column("message")
    return int(pc.sum(pc.binary_length(column)).as_py() or 0)
