"""Upkeep: retention, deletion, merging, sweeping; and that it leaves alone what is not its business."""

import asyncio
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import logger.table.upkeep
from logger.table.commit import LogWriter
from logger.table.deltalog import read_log
from logger.table.plan import MERGE_FILES, MERGED_BYTES, MOST_MERGE_FILES, SMALL_FILE_BYTES, plan_merges
from logger.table.reader import TableReader
from logger.table.retention import Retention
from logger.table.snapshot import FileEntry, Snapshot
from logger.table.state import write_state
from logger.table.tombstones import EVERYWHERE, FOLDER, Tombstones
from logger.table.upkeep import Upkeep, UpkeepMetrics, run_upkeep
from logger.table.vacuum import ORPHAN_SECONDS, PINNED_SECONDS, vacuum
from logger.table.writer import IngestTable
from pipeline.errors import FormatError
from pipeline.service import Health
from pipeline.store import Store, open_store

QUEUE = "queue-1"
TODAY = "2026-11-24"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = 86400.0
Name = tuple[int, int, int]


def app_of(name: Name) -> str:
    """Rows of a record belong to three apps."""
    return f"app-{name[2]}"


class Site:
    """A table with ingest, upkeep, a reader and deletions."""

    def __init__(self, url: str, make_rows: Callable[..., Any], retention: Retention, queue_id: str = QUEUE) -> None:
        self.url, self.queue_id, self.make_rows = url, queue_id, make_rows
        self.store = open_store(url)
        self.table = IngestTable.open(url, queue_id=queue_id)
        self.table.load_states()
        self.tombstones = Tombstones.open(url, queue_id=queue_id)
        self.registry = CollectorRegistry()
        self.upkeep = Upkeep(
            self.store,
            queue_id=queue_id,
            tombstones=self.tombstones,
            retention=retention,
            metrics=UpkeepMetrics(self.registry),
        )
        self.reader = TableReader.open(url, queue_id=queue_id)
        self.position = self.table.standing.positions.get(0, 0)

    def ingest(self, date: str, *, apps: Iterable[int] = range(3), records: int = 1) -> None:
        """One commit; each record has a row of each app."""
        stop = self.position + records
        names = [(0, offset, app) for offset in range(self.position, stop) for app in apps]
        self.table.commit(
            parts={date: self.make_rows(names, app_of=app_of)}, positions={0: stop}, states={0: str(stop).encode()}
        )
        self.position = stop

    def left(self) -> dict[str, int]:
        """Rows of each app."""
        snapshot = self.reader.refresh()
        return {app: sum(e.apps[app].count for e in snapshot.of_app(app)) for app in sorted(snapshot.apps())}

    def files(self) -> int:
        """Number of files in the table."""
        return len(self.reader.refresh().files)


@pytest.fixture
def site(store_url: str, kit: Any, request: pytest.FixtureRequest) -> Site:
    """A site with the retention that the test asks for."""
    return Site(store_url, kit.make_rows, getattr(request, "param", Retention()))


def passes(now: datetime, apps: Iterable[str], date: str, retention: Retention) -> list[str]:
    """Apps past their time."""
    return sorted(retention.expired(dict.fromkeys(apps), date=date, now=now))


def test_retention_counts_from_the_end_of_the_day_of_arrival() -> None:
    """To the second; an app's own time goes before the default, longer or shorter or for ever."""
    retention = Retention(2 * DAY, {"short": 3600.0, "long": 10 * DAY, "ever": None})
    apps = ["other", "short", "long", "ever"]
    end = datetime(2026, 11, 25, tzinfo=UTC)
    assert passes(end + timedelta(seconds=3599), apps, TODAY, retention) == []
    assert passes(end + timedelta(seconds=3600), apps, TODAY, retention) == ["short"]
    assert passes(end + timedelta(days=2), apps, TODAY, retention) == ["other", "short"]
    assert passes(end + timedelta(days=10), apps, TODAY, retention) == ["long", "other", "short"]
    assert passes(end + timedelta(days=999), apps, TODAY, Retention()) == []


