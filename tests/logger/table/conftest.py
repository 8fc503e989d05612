"""Rows, stores and an independent reading of every version of a table."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logger.rows import SCHEMA
from pipeline.store import Store, open_store

Name = tuple[int, int, int]
"""A row of these tests: shard, queue offset, number within the record."""


def make_rows(names: Iterable[Name], *, app_of: Callable[[Name], str], message: str = "message of row") -> pa.Table:
    """Rows in the order of the files. Everything in a row follows from its name."""
    rows = [
        {
            "app": app_of(name),
            "order_ns": name[1] * 1000 + name[2] // 2,  # rows of one record share a time now and then
            "ordinal": 0,
            "source": bytes([name[0]]) * 16,
            "offset": name[1] * 100 + name[2],
            "continuation": 0,
            "shard": name[0],
            "queue_offset": name[1],
        }
        for name in names
    ]
    rows.sort(key=lambda row: tuple(row[key] for key in ("app", "order_ns", "ordinal", "source", "offset")))
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in rows[0]} if rows else {}
    constant = {"process": "web", "release": "v1", "pod": "pod", "container": "c", "node": "n", "stream": "stdout"}
    columns |= {key: [value] * len(rows) for key, value in constant.items()}
    columns["time_ns"] = columns.get("order_ns", [])
    columns["time"] = [value // 1000 for value in columns["time_ns"]]
    columns["message"] = [f"{message} {row['shard']}/{row['offset']}" for row in rows]
    columns["raw"] = [None] * len(rows)
    return pa.table([_column(columns.get(field.name, []), field.type) for field in SCHEMA], schema=SCHEMA)


def _column(values: list[Any], kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


@dataclass
class Version:
    """One version of a table, read from its log without any code of the table."""

    number: int
    transactions: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def positions(self, queue_id: str) -> dict[int, int]:
        """Next offset by shard."""
        prefix = f"{queue_id}/"
        found = {name.removeprefix(prefix): to for name, to in self.transactions.items() if name.startswith(prefix)}
        return {int(shard): to for shard, to in found.items() if shard.isdecimal()}


class Reading:
    """Reads all versions of a table; files are read once each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, list[tuple[Any, ...]]] = {}

    def versions(self) -> list[Version]:
        """Every version, oldest first."""
        versions: list[Version] = []
        for path in sorted((self.root / "_delta_log").glob("*.json")):
            assert int(path.stem) == len(versions), "the log has a gap"
            before = versions[-1] if versions else Version(-1)
            version = Version(len(versions), dict(before.transactions), dict(before.files))
            actions = [json.loads(line) for line in path.read_text().splitlines()]
            for action in actions:
                if "remove" in action:
                    assert action["remove"]["path"] in before.files, "a file was removed that was not there"
                    del version.files[action["remove"]["path"]]
            for action in actions:
                if "add" in action:
                    assert action["add"]["path"] not in before.files, "a file was added twice"
                    version.files[action["add"]["path"]] = action["add"]
                if "txn" in action:
                    version.transactions[action["txn"]["appId"]] = action["txn"]["version"]
            versions.append(version)
        return versions

    def rows(self, path: str) -> list[tuple[Any, ...]]:
        """(app, order_ns, ordinal, source, offset, continuation, shard, queue_offset), in the file's order."""
        if path not in self._files:
            columns = ["app", "order_ns", "ordinal", "source", "offset", "continuation", "shard", "queue_offset"]
            table = pq.ParquetFile(self.root / path).read(columns=columns, use_threads=False).select(columns)
            self._files[path] = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        return self._files[path]

    def names(self, version: Version) -> list[Name]:
        """Names of all rows of a version."""
        return [(row[6], row[7], row[4] - row[7] * 100) for path in version.files for row in self.rows(path)]


def check_versions(
    reading: Reading,
    *,
    queue_id: str,
    expected: Callable[[int, int], Sequence[Name]],
    may_be_gone: Callable[[Name], bool],
) -> Version:
    """Hold every version against what a table may hold.

    Args:
        reading: The table.
        queue_id: The queue.
        expected: Rows of a shard below a position.
        may_be_gone: Whether a row may be missing: a deletion or retention covers it.

    Returns:
        The newest version.
    """
    before: Mapping[int, int] = {}
    versions = reading.versions()
    for version in versions:
        positions = version.positions(queue_id)
        assert all(positions[shard] >= position for shard, position in before.items()), "a position went back"
        names = reading.names(version)
        assert len(names) == len(set(names)), f"rows are doubled in version {version.number}"
        due = {name for shard, position in positions.items() for name in expected(shard, position)}
        assert set(names) <= due, f"version {version.number} has rows past its positions"
        missing = {name for name in due - set(names) if not may_be_gone(name)}
        assert not missing, f"version {version.number} misses rows: {sorted(missing)[:5]}"
        for path, add in version.files.items():
            rows = reading.rows(path)
            assert [row[:6] for row in rows] == sorted(row[:6] for row in rows), f"{path} is not in order"
            assert json.loads(add["stats"])["numRecords"] == len(rows)
        before = positions
    return versions[-1]


@dataclass(frozen=True)
class Kit:
    """What the tests of the table share."""

    make_rows: Callable[..., pa.Table]
    reading: Callable[[Path], Reading]
    check_versions: Callable[..., Version]


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Rows and the independent reading; see the members."""
    return Kit(make_rows, Reading, check_versions)


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store that is not there yet."""
    return str(tmp_path / "store")


@pytest.fixture
def store(store_url: str) -> Store:
    """The same store, opened."""
    return open_store(store_url)
