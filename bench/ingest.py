"""The logger: queue to committed table, all columns."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from deltalake import DeltaTable

from bench.agent import start_cpu_seconds
from bench.figures import Figure
from bench.material import LONG_SECONDS, LOOK_SECONDS, MB, MIB, FilledQueue, Material
from demo.stack import Ended, Stack, StackError, wait_until
from pipeline.names import TABLE_DIRECTORY

NO_UPKEEP: Final = {"LOGGER_UPKEEP_SECONDS": "86400"}
MUCH_UPKEEP: Final = {
    "LOGGER_FLUSH_BYTES": str(4 * MIB),
    "LOGGER_HEAD_BYTES": str(8 * MIB),
    "LOGGER_UPKEEP_SECONDS": "1",
}
"""Files so small that upkeep merges every row at least once; with the defaults a logger at full load writes files that
are never merged. The head is small so that rows cannot pile up for a larger file while one is being written."""

QUIET_SECONDS: Final = 4.0
"""Upkeep is done when the table has had the same files this long, which is some passes."""


def indexed_lines(stack: Stack) -> int:
    """Lines that the logger shows, in memory or in the table."""
    answer = stack.get("logger", "/v1/apps")
    return sum(app["lines"] for app in json.loads(answer.body)["apps"]) if answer.status == 200 else 0


def ingest(stack: Stack, queue: FilledQueue, *, and_then: Callable[[], object] = lambda: None) -> Ended:
    """Run a logger until it has the whole queue, do something more, then stop it, which commits the rest."""
    process = stack.start("logger")
    wait_until(
        lambda: process.poll() is not None or indexed_lines(stack) >= queue.lines,
        seconds=LONG_SECONDS,
        what=f"logger has {queue.lines} lines",
        every_seconds=LOOK_SECONDS,
    )
    and_then()
    ended = process.stop(seconds=LONG_SECONDS)
    committed = table_rows(stack.store)
    if ended.status or committed != queue.lines:
        raise StackError(f"status {ended.status}, {committed} rows of {queue.lines}\n{stack.last_words()}")
    return ended


def wait_for_upkeep(stack: Stack) -> None:
    """Wait until upkeep finds nothing to do for some passes."""
    seen: list[tuple[float, float]] = []
    passes = int(QUIET_SECONDS / LOOK_SECONDS)

    def quiet() -> bool:
        merged = stack.metric("logger", "logger_upkeep_rewritten_bytes_total")
        seen.append((merged, stack.metric("logger", "logger_table_version")))
        return len(seen) > passes and len(set(seen[-passes:])) == 1

    wait_until(quiet, seconds=LONG_SECONDS, what="upkeep is done", every_seconds=LOOK_SECONDS)


def table_rows(store: Path) -> int:
    """Rows of the table's live version, as the footers of its files state them."""
    return sum(pq.read_metadata(path).num_rows for path in table_files(store))


def table_files(store: Path) -> list[Path]:
    """Files of the table's live version."""
    uris = DeltaTable(str(store / TABLE_DIRECTORY)).file_uris()
    return [Path(uri.removeprefix("file://")) for uri in uris]


def logger_mb_per_cpu_s(material: Material) -> list[Figure]:
    """Queue to table without upkeep; and how much smaller the table is than the files."""
    with material.copy_of(material.queue, "plain", **NO_UPKEEP) as stack:
        ended = ingest(stack, material.queue)
        rate = _rate("logger_mb_per_cpu_s", material, material.queue, ended, stack)
        size = sum(path.stat().st_size for path in table_files(stack.store))
    ratio = Figure(
        "disk_ratio", material.queue.size / size, "", {"mb": material.queue.size / MB, "table_mb": size / MB}
    )
    return [rate, ratio]


def logger_with_upkeep_mb_per_cpu_s(material: Material) -> list[Figure]:
    """Queue to table with small flushes, until upkeep has merged all that it merges."""
    upkeep: dict[str, float] = {}

    def finish(stack: Stack) -> None:
        wait_for_upkeep(stack)
        upkeep["upkeep_commits"] = stack.metric("logger", "logger_upkeep_commits_total")
        upkeep["rewritten_table_mb"] = stack.metric("logger", "logger_upkeep_rewritten_bytes_total") / MB

    with material.copy_of(material.queue, "upkeep", **MUCH_UPKEEP) as stack:
        ended = ingest(stack, material.queue, and_then=lambda: finish(stack))
        return [_rate("logger_with_upkeep_mb_per_cpu_s", material, material.queue, ended, stack, more=upkeep)]


def logger_small_chunks_mb_per_cpu_s(material: Material) -> list[Figure]:
    """Queue to table when each chunk has three lines, of 10,000 apps."""
    queue = asyncio.run(material.small_queue())
    with material.copy_of(queue, "small-chunks", **NO_UPKEEP) as stack:
        ended = ingest(stack, queue)
        return [_rate("logger_small_chunks_mb_per_cpu_s", material, queue, ended, stack)]


def _rate(
    name: str,
    material: Material,
    queue: FilledQueue,
    ended: Ended,
    stack: Stack,
    *,
    more: Mapping[str, float] | None = None,
) -> Figure:
    start = start_cpu_seconds(material, "logger")
    files = table_files(stack.store)
    details = {
        "mb": queue.size / MB,
        "lines": queue.lines,
        "cpu_s": ended.cpu_seconds,
        "start_cpu_s": start,
        "mb_per_cpu_s_with_start": queue.size / MB / ended.cpu_seconds,
        "took_s": ended.took_seconds,
        "peak_rss_mb": ended.peak_rss_bytes / MB,
        "table_version": DeltaTable(str(stack.store / TABLE_DIRECTORY)).version(),
        "files": len(files),
        "disk_ratio": queue.size / sum(path.stat().st_size for path in files),
        **(more or {}),
    }
    return Figure(name, queue.size / MB / (ended.cpu_seconds - start), "MB/CPU-s", details)