@pytest.mark.parametrize("site", [Retention(2 * DAY, {"app-1": 10 * DAY})], indirect=True)
def test_days_past_their_time_go_and_longer_apps_stay(site: Site) -> None:
    """A file with nothing to keep goes as a whole, another is rewritten."""
    site.ingest("2026-11-20")
    site.ingest("2026-11-20", apps=[0])
    site.ingest("2026-11-23")
    site.upkeep.run_once(NOW)
    assert site.left() == {"app-0": 1, "app-1": 2, "app-2": 1}
    site.upkeep.run_once(NOW + timedelta(days=60))
    assert site.left() == {}


def test_a_deletion_removes_what_lay_before_it_and_nothing_else(site: Site) -> None:
    """Rows that came later stay, as do those of other apps; readers obey before upkeep does."""
    site.ingest(TODAY, records=10)
    site.tombstones.add("app-1", {0: 7})
    assert site.tombstones.boundary("app-1") == {0: 7}
    assert Tombstones.open(site.url, queue_id=QUEUE).boundary("app-1") == {0: 7}
    assert site.tombstones.boundary("app-2") is None
    site.upkeep.run_once(NOW)
    assert site.left() == {"app-0": 10, "app-1": 3, "app-2": 10}
    version = site.reader.snapshot.version
    site.upkeep.run_once(NOW)
    assert site.reader.refresh().version == version, "a file without deleted rows was rewritten"


def test_several_deletions_of_an_app_add_up(site: Site) -> None:
    """Shard by shard the furthest counts, in any order."""
    site.tombstones.add("app", {0: 7, 1: 2})
    site.tombstones.add("app", {0: 3, 2: 1})
    assert site.tombstones.boundary("app") == {0: 7, 1: 2, 2: 1}


def test_a_tombstone_is_kept_until_no_row_of_it_can_come(site: Site) -> None:
    """Rows that ingest still has in memory are deleted as well, once they are committed."""
    site.ingest(TODAY, records=2)
    site.tombstones.add("app-1", {0: 4})
    later = datetime.now(UTC) + timedelta(days=2)
    site.upkeep.run_once(later)
    assert site.tombstones.boundary("app-1") == {0: 4}
    site.ingest(TODAY, records=3)
    site.upkeep.run_once(later)
    assert site.left()["app-1"] == 1
    assert site.tombstones.boundary("app-1") is None
    assert site.store.objects(FOLDER) == []


def test_a_young_tombstone_stays_for_readers_with_old_versions(site: Site) -> None:
    """Though no row of it is left."""
    site.ingest(TODAY)
    site.tombstones.add("app-1", {0: 1})
    site.upkeep.run_once(datetime.now(UTC))
    assert site.tombstones.boundary("app-1") == {0: 1}


def test_a_deletion_knows_the_queue_that_its_offsets_are_of(site: Site, kit: Any) -> None:
    """After the queue was replaced: old rows go as a whole, new rows are not taken for old ones."""
    site.ingest(TODAY, records=5)
    site.tombstones.add("app-0", {0: 5})
    new = Site(site.url, kit.make_rows, Retention(), queue_id="queue-2")
    new.ingest(TODAY, records=3)
    assert new.tombstones.boundary("app-0") is None
    new.tombstones.add("app-1", {0: 1})
    old_file, new_file = sorted(new.reader.refresh().files.values(), key=lambda entry: entry.created_ms)
    assert new.tombstones.boundary("app-1", old_file) is EVERYWHERE
    assert new.tombstones.boundary("app-1", new_file) == {0: 1}
    new.upkeep.run_once(NOW)
    assert new.left() == {"app-0": 3, "app-1": 2, "app-2": 8}


def test_a_tombstone_that_cannot_be_read_stops_the_start(site: Site) -> None:
    """To go on without it would show deleted lines again."""
    site.store.put(f"{FOLDER}/00-00", b"?")
    with pytest.raises(FormatError, match="00-00"):
        Tombstones.open(site.url, queue_id=QUEUE)


def test_small_files_become_one(site: Site) -> None:
    """Of today when a size class is full; the rows and their order are those of before."""
    for _ in range(MERGE_FILES - 1):
        site.ingest(TODAY, records=3)
    before = site.left()
    site.upkeep.run_once(NOW)
    assert site.files() == MERGE_FILES - 1
    site.ingest("2026-11-22")
    site.ingest("2026-11-22")
    site.ingest(TODAY, records=3)
    site.upkeep.run_once(NOW)
    assert site.files() == 2
    assert site.left() == {app: count + 5 for app, count in before.items()}


