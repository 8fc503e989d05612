"""Rules and series: `python -m bench.metrics [--lines 200000]`, one JSON object a line for each measurement.

What is measured is what the monitor does with the lines of a queue's records once they are apart: samples of them, by
the rules that are built in and by one of a user; and how much memory ten thousand series take. The CPU time of our
rules is this process's, that of mtail is what the kernel says of its process, over the same lines. Both count lines,
bytes, requests, tries, durations and sizes, by app, method and status.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import zstandard

from bench import mtail
from bench.figures import Figure, show
from demo.corpus import START_NS
from monitor.metric import Kind, LabelSet, Metric, Samples
from monitor.reading import SLOT_NS
from monitor.rules.builtin import DURATION_EDGES
from monitor.rules.ruleset import RuleSet
from monitor.series.book import Book
from monitor.series.limits import Limits
from monitor.series.state import state_of
from monitor.series.times import Times
from pipeline.limits import MIB
from pipeline.lines.batch import Batch, ChunkFacts

SEED: Final = 7
APPS: Final = 20
REPEATS: Final = 5
SERIES: Final = 10_000
SLOTS: Final = 90
"""Slots of ten seconds in a window of a quarter of an hour."""

_ADDED: Final = 30
_DISTINCT: Final = 1_000_000

_BATCH_BYTES: Final = 8 * MIB
"""As much as a shard takes at once."""
_HEADER: Final = b"2026-11-24T19:00:00.000000001Z stdout F "
_NS: Final = 1_000_000_000
_KIB: Final = 1024

_ROUTER: Final = ChunkFacts("deis-router", "", "v1", "deis-router-1", "deis-router", "n1", b"r", 0, "deis")
_WEB: Final = ChunkFacts("shop", "web", "v3", "shop-web-1", "shop-web", "n1", b"s", 0, "shop")
_METHODS: Final = ("GET",) * 7 + ("POST", "PUT", "DELETE")
_CODES: Final = (200,) * 14 + (201, 204, 302, 304, 404, 500)
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0 Safari/537.36"
_USERS_RULE: Final = rb"""
metrics:
  - name: checkout_seconds
    kind: histogram
    pattern: 'checkout (?P<kind>\w+) of customer \d+ took (?P<took>[0-9.]+) ms'
    value: took
    unit: ms
    labels: {kind: kind}
