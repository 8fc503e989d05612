"""Catalogs of many files, and files that cannot be read: what a table costs to open, and what one bad file costs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import logger.table.writer
from logger.table.catalogfile import FOLDER, Catalogs, decode_catalog, encode_catalog
from logger.table.deltalog import last_checkpoint, read_log
from logger.table.reader import TableReader
from logger.table.readfile import read_entry
from logger.table.retention import Retention
from logger.table.tombstones import Tombstones
from logger.table.upkeep import DamagedFileError, Upkeep, UpkeepMetrics
from logger.table.writer import IngestTable
from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.store import Store, open_store
from pipeline.store.folder import FolderStore

QUEUE = "queue-1"
DATES = ("2026-11-22", "2026-11-23", "2026-11-24")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def app_of(name: tuple[int, int, int]) -> str:
    """Two apps that share no file, but for every fifth record."""
    return f"app-{name[2] % 2 if name[1] % 5 == 0 else name[1] % 2}"


def fill(url: str, kit: Any, count: int) -> IngestTable:
    """Commit some records, each in a file of its own, on three days."""
    table = IngestTable.open(url, queue_id=QUEUE)
    for position in range(1, count + 1):
        rows = kit.make_rows([(0, position - 1, number) for number in range(2)], app_of=app_of)
        table.commit(parts={DATES[position % 3]: rows}, positions={0: position}, states={0: b""})
    return table


def upkeep_of(url: str, retention: Retention | None = None) -> tuple[Upkeep, CollectorRegistry]:
    """Upkeep as a service has it."""
    registry = CollectorRegistry()
    return Upkeep(
        open_store(url),
        queue_id=QUEUE,
        tombstones=Tombstones.open(url, queue_id=QUEUE),
        retention=retention or Retention(),
        metrics=UpkeepMetrics(registry),
    ), registry


def same(left: Any, right: Any) -> bool:
    """Whether two entries say the same."""
    return (dict(left.apps), left.shards, left.rows, left.size_bytes, left.queue_id, left.created_ms) == (
        dict(right.apps),
        right.shards,
        right.rows,
        right.size_bytes,
        right.queue_id,
        right.created_ms,
    )


class Counting:
    """Counts reads of footers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.footers = 0
        tail = FolderStore.tail

        def counted(store: FolderStore, name: str, **arguments: Any) -> bytes:
            self.footers += 1
            return tail(store, name, **arguments)

        monkeypatch.setattr(FolderStore, "tail", counted)


