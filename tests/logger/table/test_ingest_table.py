"""What ingest may rely on: all or nothing, the fence, repetition after an unknown outcome, nothing left half done."""

import errno
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import logger.table.writer
from logger.table.commit import CommitRefusedError, LogWriter
from logger.table.reader import TableReader
from logger.table.state import UNREFERENCED_SECONDS
from logger.table.writer import IngestTable
from pipeline.errors import FencedError, SettingsError, StoreUnavailableError
from pipeline.store.folder import FolderStore

QUEUE = "queue-1"
DATE = "2026-11-24"


def app_of(_: object) -> str:
    """One app for all."""
    return "app"


@pytest.fixture
def table(store_url: str) -> IngestTable:
    """A new table."""
    return IngestTable.open(store_url, queue_id=QUEUE)


@pytest.fixture
def rows(kit: Any) -> pa.Table:
    """Three rows of shard 0."""
    return kit.make_rows([(0, 0, 0), (0, 1, 0), (0, 1, 1)], app_of=app_of)


def data_files(store_url: str) -> list[Path]:
    """All data files on the disk."""
    return sorted(Path(store_url).glob("logs/date=*/*"))


def commit(table: IngestTable, rows: pa.Table, positions: Mapping[int, int]) -> Any:
    """Commit with a state that names the position."""
    states = {shard: str(to).encode() for shard, to in positions.items()}
    return table.commit(parts={DATE: rows} if rows.num_rows else {}, positions=positions, states=states)


