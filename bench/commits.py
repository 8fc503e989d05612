"""Commits: how many in a second by one, two, four writers, and what one takes when there were 20,000 before it."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.figures import Figure
from bench.material import Material
from demo import gateway
from demo.stack import StackError

WRITERS: Final = (1, 2, 4)
SECONDS: Final = 10.0
MANY: Final = 20_000
MANY_SECONDS: Final = 300.0
"""Bound of the 20,000: how far they got stands in the details."""

READY: Final = "ready\n"
_SAMPLE: Final = 500
_EXTRA_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where tables can be.

    Attributes:
        name: What it is.
        url: Store URL of whatever lies in it, without its end.
        environment: What processes need to reach it.
    """

    name: str
    url: str
    environment: Mapping[str, str]


def commits_per_s(material: Material) -> list[Figure]:
    """Commits by several writers of their own shards together; each is a process of its own, as loggers are."""
    details: dict[str, Any] = {}
    with _places(material.run / "rates") as places:
        for place in places:
            for count in WRITERS:
                spans = _commit(place, f"by-{count}", writers=count, commits=10**9, seconds=SECONDS)
                everything = [span for each in spans for span in each]
                took = max(end for _, end in everything) - min(begin for begin, _ in everything)
                details[f"{place.name}_{count}"] = len(everything) / took
                details[f"{place.name}_{count}_p99_ms"] = _quantile(_milliseconds(everything), 0.99)
    value = details[f"gateway_{max(WRITERS)}"]
    return [Figure("commits_per_s", value, f"commits/s, {max(WRITERS)} writers, gateway", details)]


def commit_latency_ms(material: Material) -> list[Figure]:
    """What a commit takes after 20,000 of them, with upkeep in the same process every five seconds."""
    details: dict[str, Any] = {}
    with _places(material.run / "latency") as places:
        for place in places:
            (spans,) = _commit(place, "many", writers=1, commits=MANY, seconds=MANY_SECONDS, upkeep=True)
            took = _milliseconds(spans)
            details |= {
                f"{place.name}_commits": len(took),
                f"{place.name}_first_p50": statistics.median(took[:_SAMPLE]),
                f"{place.name}_last_p50": statistics.median(took[-_SAMPLE:]),
                f"{place.name}_last_p99": _quantile(took[-_SAMPLE:], 0.99),
                f"{place.name}_most": max(took),
            }
    return [Figure("commit_latency_ms", details["gateway_last_p50"], "ms, median of the last 500, gateway", details)]


@contextlib.contextmanager
def _places(folder: Path) -> Iterator[list[Place]]:
    """A folder, and a bucket of a real gateway."""
    if missing := gateway.missing_tools():
        raise StackError(f"no gateway: {missing} on this machine")
    folder.mkdir()
    server = gateway.Gateway(folder / "s3")
    server.start()
    try:
        yield [
            Place("folder", str(folder / "tables"), {}),
            Place("gateway", f"s3://{gateway.BUCKET}", gateway.environment(server.port)),
        ]
    finally:
        server.kill()


def _commit(
    place: Place, table: str, *, writers: int, commits: int, seconds: float, upkeep: bool = False
) -> list[list[tuple[float, float]]]:
    """Let writers commit to one table; begin and end of each commit, for each writer."""
    arguments = [f"{place.url}/{table}", "{shard}", str(commits), str(seconds), *(["--upkeep"] if upkeep else [])]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(_writer(place, [one.format(shard=shard) for one in arguments]))
            for shard in range(writers)
        ]
        for process in processes:
            if process.stdout is None or READY not in process.stdout:  # reads up to that line; logs may come before
                raise StackError("a writer did not start")
        for process in processes:
            if process.stdin is not None:
                process.stdin.write("go\n")
                process.stdin.flush()
        return [_spans(process, seconds + _EXTRA_SECONDS) for process in processes]


def _spans(process: "subprocess.Popen[str]", seconds: float) -> list[tuple[float, float]]:
    output, _ = process.communicate(timeout=seconds)
    if process.returncode:
        raise StackError(f"a writer ended with status {process.returncode}")
    return [(begin, end) for begin, end in json.loads(output.splitlines()[-1])["spans"]]


@contextlib.contextmanager
def _writer(place: Place, arguments: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.committer", *arguments],
        env={**os.environ, **place.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _milliseconds(spans: Sequence[tuple[float, float]]) -> list[float]:
    return [(end - begin) * 1000 for begin, end in spans]


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]
