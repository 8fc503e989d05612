"""Following the log as a reader: like deltalake does, over checkpoints and gaps, cheaply."""

import os
import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from logger.rows import SCHEMA
from logger.table.commit import LogWriter
from logger.table.datafile import write_data_file
from logger.table.deltalog import read_log
from logger.table.reader import TableReader
from logger.table.readfile import FileReader
from logger.table.writer import IngestTable
from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.store import Store

QUEUE = "queue-1"
DATE = "2026-11-24"


def app_of(name: tuple[int, int, int]) -> str:
    """Ten apps."""
    return f"app-{name[1] % 10}"


def commit_some(table: IngestTable, kit: Any, *, times: int, start: int = 0) -> None:
    """One record and one row each."""
    for position in range(start, start + times):
        rows = kit.make_rows([(0, position, 0)], app_of=app_of)
        table.commit(parts={DATE: rows}, positions={0: position + 1}, states={0: b""})


@pytest.fixture
def table(store_url: str) -> IngestTable:
    """A new table."""
    return IngestTable.open(store_url, queue_id=QUEUE)


def test_a_table_that_is_not_there_reads_as_empty(store_url: str) -> None:
    """The reader may start first; it sees the table when it comes."""
    reader = TableReader.open(store_url, queue_id=QUEUE)
    assert (reader.snapshot.version, list(reader.snapshot.apps())) == (-1, [])
    IngestTable.open(store_url, queue_id=QUEUE)
    assert reader.refresh().version == 0


def test_a_refresh_without_news_gives_the_same_snapshot(table: IngestTable, kit: Any, store_url: str) -> None:
    """Not an equal one: nothing is built."""
    commit_some(table, kit, times=2)
    reader = TableReader.open(store_url, queue_id=QUEUE)
    assert reader.refresh() is reader.refresh()


class TellingLock:
    """A lock that sets an event when so many have asked for it."""

    def __init__(self, many: int, asked: threading.Event) -> None:
        self._lock = threading.Lock()
        self._missing = [None] * many
        self._asked = asked

    def __enter__(self) -> None:
        self._missing.pop()
        if not self._missing:
            self._asked.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("away", [False, True])