def test_a_table_with_catalogs_opens_without_reading_their_files(
    store_url: str, store: Store, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says the same as the footers do; files that are newer are read by themselves."""
    fill(store_url, kit, 40)
    plain = TableReader.open(store_url, queue_id=QUEUE).snapshot
    Catalogs(store).update(plain.files.values(), today=DATES[1])
    table = IngestTable.open(store_url, queue_id=QUEUE)
    rows = kit.make_rows([(0, 40, 0)], app_of=app_of)
    table.commit(parts={DATES[2]: rows}, positions={0: 41}, states={0: b""})
    counting = Counting(monkeypatch)
    opened = TableReader.open(store_url, queue_id=QUEUE).snapshot
    assert counting.footers == 1 + len([path for path in plain.files if DATES[1] in path or DATES[2] in path])
    assert all(same(opened.files[path], entry) for path, entry in plain.files.items())
    assert opened.catalog.keys() == plain.catalog.keys()


def test_upkeep_writes_catalogs_replaces_them_and_drops_those_of_days_that_are_gone(
    store_url: str, store: Store, kit: Any
) -> None:
    """A past day is covered at once; nothing is written when nothing has changed."""
    fill(store_url, kit, 30)
    upkeep, registry = upkeep_of(store_url)
    store.put(f"{FOLDER}/2020-01-01-{1:016x}", b"old")
    upkeep.run_once(NOW)
    first = [fact.name for fact in store.objects(FOLDER)]
    assert [name.removeprefix(f"{FOLDER}/")[:10] for name in first] == list(DATES[:2])
    upkeep.run_once(NOW)
    assert [fact.name for fact in store.objects(FOLDER)] == first
    upkeep.run_once(NOW.replace(day=25))
    names = [fact.name.removeprefix(f"{FOLDER}/")[:10] for fact in store.objects(FOLDER)]
    assert names == list(DATES)
    assert registry.get_sample_value("logger_upkeep_catalogs_total") == 3


@pytest.mark.parametrize("harm", ["cut", "other bytes", "empty"])
def test_a_damaged_catalog_costs_reading_footers(store_url: str, store: Store, kit: Any, harm: str) -> None:
    """And the next one takes its place."""
    fill(store_url, kit, 40)
    plain = TableReader.open(store_url, queue_id=QUEUE).snapshot
    Catalogs(store).update(plain.files.values(), today="2026-12-01")
    for fact in store.objects(FOLDER):
        path = Path(store.uri) / fact.name
        data = path.read_bytes()
        path.write_bytes({"cut": data[: len(data) // 2], "other bytes": b"\x01" + b"x" * 100, "empty": b""}[harm])
    opened = TableReader.open(store_url, queue_id=QUEUE).snapshot
    assert all(same(opened.files[path], entry) for path, entry in plain.files.items())
    assert upkeep_of(store_url)[0].run_once(NOW) is None
    for fact in store.objects(FOLDER):
        data = store.get(fact.name)
        assert data is not None
        if fact.name.removeprefix(f"{FOLDER}/")[:10] != DATES[2]:
            assert decode_catalog(data, name=fact.name)


def test_a_catalog_of_a_later_version_is_refused(store_url: str, kit: Any) -> None:
    """Format and version stand in front."""
    fill(store_url, kit, 1)
    (entry,) = TableReader.open(store_url, queue_id=QUEUE).snapshot.files.values()
    name = f"{FOLDER}/{entry.date}-x"
    assert same(decode_catalog(encode_catalog(entry.date, [entry]), name=name)[0], entry)
    with pytest.raises(FormatError, match="no catalog"):
        decode_catalog(b"\x02" + encode_catalog(entry.date, [entry])[1:], name=name)


def _damage(store: Store, path: str, harm: str) -> None:
    file = Path(store.uri) / path
    if harm == "gone":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.write_bytes(b"x" * file.stat().st_size)


@pytest.mark.parametrize("harm", ["gone", "cut", "other bytes"])
def test_a_file_that_cannot_be_read_costs_its_own_lines_only(store_url: str, store: Store, kit: Any, harm: str) -> None:
    """Everything opens; a query that needs the file fails and names it, every other one works; upkeep tells."""
    table = fill(store_url, kit, 4)
    before = TableReader.open(store_url, queue_id=QUEUE).snapshot
    victim = next(path for path, entry in before.files.items() if list(entry.apps) == ["app-1"])
    whole = (Path(store.uri) / victim).read_bytes()
    _damage(store, victim, harm)
    reader = TableReader.open(store_url, queue_id=QUEUE)
    snapshot = reader.snapshot
    assert snapshot.damaged.keys() == {victim}
    assert len(snapshot.files) == 3
    for entry in snapshot.of_app("app-0"):
        assert reader.read(entry, start=0, count=1, columns=["app"]).num_rows == 1
    stand_in = snapshot.of_app("app-1")[-1]
    assert stand_in.path == victim
    assert stand_in.apps["app-1"].order_max < 10_000, "the log's own statistics say where it lies"
    for call in (
        lambda: reader.read(stand_in, start=0, count=1, columns=["app"]),
        lambda: reader.row_group_ends(stand_in),
    ):
        with pytest.raises(StoreUnavailableError, match=victim):
            call()
    upkeep, registry = upkeep_of(store_url)
    with pytest.raises(DamagedFileError, match=victim):
        upkeep.run_once(NOW)
    assert registry.get_sample_value("logger_table_damaged_files") == 1
    assert victim in read_log(store).files, "a person may still repair it"
    (Path(store.uri) / victim).parent.mkdir(exist_ok=True)
    (Path(store.uri) / victim).write_bytes(whole)
    assert IngestTable.open(store_url, queue_id=QUEUE).load_states() == {0: b""}
    rows = kit.make_rows([(0, 4, 0)], app_of=app_of)
    table.commit(parts={DATES[2]: rows}, positions={0: 5}, states={0: b""})
    assert reader.refresh().damaged == {}, "it was repaired"
    assert victim in reader.snapshot.files


def test_a_damaged_file_is_not_merged_away(store_url: str, store: Store, kit: Any) -> None:
    """Its neighbours are merged; its rows are not counted as dropped."""
    fill(store_url, kit, 12)
    before = read_log(store).files
    victim = min(before)
    _damage(store, victim, "cut")
    upkeep, registry = upkeep_of(store_url)
    with pytest.raises(DamagedFileError):
        upkeep.run_once(NOW)
    after = read_log(store).files
    assert victim in after
    assert len(after) < len(before)
    assert registry.get_sample_value("logger_upkeep_rows_dropped_total") == 0


@pytest.mark.parametrize(("own_days", "goes"), [(None, False), (400, False), (5, True)])
def test_a_damaged_file_goes_when_no_app_keeps_its_lines_so_long(
    store_url: str, store: Store, kit: Any, own_days: int | None, goes: bool
) -> None:
    """Nobody can tell whose lines it has, so the app that keeps them longest counts."""
    fill(store_url, kit, 3)
    victim = min(read_log(store).files)
    _damage(store, victim, "cut")
    own = None if own_days is None else own_days * 86400.0
    upkeep, _ = upkeep_of(store_url, Retention(30 * 86400.0, {"other": own}))
    later = NOW + timedelta(days=60)
    if goes:
        upkeep.run_once(later)
    else:
        with pytest.raises(DamagedFileError):
            upkeep.run_once(later)
    assert read_log(store).files.keys() == (set() if goes else {victim})


def test_ingest_checkpoints_the_log_when_nobody_else_does(
    store_url: str, store: Store, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens the table reads what comes after it."""
    monkeypatch.setattr(logger.table.writer, "CHECKPOINT_VERSIONS", 5)
    table = fill(store_url, kit, 4)
    assert last_checkpoint(store) == -1
    for position in range(5, 13):
        table.commit(parts={}, positions={0: position}, states={0: b""})
    assert last_checkpoint(store) == 10
    assert TableReader.open(store_url, queue_id=QUEUE).snapshot.positions == {0: 12}


def test_a_checkpoint_that_fails_does_not_fail_the_commit(
    store_url: str, store: Store, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit stands."""
    monkeypatch.setattr(logger.table.writer, "CHECKPOINT_VERSIONS", 1)

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailableError("no room")

    monkeypatch.setattr("logger.table.commit.LogWriter.checkpoint", fail)
    assert fill(store_url, kit, 3).standing.positions == {0: 3}


def test_a_footer_larger_than_the_first_read_is_read_whole(
    store: Store, store_url: str, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a second read."""
    fill(store_url, kit, 1)
    (entry,) = TableReader.open(store_url, queue_id=QUEUE).snapshot.files.values()
    monkeypatch.setattr("logger.table.readfile._TAIL_BYTES", 20)
    counting = Counting(monkeypatch)
    assert same(read_entry(store, entry.path, size_bytes=entry.size_bytes), entry)
    assert counting.footers == 2
