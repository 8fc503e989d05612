"""One writer of the table, which commits as fast as it can.

It is what a logger does at each flush, without what comes before it. It says `ready` on stdout, begins at a line on
stdin, and ends with a JSON object: what each commit took, and when it began and ended.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from logger.rows import SCHEMA
from logger.settings import DAY_SECONDS
from logger.table.retention import Retention
from logger.table.tombstones import Tombstones
from logger.table.upkeep import Upkeep, UpkeepMetrics
from logger.table.writer import IngestTable
from pipeline.errors import StoreUnavailableError
from pipeline.store import open_store

QUEUE_ID: Final = "bench"
ROWS: Final = 100
STATE: Final = bytes(2000)
"""About the resume state of a shard with twenty sources."""

_UPKEEP_SECONDS: Final = 5.0


def main() -> int:
    """Commit until there are `commits` of them, or `seconds` are over."""
    parser = argparse.ArgumentParser(prog="python -m bench.committer", description=__doc__)
    parser.add_argument("store_url")
    parser.add_argument("shard", type=int)
    parser.add_argument("commits", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--upkeep", action="store_true", help="do upkeep beside it, in a thread, as a logger does")
    arguments = parser.parse_args()
    table = IngestTable.open(arguments.store_url, queue_id=QUEUE_ID)
    table.load_states()
    print("ready", flush=True)
    sys.stdin.readline()
    if arguments.upkeep:
        with _upkeep(arguments.store_url):
            done = commit_all(table, arguments.shard, arguments.commits, arguments.seconds)
    else:
        done = commit_all(table, arguments.shard, arguments.commits, arguments.seconds)
    print(json.dumps({"spans": done, "cpu_s": time.process_time()}), flush=True)
    return 0


def commit_all(table: IngestTable, shard: int, commits: int, seconds: float) -> list[tuple[float, float]]:
    """Begin and end of each commit, seconds since the epoch."""
    rows = _rows(shard)
    spans: list[tuple[float, float]] = []
    deadline = time.time() + seconds
    position = 0
    while len(spans) < commits and time.time() < deadline:
        offsets = pa.array(np.full(ROWS, position, np.int64))
        parts = {f"{datetime.now(UTC):%Y-%m-%d}": rows.set_column(_OFFSET, SCHEMA.field(_OFFSET), offsets)}
        position += 1
        begun = time.time()
        table.commit(parts=parts, positions={shard: position}, states={shard: STATE})
        spans.append((begun, time.time()))
    return spans


_OFFSET: Final = SCHEMA.get_field_index("queue_offset")


def _rows(shard: int) -> pa.Table:
    """Rows of one app of the shard."""
    now_ns = time.time_ns()
    texts = dict.fromkeys(("process", "release", "pod", "container", "node", "stream"), "web")
    values: dict[str, list[object]] = {
        **{name: [text] * ROWS for name, text in texts.items()},
        "app": [f"app-{shard}"] * ROWS,
        "message": [f"GET /things/{number} 200 in {number * 7919 % 1000} ms" for number in range(ROWS)],
        "raw": [None] * ROWS,
        "source": [shard.to_bytes(16, "big")] * ROWS,
        "time": [now_ns // 1000] * ROWS,
        "shard": [shard] * ROWS,
    }
    for name in ("time_ns", "order_ns"):
        values[name] = [now_ns + number for number in range(ROWS)]
    for name in ("ordinal", "continuation", "queue_offset"):
        values[name] = [0] * ROWS
    values["offset"] = [number * 100 for number in range(ROWS)]
    return pa.table([_column(values[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _column(values: list[object], kind: pa.DataType) -> "pa.Array[pa.Scalar[pa.DataType]]":
    if isinstance(kind, pa.DictionaryType):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


@contextlib.contextmanager
def _upkeep(store_url: str) -> Iterator[None]:
    """Passes of upkeep in a thread, inside the block."""
    stopping = threading.Event()

    def run() -> None:
        upkeep = Upkeep(
            open_store(store_url),
            queue_id=QUEUE_ID,
            tombstones=Tombstones.open(store_url, queue_id=QUEUE_ID),
            retention=Retention(30 * DAY_SECONDS, {}),
            metrics=UpkeepMetrics(CollectorRegistry()),
            stop=stopping.is_set,
        )
        while not stopping.wait(_UPKEEP_SECONDS):
            with contextlib.suppress(StoreUnavailableError):  # as a service does: the next pass goes on
                upkeep.run_once(datetime.now(UTC))

    thread = threading.Thread(target=run, name="upkeep")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