def test_many_queries_at_once_share_one_look(
    table: IngestTable, kit: Any, store_url: str, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is under way when they ask, so they wait for the next one, and for its failure as well."""
    commit_some(table, kit, times=1)
    reader = TableReader.open(store_url, queue_id=QUEUE)
    commit_some(table, kit, times=1, start=1)
    looks, asked, seen = list[int](), threading.Event(), list[Any]()
    look = reader._look

    def counted() -> Any:
        looks.append(1)
        assert asked.wait(10)
        if away:
            raise StoreUnavailableError("away")
        return look()

    def ask() -> None:
        try:
            seen.append(reader.refresh().version)
        except StoreUnavailableError as error:
            seen.append(str(error))

    monkeypatch.setattr(reader, "_lock", TellingLock(10, asked))
    monkeypatch.setattr(reader, "_look", counted)
    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["away" if away else 2] * 10
    assert len(looks) <= 2


def test_the_log_reads_as_deltalake_reads_it(table: IngestTable, kit: Any, store_url: str, store: Store) -> None:
    """With a checkpoint in between, from the start and step by step."""
    commit_some(table, kit, times=5)
    LogWriter(store).checkpoint(clean_up=False)
    commit_some(table, kit, times=3, start=5)
    delta = DeltaTable(f"{store_url}/logs")
    state = read_log(store)
    assert state.version == delta.version()
    assert sorted(state.files) == sorted(action for action in delta.get_add_actions().column("path").to_pylist())
    assert {name: delta.transaction_version(name) for name in state.transactions} == state.transactions


def test_a_reader_that_slept_over_a_clean_up_starts_from_the_checkpoint(
    table: IngestTable, kit: Any, store_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries that it would go on with are gone; absence is not taken for silence."""
    monkeypatch.setattr("logger.table.deltalog.SURE_SECONDS", 0.0)
    commit_some(table, kit, times=2)
    reader = TableReader.open(store_url, queue_id=QUEUE)
    commit_some(table, kit, times=4, start=2)
    old = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    entries = sorted(Path(store_url).glob("logs/_delta_log/*.json"))
    for path in entries:
        os.utime(path, (old, old))
    LogWriter(store).checkpoint(clean_up=True)
    assert len(list(Path(store_url).glob("logs/_delta_log/*.json"))) < len(entries), "nothing was cleaned up"
    assert reader.refresh().positions == {0: 6}
    assert IngestTable.open(store_url, queue_id=QUEUE).standing.positions == {0: 6}
    commit_some(table, kit, times=1, start=6)
    assert reader.refresh().positions == {0: 7}
    assert TableReader.open(store_url, queue_id=QUEUE).snapshot.files.keys() == reader.snapshot.files.keys()


def test_a_torn_checkpoint_hint_is_not_needed(table: IngestTable, kit: Any, store_url: str, store: Store) -> None:
    """The checkpoints themselves are looked for."""
    commit_some(table, kit, times=3)
    LogWriter(store).checkpoint(clean_up=False)
    (Path(store_url) / "logs/_delta_log/_last_checkpoint").write_bytes(b"{")
    for path in Path(store_url).glob("logs/_delta_log/*.json"):
        path.unlink()
    assert TableReader.open(store_url, queue_id=QUEUE).snapshot.positions == {0: 3}


def test_a_damaged_entry_is_an_error_not_an_end(table: IngestTable, kit: Any, store_url: str) -> None:
    """A reader must not take it for the newest version."""
    commit_some(table, kit, times=1)
    (Path(store_url) / f"logs/_delta_log/{2:020}.json").write_bytes(b"{")
    with pytest.raises(FormatError, match="0002"):
        TableReader.open(store_url, queue_id=QUEUE)


def test_any_range_of_a_file_reads_as_it_was_written(store: Store, kit: Any) -> None:
    """Over row groups, of any columns, with footers that do not fit the cache."""
    chance = random.Random(5)
    rows = kit.make_rows([(0, number, 0) for number in range(3000)], app_of=app_of, message="x" * 2000)
    entry = write_data_file(store, f"date={DATE}/a.parquet", rows, queue_id=QUEUE, created_ms=1)
    reader = FileReader(store, cache_bytes=1)
    assert len(reader.row_group_ends(entry)) > 2
    ends = [0, *reader.row_group_ends(entry)]
    ranges = [(end, count) for end in ends for count in (0, 1, 100) if end + count <= entry.rows]
    ranges += [(start, chance.randint(0, entry.rows - start)) for start in chance.sample(range(entry.rows), 10)]
    for start, count in ranges:
        columns = chance.sample(SCHEMA.names, chance.randint(1, len(SCHEMA)))
        found = reader.read(entry, start=start, count=count, columns=columns)
        assert found.to_pydict() == rows.slice(start, count).select(columns).to_pydict()


def test_rows_that_a_file_does_not_have_are_refused(store: Store, kit: Any) -> None:
    """Not cut short in silence."""
    rows = kit.make_rows([(0, 0, 0)], app_of=app_of)
    entry = write_data_file(store, f"date={DATE}/a.parquet", rows, queue_id=QUEUE, created_ms=1)
    with pytest.raises(ValueError, match="has 1 rows"):
        FileReader(store).read(entry, start=0, count=2, columns=["app"])


def test_a_file_that_was_swept_is_told_from_an_empty_one(store: Store, kit: Any) -> None:
    """The reader takes a new snapshot then."""
    rows = kit.make_rows([(0, 0, 0)], app_of=app_of)
    entry = write_data_file(store, f"date={DATE}/a.parquet", rows, queue_id=QUEUE, created_ms=1)
    store.delete(entry.path)
    with pytest.raises(StoreUnavailableError, match=r"a\.parquet"):
        FileReader(store).read(entry, start=0, count=1, columns=["app"])
