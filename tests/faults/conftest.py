"""What the fault tests share: a stack under writers and followers, and the verdict on what can be read of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from demo.follower import Follower, Line
from demo.numbered import Seen, Writers, find_faults
from demo.stack import Stack, StackError, wait_until
from logger.rows import READING_ORDER
from pipeline.names import TABLE_DIRECTORY

SETTLE_SECONDS = 60.0
"""Everything written is with every reader this long after the last line and the last restart."""

QUICK = {"LOGGER_FLUSH_SECONDS": "0.5", "LOGGER_UPKEEP_SECONDS": "1", "LOG_FORMAT": "json"}
"""Flush and upkeep so often that a short test meets them at every step."""


@dataclass
class Trial:
    """A stack, what was written into it, and what followers saw."""

    stack: Stack
    writers: Writers
    followers: dict[str, Follower]
    followed: dict[str, list[Seen]] = field(default_factory=dict)

    def start(self, name: str, **settings: str) -> None:
        """Start a service."""
        self.stack.start(name, **settings)

    def kill(self, name: str) -> None:
        """Kill a service that must be running: one that ended by itself is a fault of its own."""
        process = self.stack.processes[name]
        ended = process.poll()
        if ended is not None:
            raise StackError(f"{name} ended by itself with status {ended.status}\n{process.last_words()}")
        assert process.kill().status == -9

    def verdict(self) -> None:
        """Hold followers, API and table against what was written; everything is stopped afterwards."""
        self.writers.stop()
        self.stack.wait_ready("agent", "logger", seconds=SETTLE_SECONDS)
        self._settle()
        faults = [f"follower: {fault}" for app in self.writers.apps for fault in self._faults(app, self.followed[app])]
        faults += [
            f"api: {fault}" for app in self.writers.apps for fault in self._faults(app, read_api(self.stack, app))
        ]
        for name in ("agent", "logger"):
            ended = self.stack.processes[name].stop()
            assert ended.status == 0, self.stack.last_words()
        table = read_table(self.stack.store)
        faults += [f"table: {fault}" for app in self.writers.apps for fault in self._faults(app, table.get(app, []))]
        assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:100]) + "\n" + self.stack.last_words()

    def _settle(self) -> None:
        expected = {app: sum(self.writers.written(app).values()) for app in self.writers.apps}
        # Not the verdict, which names the lines: only when there is no use in waiting on.
        with suppress(StackError):
            wait_until(
                lambda: all(len(self.followed[app]) >= expected[app] for app in expected),
                seconds=SETTLE_SECONDS,
                what="all lines with the followers",
            )

    def _faults(self, app: str, seen: list[Seen]) -> list[str]:
        return find_faults(seen, self.writers.written(app))


MakeTrial = Callable[..., Trial]


@pytest.fixture
def make_trial(tmp_path: Path) -> Iterator[MakeTrial]:
    """A function that builds a trial with writers and followers; the services are for the test to start."""
    with ExitStack() as resources:

        def make(*, seed: int, settings: dict[str, str] | None = None, **writing: float) -> Trial:
            stack = resources.enter_context(Stack(tmp_path, settings={**QUICK, **(settings or {})}))
            writers = resources.enter_context(Writers(stack.pod_logs, seed=seed, **writing))
            followed: dict[str, list[Seen]] = {app: [] for app in writers.apps}
            followers = {
                app: resources.enter_context(Follower(stack.ports["logger"], app, keep_in(followed[app])))
                for app in writers.apps
            }
            return Trial(stack, writers, followers, followed)

        yield make


def keep_in(seen: list[Seen]) -> Callable[[Line, int], None]:
    """What a follower calls to have its lines in a list."""

    def keep(line: Line, _: int) -> None:
        place = f"source {line['source']} ordinal {line['ordinal']} offset {line['offset']} cursor {line['cursor']}"
        seen.append(Seen(line["message"], place))

    return keep


def read_api(stack: Stack, app: str) -> list[Seen]:
    """All lines of an app, page by page, as an export reads them."""
    seen: list[Seen] = []
    cursor = ""
    while True:
        query = "limit=10000&order=asc&format=ndjson" + (f"&cursor={quote(cursor, safe='')}" if cursor else "")
        answer = stack.get("logger", f"/v1/apps/{app}/logs?{query}")
        assert answer.status == 200, answer
        for stored in answer.body.splitlines():
            line = json.loads(stored)
            seen.append(
                Seen(line["message"], f"source {line['source']} ordinal {line['ordinal']} offset {line['offset']}")
            )
        cursor = answer.headers.get("next-cursor", "")
        if not cursor:
            return seen


def read_table(store: Path) -> dict[str, list[Seen]]:
    """All lines of the table's live version, by app, in reading order, straight from its Parquet files."""
    table = DeltaTable(str(store / TABLE_DIRECTORY))
    columns = ["app", "message", "shard", "queue_offset", *READING_ORDER]
    parts = [pq.ParquetFile(path.removeprefix("file://")).read(columns=columns) for path in table.file_uris()]
    plain = pa.concat_tables([_plain(part) for part in parts]) if parts else None
    seen: dict[str, list[Seen]] = {}
    if plain is None:
        return seen
    for row in plain.sort_by([(column, "ascending") for column in READING_ORDER]).to_pylist():
        place = (
            f"source {row['source'].hex()} ordinal {row['ordinal']} offset {row['offset']} "
            f"shard {row['shard']} queue offset {row['queue_offset']} version {table.version()}"
        )
        seen.setdefault(row["app"], []).append(Seen(row["message"], place))
    return seen


def _plain(table: pa.Table) -> pa.Table:
    """Dictionary columns as plain ones: dictionaries of different files differ."""
    for number, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(number, column.name, table.column(number).cast(column.type.value_type))
    return table


@pytest.fixture
def table_of() -> Callable[[Path], dict[str, list[Seen]]]:
    return read_table