def test_an_ingester_is_not_disturbed_by_upkeep(site: Site) -> None:
    """Its next commit is neither fenced nor does it count on the files."""
    for _ in range(3):
        site.ingest("2026-11-22")
        site.upkeep.run_once(NOW)
    assert site.files() == 1
    assert site.left() == {"app-0": 3, "app-1": 3, "app-2": 3}


def entry_of(name: int, *, size_bytes: int, date: str = TODAY, queue_id: str = QUEUE) -> FileEntry:
    """A file as the planner sees it."""
    return FileEntry(f"date={date}/{name}", date, size_bytes, 1, {}, {}, queue_id, name)


def merges(*entries: FileEntry) -> list[list[str]]:
    """What the planner would merge."""
    snapshot = Snapshot(1, {}, {entry.path: entry for entry in entries})
    return [[entry.path for entry in task.inputs] for task in plan_merges(snapshot, today=TODAY)]


def test_large_files_are_left_alone() -> None:
    """However many there are."""
    assert merges(*(entry_of(number, size_bytes=SMALL_FILE_BYTES) for number in range(50))) == []
    assert merges(*(entry_of(n, size_bytes=SMALL_FILE_BYTES, date="2026-11-01") for n in range(50))) == []


def test_files_of_different_size_days_or_queues_are_not_merged() -> None:
    """A row is rewritten once for each size class, and offsets mean something within a queue only."""
    small = [entry_of(number, size_bytes=1000) for number in range(MERGE_FILES - 1)]
    assert merges(*small, entry_of(99, size_bytes=SMALL_FILE_BYTES - 1)) == []
    assert merges(*small, entry_of(99, size_bytes=1000, date="2026-11-23")) == []
    assert merges(*small, entry_of(99, size_bytes=1000, queue_id="queue-2")) == []
    assert len(merges(*small, entry_of(99, size_bytes=1000))) == 1


def test_a_merge_is_bounded() -> None:
    """In files and in bytes; no file is in two of them."""
    entries = [entry_of(number, size_bytes=1000, date="2026-11-01") for number in range(MOST_MERGE_FILES * 2 + 1)]
    entries += [entry_of(1000 + number, size_bytes=SMALL_FILE_BYTES - 1, date="2026-11-02") for number in range(9)]
    groups = merges(*entries)
    assert all(len(group) <= MOST_MERGE_FILES for group in groups)
    assert max(map(len, groups[2:])) * SMALL_FILE_BYTES <= MERGED_BYTES + SMALL_FILE_BYTES
    paths = [path for group in groups for path in group]
    assert len(paths) == len(set(paths)) >= len(entries) - 2


def age(store: Store, name: str, seconds: float, now: datetime = NOW) -> None:
    """Make an object look as old as that."""
    then = now.timestamp() - seconds
    os.utime(Path(store.uri) / name, (then, then))


def test_a_sweep_takes_what_nobody_can_need(site: Site) -> None:
    """Files of the table stay however old; orphans and removed files stay a while; states by name or age."""
    now = datetime.now(UTC)
    for _ in range(2):
        site.ingest("2026-11-22")
    removed = set(site.reader.refresh().files)
    site.upkeep.run_once(NOW)
    (kept,) = site.reader.refresh().files
    old_orphan, new_orphan = "date=2026-11-22/old.parquet", "date=2026-11-22/new.parquet"
    for name in (old_orphan, new_orphan, "_delta_log/x.json#1", "_state/x.tmp"):
        site.store.put(name, b"left by a crash")
    write_state(site.store, 5, {0: b"never named"})
    for name in (kept, *removed, old_orphan, "_delta_log/x.json#1", "_state/x.tmp", f"_state/{5:016x}"):
        age(site.store, name, ORPHAN_SECONDS + 60, now)
    swept = vacuum(site.store, read_log(site.store), now_ms=int(now.timestamp() * 1000))
    assert (swept.data_files, swept.states, swept.temporaries) == (1, 1, 2)
    names = {fact.name for fact in site.store.objects("date=2026-11-22")}
    assert names == {kept, new_orphan} | removed
    later = now + timedelta(seconds=PINNED_SECONDS + 60)
    swept = vacuum(site.store, read_log(site.store), now_ms=int(later.timestamp() * 1000))
    assert swept.data_files == 2
    assert {fact.name for fact in site.store.objects("date=2026-11-22")} == {kept, new_orphan}
    assert IngestTable.open(site.url, queue_id=QUEUE).load_states() == {0: b"2"}