def test_a_commit_shows_rows_positions_and_state_together(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """To the handle itself, to a reader, and to the next owner."""
    standing = commit(table, rows, {0: 2, 5: 0})
    reader = TableReader.open(store_url, queue_id=QUEUE)
    assert reader.snapshot.positions == standing.positions == {0: 2, 5: 0}
    (entry,) = reader.snapshot.of_app("app")
    assert entry.rows == entry.apps["app"].count == 3
    assert entry.shards == {0: (0, 1)}
    assert reader.read(entry, start=0, count=3, columns=rows.column_names).equals(rows)
    assert IngestTable.open(store_url, queue_id=QUEUE).load_states() == {0: b"2", 5: b"0"}


def test_a_commit_without_rows_moves_positions(table: IngestTable, rows: pa.Table) -> None:
    """Records may hold nothing but heartbeats."""
    assert commit(table, rows.slice(0, 0), {3: 7}).positions == {3: 7}


def test_the_old_owner_is_fenced_once_another_has_committed(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """Whatever it holds in memory is not committed, and stays out when it tries again."""
    commit(table, rows, {0: 2, 1: 4})
    other = IngestTable.open(store_url, queue_id=QUEUE)
    other.load_states()
    commit(other, rows.slice(0, 0), {1: 5})
    for _ in range(2):
        with pytest.raises(FencedError, match="shard 1"):
            commit(table, rows, {0: 9, 1: 9})
    assert commit(other, rows.slice(0, 0), {1: 6}).positions == {0: 2, 1: 6}


def test_a_commit_at_the_same_position_fences_as_well(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """The state's id tells owners apart where the position does not."""
    commit(table, rows, {0: 2})
    commit(IngestTable.open(store_url, queue_id=QUEUE), rows.slice(0, 0), {0: 2})
    with pytest.raises(FencedError):
        commit(table, rows, {0: 3})


def test_a_commit_of_nothing_does_not_lift_the_fence(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """It only looks."""
    commit(IngestTable.open(store_url, queue_id=QUEUE), rows, {0: 2})
    assert table.commit(parts={}, positions={}, states={}).positions == {0: 2}
    with pytest.raises(FencedError):
        commit(table, rows, {0: 3})


def test_two_loggers_of_one_table_do_not_fence_each_other(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """Each has its own shards."""
    other = IngestTable.open(store_url, queue_id=QUEUE)
    for position in range(1, 4):
        commit(table, rows.slice(0, 0), {0: position})
        commit(other, rows.slice(0, 0), {1: position})
    assert commit(table, rows, {0: 4}).positions == {0: 4, 1: 3}


def test_a_commit_reads_the_log_and_nothing_else_of_other_loggers(
    rows: pa.Table, store_url: str, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry for each of their commits: what their files hold, readers find out when they are asked."""
    tables = [IngestTable.open(store_url, queue_id=QUEUE) for _ in range(4)]
    asked: list[str] = []

    def listening(method: str) -> Callable[..., Any]:
        plain = getattr(FolderStore, method)

        def told(store: FolderStore, name: str, *arguments: Any, **options: Any) -> Any:
            asked.append(name.partition("/")[0])
            return plain(store, name, *arguments, **options)

        return told

    for method in ("get", "tail", "reading", "objects"):
        monkeypatch.setattr(FolderStore, method, listening(method))
    for shard, table in enumerate(tables):
        commit(table, kit.make_rows([(shard, 0, 0)], app_of=app_of), {shard: 2})
    asked.clear()
    commit(tables[0], rows, {0: 3})
    # The entries of three others, and where the log ends; its own entry, and where the log ends.
    assert asked == ["_delta_log"] * (3 + 1 + 1 + 1)


def test_a_look_reads_the_states_of_a_few_commits_and_those_known_longest_first(store_url: str, rows: pa.Table) -> None:
    """One state covers all shards of its commit. Whoever looks again and again has seen all of them in turn."""
    tables = [IngestTable.open(store_url, queue_id=QUEUE) for _ in range(4)]
    for number, table in enumerate(tables):
        commit(table, rows.slice(0, 0), {2 * number: 1, 2 * number + 1: 1})
    known: dict[int, int] = {}
    looks = []
    for _ in range(4):
        found = tables[0].look(range(2, 8), known=known, most=1)
        known |= {shard: identity for shard, (identity, _) in found.items()}
        looks.append(sorted(found))
    assert sorted(looks) == [[], [2, 3], [4, 5], [6, 7]]
    older = {2: 9, 3: 9, 4: 1, 5: 1, 6: 5, 7: 5}
    assert sorted(tables[0].look(range(2, 8), known=older, most=1)) == [4, 5]
    assert sorted(tables[0].look(range(2, 8), known=older, most=2)) == [4, 5, 6, 7]
    assert sorted(tables[0].look(range(2, 8), known=older)) == [2, 3, 4, 5, 6, 7]


def test_another_queue_starts_from_nothing(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """Its offsets are other offsets; the rows stay."""
    commit(table, rows, {0: 2})
    other = IngestTable.open(store_url, queue_id="queue-2")
    assert other.load_states() == {}
    assert commit(other, rows.slice(0, 0), {0: 1}).positions == {0: 1}
    assert len(TableReader.open(store_url, queue_id="queue-2").snapshot.of_app("app")) == 1


def test_an_attempt_that_was_taken_after_all_is_found(
    table: IngestTable, rows: pa.Table, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost; the repetition neither doubles rows nor is fenced by itself."""
    append = LogWriter.append

    def lose_the_answer(self: LogWriter, *arguments: Any) -> None:
        append(self, *arguments)
        raise StoreUnavailableError("time-out")

    monkeypatch.setattr(LogWriter, "append", lose_the_answer)
    with pytest.raises(StoreUnavailableError):
        commit(table, rows, {0: 2})
    version = TableReader.open(store_url, queue_id=QUEUE).snapshot.version
    assert commit(table, rows, {0: 2}).version == version
    assert len(data_files(store_url)) == 1


def test_a_refused_commit_is_repeated_with_the_same_files(
    table: IngestTable, rows: pa.Table, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction or deletion in between is neither loss nor fence."""
    append = LogWriter.append
    refusals = iter([True, True])

    def refuse(self: LogWriter, *arguments: Any) -> None:
        if next(refusals, False):
            raise CommitRefusedError("others first")
        append(self, *arguments)

    monkeypatch.setattr(LogWriter, "append", refuse)
    commit(table, rows, {0: 2})
    assert len(data_files(store_url)) == 1


def test_files_that_upkeep_may_take_for_orphans_are_written_again(
    table: IngestTable, rows: pa.Table, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was away for long: a commit must not name files that are swept meanwhile."""
    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, "append", _raiser(StoreUnavailableError("away")))
        with pytest.raises(StoreUnavailableError):
            commit(table, rows, {0: 2})
    (before,) = data_files(store_url)
    new_id = logger.table.writer.new_id
    monkeypatch.setattr(logger.table.writer, "new_id", lambda: new_id() + ((UNREFERENCED_SECONDS * 1000) << 22))
    commit(table, rows, {0: 2})
    (after,) = data_files(store_url)
    assert after != before


@pytest.mark.parametrize("step", ["writing", "put"])
def test_a_full_disk_leaves_nothing_behind_and_the_repetition_works(
    table: IngestTable, rows: pa.Table, store_url: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data file of the day before is whole, and goes as well."""
    method = getattr(FolderStore, step)
    calls = iter(range(10))

    def fail(self: FolderStore, name: str, *arguments: Any) -> Any:
        if next(calls) == (1 if step == "writing" else 0):
            raise StoreUnavailableError("writing") from OSError(errno.ENOSPC, "no space left")
        return method(self, name, *arguments)

    parts = {"2026-11-23": rows.slice(0, 1), DATE: rows.slice(1)}
    monkeypatch.setattr(FolderStore, step, fail)
    with pytest.raises(StoreUnavailableError):
        table.commit(parts=parts, positions={0: 2}, states={0: b""})
    assert data_files(store_url) == []
    table.commit(parts=parts, positions={0: 2}, states={0: b""})
    assert len(data_files(store_url)) == 2


@pytest.mark.parametrize(
    ("positions", "states"), [({0: 1}, {}), ({}, {}), ({0: 1}, {1: b""})], ids=["no state", "none", "other shard"]
)
def test_rows_without_position_and_state_are_refused(
    table: IngestTable, rows: pa.Table, positions: dict[int, int], states: dict[int, bytes]
) -> None:
    """They would be committed again after a restart."""
    with pytest.raises(ValueError, match="positions"):
        table.commit(parts={DATE: rows}, positions=positions, states=states)


@pytest.mark.parametrize("date", ["../x", "2026-11-24/..", "20261124", "24.11.2026"])
def test_a_date_that_is_none_is_refused(table: IngestTable, rows: pa.Table, date: str) -> None:
    """It becomes part of a path."""
    with pytest.raises(ValueError, match=re.escape(date)):
        table.commit(parts={date: rows}, positions={0: 1}, states={0: b""})


def test_a_position_never_goes_back(table: IngestTable, rows: pa.Table) -> None:
    """Nor does a mistake of the caller make it."""
    commit(table, rows, {0: 5})
    with pytest.raises(ValueError, match="go back"):
        commit(table, rows.slice(0, 0), {0: 4})


def test_text_of_messages_is_neither_in_the_log_nor_in_footers(table: IngestTable, kit: Any, store_url: str) -> None:
    """A deleted line must not live on in statistics."""
    secret = "hunter2"  # noqa: S105 - what must not be found
    commit(table, kit.make_rows([(0, 0, 0), (0, 0, 1)], app_of=app_of, message=secret), {0: 1})
    for path in Path(store_url).glob("logs/_delta_log/*"):
        assert secret.encode() not in path.read_bytes()
    (file,) = data_files(store_url)
    metadata = pq.read_metadata(file)
    assert secret not in str(metadata.to_dict())
    group = metadata.row_group(0)
    with_statistics = {
        group.column(number).path_in_schema for number in range(group.num_columns) if group.column(number).is_stats_set
    }
    assert with_statistics == {"app", "time_ns", "order_ns"}


def test_the_log_states_rows_and_ranges(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """Other engines skip files by them."""
    snapshot = commit(table, rows, {0: 2})
    entry = Path(store_url) / f"logs/_delta_log/{snapshot.version:020}.json"
    (stats,) = (
        json.loads(action["add"]["stats"])
        for action in map(json.loads, entry.read_text().splitlines())
        if "add" in action
    )
    assert stats == {
        "numRecords": 3,
        "minValues": {"app": "app", "time_ns": 0, "order_ns": 0},
        "maxValues": {"app": "app", "time_ns": 1000, "order_ns": 1000},
        "nullCount": {"app": 0, "time_ns": 0, "order_ns": 0},
    }


@pytest.mark.parametrize(
    "url", ["", "http://host/x", "file://host/x", "s3://", "s3:///x", "s3://bucket/a//b", "s3://bucket/x?region=y"]
)
def test_a_store_that_is_not_supported_is_named(url: str) -> None:
    """At the start, with the setting's name."""
    with pytest.raises(SettingsError, match="STORE_URL"):
        IngestTable.open(url, queue_id=QUEUE)


def test_credentials_in_the_url_are_refused_and_not_shown() -> None:
    """They would be in the log, and in the list of processes."""
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY") as raised:
        IngestTable.open("s3://key:hunter2@bucket/x", queue_id=QUEUE)
    assert "hunter2" not in str(raised.value)


def test_a_store_may_be_a_file_url(tmp_path: Path) -> None:
    """With the characters that a URL escapes."""
    IngestTable.open(f"file://{tmp_path}/a%20b", queue_id=QUEUE)
    assert (tmp_path / "a b" / "logs" / "_delta_log").is_dir()


def test_an_entry_torn_by_a_power_loss_is_set_aside(table: IngestTable, rows: pa.Table, store_url: str) -> None:
    """It was never acted on: the log goes on from the one before."""
    version = commit(table, rows, {0: 2}).version
    torn = Path(store_url) / f"logs/_delta_log/{version + 1:020}.json"
    torn.write_bytes(b"")
    again = IngestTable.open(store_url, queue_id=QUEUE)
    assert commit(again, rows.slice(0, 0), {0: 3}).version == version + 1
    assert torn.with_name(torn.name + ".torn").exists()


def _raiser(error: Exception) -> Any:
    def fail(*_: Any) -> None:
        raise error

    return fail