"""


def router_lines(count: int) -> Iterator[bytes]:
    """Access lines of the Deis router, 250 bytes each, one in fifty tried twice."""
    rng = random.Random(SEED)
    for number in range(count):
        app = f"app-{rng.randrange(APPS)}"
        tries = 2 if number % 50 == 0 else 1
        servers = [f"10.4.{rng.randrange(4)}.{rng.randrange(256)}:5000" for _ in range(tries)]
        tried = [rng.lognormvariate(-3.5, 1.0) for _ in servers]
        yield (
            f"[2026-11-24T19:{number // 600 % 60:02d}:{number // 10 % 60:02d}+00:00] - {app} - "
            f"10.1.{rng.randrange(256)}.{rng.randrange(256)} - - - {rng.choice(_CODES)} - "
            f'"{rng.choice(_METHODS)} /orders/{rng.getrandbits(24)}?page={rng.getrandbits(4)} HTTP/1.1" - '
            f'{rng.getrandbits(15)} - "-" - "{_AGENT}" - "{app}.example.com" - {", ".join(servers)} - '
            f"{app}.example.com - {', '.join(f'{one:.3f}' for one in tried)} - {sum(tried) + 0.001:.3f}"
        ).encode()


def user_lines(count: int) -> Iterator[bytes]:
    """Lines of an app, 120 bytes each, all of which its rule matches."""
    rng = random.Random(SEED)
    for _ in range(count):
        yield (
            f"2026-11-24 19:00:00,{rng.randrange(1000):03d} INFO [worker-{rng.randrange(8)}] com.example.shop.Checkout "
            f"- checkout {rng.choice(('cart', 'gift', 'again'))} of customer {rng.getrandbits(24)} took "
            f"{rng.lognormvariate(3, 1):.1f} ms"
        ).encode()


def batches(lines: Sequence[bytes], facts: ChunkFacts) -> list[Batch]:
    """Lines as a shard makes batches of them."""
    made, first = [], 0
    per_batch = max(1, _BATCH_BYTES // (len(lines[0]) + len(_HEADER) + 1))
    for first in range(0, len(lines), per_batch):
        part = lines[first : first + per_batch]
        sizes = np.array([len(_HEADER) + len(line) + 1 for line in part], np.int64)
        stops = np.cumsum(sizes) - 1
        rows = len(part)
        times = np.arange(first, first + rows, dtype=np.int64) * (_NS // 1000)
        zeros = np.zeros(rows, np.int64)
        made.append(
            Batch(
                shard=0,
                first_offset=first,
                next_offset=first + 1,
                buffer=b"".join([_HEADER + line + b"\n" for line in part]),
                starts=stops - sizes + 1 + len(_HEADER),
                stops=stops,
                time_ns=times,
                order_ns=times,
                stream=np.zeros(rows, np.uint8),
                offset=zeros,
                continuation=np.zeros(rows, np.int32),
                facts_index=np.zeros(rows, np.int32),
                queue_offset=zeros,
                facts=[facts],
                heartbeats={},
                arrived_ns=0,
            )
        )
    return made


def lines_per_cpu_s(rules: RuleSet, made: Sequence[Batch]) -> float:
    """The median of some rounds over all batches: others use the machine, too."""
    rounds = []
    for _ in range(REPEATS):
        began = time.process_time()
        for batch in made:
            rules.samples(batch)
        rounds.append(sum(batch.rows for batch in made) / (time.process_time() - began))
    return sorted(rounds)[REPEATS // 2]


def router_rule(count: int) -> Iterator[Figure]:
    """The rule of the Deis router, and mtail over the same lines."""
    lines = list(router_lines(count))
    made = batches(lines, _ROUTER)
    ours = lines_per_cpu_s(RuleSet(), made)
    details: dict[str, object] = {"lines": count, "bytes_a_line": round(sum(map(len, lines)) / count)}
    yield Figure("metrics_router_lines_per_cpu_s", ours, "lines/CPU-s", details)
    missing = mtail.missing_tools()
    if missing:
        print(f"mtail is not compared: {missing}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "router.log"
        log.write_bytes(b"".join([line + b"\n" for line in lines]))
        (Path(folder) / "empty.log").touch()
        start_seconds, _ = mtail.run(Path(folder) / "empty.log", Path(folder))
        seconds, requests = mtail.run(log, Path(folder))
    theirs = requests / (seconds - start_seconds)
    details = {"counted": requests, "start_cpu_s": start_seconds}
    yield Figure("mtail_lines_per_cpu_s", theirs, "lines/CPU-s", details)
    yield Figure("router_to_mtail", ours / theirs, "", {})


def users_rule(count: int) -> Iterator[Figure]:
    """A pattern with a label and a value, on lines that match it; with levels, and the search for access lines."""
    lines = list(user_lines(count))
    made = batches(lines, _WEB)
    details = {"lines": count, "bytes_a_line": round(sum(map(len, lines)) / count)}
    yield Figure("metrics_user_lines_per_cpu_s", lines_per_cpu_s(RuleSet(_USERS_RULE), made), "lines/CPU-s", details)
    yield Figure("metrics_plain_lines_per_cpu_s", lines_per_cpu_s(RuleSet(), made), "lines/CPU-s", details)


def series_memory() -> Iterator[Figure]:
    """Memory of series, in processes of their own: counters and histograms, with samples in each slot of a window."""
    for kind in (Kind.COUNTER, Kind.HISTOGRAM):
        sizes = [
            int(
                subprocess.run(
                    [sys.executable, "-m", "bench.metrics", "--hold", kind, str(count)], check=True, capture_output=True
                ).stdout
            )
            for count in (SERIES // 10, SERIES + SERIES // 10)
        ]
        mib = (sizes[1] - sizes[0]) / _KIB
        yield Figure(f"series_{kind}_mib_per_10000", mib, "MiB", {"slots": SLOTS})


def series_cpu() -> Iterator[Figure]:
    """Samples added to series that exist, and what a state costs that is written down every few seconds."""
    for kind in (Kind.COUNTER, Kind.HISTOGRAM):
        book, samples = _filled(kind, 500, per_set=60)
        began = time.process_time()
        for _ in range(_ADDED):
            book.add([samples])
        seconds = time.process_time() - began
        yield Figure(f"series_{kind}_samples_per_cpu_s", _ADDED * len(samples.index) / seconds, "samples/CPU-s", {})
        book, _ = _filled(kind, SERIES)
        began = time.process_time()
        state = msgspec.msgpack.encode(state_of(book))
        details = {"cpu_s": round(time.process_time() - began, 3), "slots": SLOTS}
        packed = len(zstandard.ZstdCompressor(level=1).compress(state))
        yield Figure(f"series_{kind}_state_mib_per_10000", packed / MIB, "MiB", details)


def flood() -> Iterator[Figure]:
    """Label sets that an app makes anew with each line: nearly all of them are beyond its budget."""
    metric = Metric("bench", Kind.COUNTER, "Of a measurement.", ("number",))
    book = Book(Limits(), {metric.name})
    book.pass_time(Times(START_NS, START_NS, START_NS))
    size, seconds = 10_000, 0.0
    rows = np.arange(size, dtype=np.int64)
    times = np.full(size, START_NS, np.int64)
    for first in range(0, _DISTINCT, size):
        sets = [LabelSet("bad", "bad", "web", "v1", "p", (str(first + at),)) for at in range(size)]
        began = time.process_time()
        book.add([Samples(metric, sets, rows.astype(np.int32), rows, times)])
        seconds += time.process_time() - began
    kept = len(book.tables[metric].totals)
    yield Figure("series_label_sets_over_budget_per_cpu_s", _DISTINCT / seconds, "sets/CPU-s", {"kept": kept})


def hold(kind: Kind, count: int) -> int:
    """Make series with one sample in each slot of a window, and say how much memory is resident then, in KiB."""
    kept = _filled(kind, count)
    status = Path("/proc/self/status").read_text()
    del kept
    return int(status.partition("VmRSS:")[2].split()[0])


def _filled(kind: Kind, count: int, *, per_set: int = 1) -> tuple[Book, Samples]:
    """Series with some samples in each slot of a window, and those of the last one."""
    edges = DURATION_EDGES if kind is Kind.HISTOGRAM else ()
    metric = Metric("bench", kind, "Of a measurement.", ("number",), edges)
    book = Book(Limits(apps=count, app_sets=count, pod_sets=count, sets=2 * count), {metric.name})
    apps = 100
    sets = [
        LabelSet(f"app-{at % apps}", f"app-{at % apps}", "web", "v1", f"p{at}", (str(at // 4),)) for at in range(count)
    ]
    rows = np.arange(count * per_set, dtype=np.int64)
    values = np.linspace(0.001, 9, len(rows)) if edges else None
    for slot in range(SLOTS):
        now_ns = START_NS + slot * SLOT_NS
        book.pass_time(Times(now_ns, now_ns, now_ns))
        times = np.full(len(rows), now_ns, np.int64)
        samples = Samples(metric, sets, (rows % count).astype(np.int32), rows, times, values)
        book.add([samples])
    return book, samples


def main() -> int:
    """Take all measurements."""
    parser = argparse.ArgumentParser(prog="python -m bench.metrics", description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--hold", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hold:
        print(hold(Kind(arguments.hold[0]), int(arguments.hold[1])))
        return 0
    for figure in chain(
        router_rule(arguments.lines), users_rule(arguments.lines), series_memory(), series_cpu(), flood()
    ):
        print(show(figure), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