def test_states_that_the_table_names_survive_any_age(site: Site) -> None:
    """A shard may be quiet for weeks."""
    site.ingest(TODAY)
    later = datetime.now(UTC) + timedelta(days=30)
    site.upkeep.run_once(later)
    assert IngestTable.open(site.url, queue_id=QUEUE).load_states() == {0: b"1"}


def test_the_log_gets_checkpoints(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And they hold what the entries held."""
    monkeypatch.setattr(logger.table.upkeep, "CHECKPOINT_VERSIONS", 3)
    for _ in range(5):
        site.ingest(TODAY)
        site.upkeep.run_once(NOW)
    checkpoints = sorted(path.name for path in Path(site.url).glob("logs/_delta_log/*.checkpoint.parquet"))
    assert checkpoints == [f"{version:020}.checkpoint.parquet" for version in (2, 5)]
    assert TableReader.open(site.url, queue_id=QUEUE).snapshot.files == site.reader.refresh().files


def test_a_swap_gives_way_when_its_inputs_are_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two upkeeps have the same files in hand: the second finds them gone and adds nothing."""
    for _ in range(2):
        site.ingest("2026-11-22")
    other = Upkeep(
        site.store,
        queue_id=QUEUE,
        tombstones=site.tombstones,
        retention=Retention(),
        metrics=UpkeepMetrics(CollectorRegistry()),
    )
    done: list[str] = []

    def other_first(point: str) -> None:
        if point == "upkeep.rewritten" and not done:
            done.append(point)
            other.run_once(NOW)

    monkeypatch.setattr(logger.table.upkeep, "failpoint", other_first)
    site.upkeep.run_once(NOW)
    assert site.left() == {"app-0": 2, "app-1": 2, "app-2": 2}
    assert site.registry.get_sample_value("logger_upkeep_abandoned_total") == 1


def test_a_damaged_file_is_named_and_keeps_upkeep_from_nothing_else(site: Site) -> None:
    """The day with the damaged file stays as it is; other days are merged, and the pass ends with the error."""
    for date in ("2026-11-21", "2026-11-22"):
        site.ingest(date)
        site.ingest(date)
    damaged = min(site.reader.refresh().files)
    path = Path(site.store.uri) / damaged
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(200) + data[204:])  # the first pages; the footer is whole
    with pytest.raises(FormatError, match="2026-11-21"):
        site.upkeep.run_once(NOW)
    files = sorted(site.reader.refresh().files)
    assert [name.partition("/")[0] for name in files] == ["date=2026-11-21", "date=2026-11-21", "date=2026-11-22"]


async def test_upkeep_runs_until_told_to_stop_and_says_how_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that fails is shown and counted, and the next one works."""
    advance = LogWriter.advance
    failures = iter([True])

    def fail_once(self: LogWriter) -> Any:
        if next(failures, False):
            raise FormatError("damaged")
        return advance(self)

    monkeypatch.setattr(LogWriter, "advance", fail_once)
    health, registry, stopping = Health(), CollectorRegistry(), asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(
            run_upkeep(
                store_url=site.url,
                queue_id=QUEUE,
                tombstones=site.tombstones,
                interval_seconds=0.01,
                retention=Retention(),
                health=health,
                registry=registry,
                stopping=stopping,
            )
        )
        await until(lambda: registry.get_sample_value("logger_upkeep_failures_total") == 1)
        await until(lambda: not health.problems())
        stopping.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the caller sets the bound."""
    while not condition():  # noqa: ASYNC110 - the condition has no event to wait for
        await asyncio.sleep(0.005)
