"""The table in a real bucket: the commit protocol's model, refused and unanswered requests, a gateway that is killed.

The gateway keeps a bucket as a folder, so the independent reading of every version looks at the very objects.
"""

import random
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from deltalake import DeltaTable

import logger.table.upkeep
import logger.table.writer
from logger.table.commit import LogWriter
from logger.table.reader import TableReader
from logger.table.writer import IngestTable
from pipeline.errors import FencedError, StoreUnavailableError
from pipeline.store import open_store

pytestmark = [pytest.mark.real, pytest.mark.slow]

QUEUE = "queue-1"
DATE = "2026-11-24"
HARMS = {"refuse": 0.04, "cut": 0.04, "lose": 0.06, "break": 0.04}


def app_of(name: tuple[int, int, int]) -> str:
    return f"app-{name[1] % 3}"


def rows_below(shard: int, position: int, start: int = 0) -> list[tuple[int, int, int]]:
    return [(shard, offset, number) for offset in range(start, position) for number in range(1 + offset % 2)]


def commit(table: IngestTable, kit: ModuleType, position: int, *, shard: int = 0) -> None:
    """Commit the record before `position`."""
    rows = kit.make_rows(rows_below(shard, position, position - 1), app_of=app_of)
    table.commit(parts={DATE: rows}, positions={shard: position}, states={shard: str(position).encode()})


def check(gateway: Any, kit: ModuleType, place: str) -> Any:
    """Every version holds what it has to hold; the newest one."""
    reading = kit.Reading(gateway.bucket / place / "logs")
    return kit.check_versions(reading, queue_id=QUEUE, expected=rows_below, may_be_gone=lambda _: False)


def test_other_programs_read_the_table_as_it_is(gateway: Any, table_kit: ModuleType, place: str) -> None:
    """That is deltalake with its own client, before and after a checkpoint and a clean-up."""
    url = f"s3://logs/{place}"
    table = IngestTable.open(url, queue_id=QUEUE)
    for position in range(1, 6):
        commit(table, table_kit, position)
    store = open_store(url)
    for _ in range(2):
        delta = DeltaTable(store.uri, storage_options=dict(store.options))
        reader = TableReader.open(url, queue_id=QUEUE)
        assert delta.version() == reader.snapshot.version
        assert delta.transaction_version(f"{QUEUE}/0") == reader.snapshot.positions[0]
        assert delta.to_pyarrow_dataset().count_rows() == sum(entry.rows for entry in reader.snapshot.files.values())
        LogWriter(store).checkpoint(clean_up=True)
        commit(table, table_kit, table.standing.positions[0] + 1)


def test_of_many_that_make_the_table_one_does(gateway: Any, place: str) -> None:
    """Loggers that start together find one table, with one beginning."""
    versions: list[int] = []

    def make() -> None:
        versions.append(LogWriter(open_store(f"s3://logs/{place}")).state.version)

    _run([threading.Thread(target=make) for _ in range(8)])
    assert versions == [0] * 8


def test_a_handle_that_lost_its_shard_is_refused(gateway: Any, table_kit: ModuleType, place: str) -> None:
    url = f"s3://logs/{place}"
    first = IngestTable.open(url, queue_id=QUEUE)
    commit(first, table_kit, 1)
    second = IngestTable.open(url, queue_id=QUEUE)
    assert second.load_states() == {0: b"1"}
    commit(second, table_kit, 2)
    with pytest.raises(FencedError):
        commit(first, table_kit, 2)
    check(gateway, table_kit, place)


@pytest.fixture
def world(
    gateway: Any,
    place: str,
    table_model: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Any]:
    """The actors of the commit protocol's model."""
    table_kit = request.getfixturevalue("table_kit")
    world = table_model.World(f"s3://logs/{place}", random.Random(request.param), table_kit.make_rows)
    monkeypatch.setattr(logger.table.writer, "failpoint", world.passing)
    monkeypatch.setattr(logger.table.upkeep, "failpoint", world.passing)
    yield world
    monkeypatch.undo()


@pytest.mark.parametrize("world", range(3), indirect=True)
def test_every_version_holds_each_row_once_whatever_the_actors_do(
    world: Any, gateway: Any, place: str, table_kit: ModuleType, table_model: ModuleType
) -> None:
    """40 acts of ingesters, upkeeps and deletions, which crash and are held up."""
    for _ in range(40):
        world.step()
    table_model.settle(world)
    reading = table_kit.Reading(gateway.bucket / place / "logs")
    last = table_kit.check_versions(
        reading, queue_id=table_model.QUEUE, expected=table_model.rows_below, may_be_gone=world.is_deleted
    )
    assert world.outcomes.get("committed", 0) >= 5, world.outcomes
    assert not [name for name in reading.names(last) if world.is_deleted(name)], "upkeep left deleted rows"


def test_commits_survive_requests_that_are_refused_cut_or_unanswered(
    meddler: Any, gateway: Any, table_kit: ModuleType, place: str
) -> None:
    """Two ingesters of one shard each; every commit is repeated until it is in the table, and is there once."""
    url = f"s3://logs/{place}"
    tables = [IngestTable.open(url, queue_id=QUEUE) for _ in range(2)]
    failures: list[str] = []

    def ingest(shard: int) -> None:
        for position in range(1, 26):
            _until_done(lambda position=position: commit(tables[shard], table_kit, position, shard=shard), failures)

    meddler.rates = HARMS
    _run([threading.Thread(target=ingest, args=(shard,)) for shard in range(2)])
    meddler.rates = {}
    assert check(gateway, table_kit, place).positions(QUEUE) == {0: 25, 1: 25}
    assert {fate for _, fate in meddler.seen} == {"pass", *HARMS}
    assert meddler.seen["PUT", "lose"] + meddler.seen["PUT", "break"] > 0
    assert TableReader.open(url, queue_id=QUEUE).snapshot.positions == {0: 25, 1: 25}


def test_while_a_bucket_refuses_everything_a_commit_fails_and_may_be_repeated(
    meddler: Any, gateway: Any, table_kit: ModuleType, place: str
) -> None:
    """Within seconds, so that the caller shows it; what was written by then is used."""
    table = IngestTable.open(f"s3://logs/{place}", queue_id=QUEUE)
    commit(table, table_kit, 1)
    meddler.rates = {"refuse": 1.0}
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            commit(table, table_kit, 2)
    assert time.monotonic() - started < 60
    meddler.rates = {}
    commit(table, table_kit, 2)
    assert check(gateway, table_kit, place).positions(QUEUE) == {0: 2}


def test_a_commit_whose_every_answer_is_lost_is_there_once(
    meddler: Any, gateway: Any, table_kit: ModuleType, place: str
) -> None:
    """Data, state and entry are put, and nobody is told; the repetition finds the commit."""
    table = IngestTable.open(f"s3://logs/{place}", queue_id=QUEUE)
    commit(table, table_kit, 1)
    for fate in ("lose", "break"):
        meddler.rates = {fate: 0.5}
        position = table.standing.positions[0] + 1
        _until_done(lambda position=position: commit(table, table_kit, position), [])
    meddler.rates = {}
    assert check(gateway, table_kit, place).positions(QUEUE) == {0: 3}


def test_commits_survive_a_gateway_that_is_killed_and_paused(
    own_gateway: Any, table_kit: ModuleType, place: str
) -> None:
    """Four times each, at moments that chance chooses, under two ingesters and a reader."""
    url = f"s3://logs/{place}"
    tables = [IngestTable.open(url, queue_id=QUEUE) for _ in range(2)]
    reader = TableReader.open(url, queue_id=QUEUE)
    stopping, failures, reached = threading.Event(), list[str](), [0, 0]

    def ingest(shard: int) -> None:
        while not stopping.is_set():
            position = reached[shard] + 1
            _until_done(lambda position=position: commit(tables[shard], table_kit, position, shard=shard), failures)
            reached[shard] = position

    def read() -> None:
        while not stopping.is_set():
            before = dict(reader.snapshot.positions)
            _until_done(reader.refresh, failures)
            assert all(reader.snapshot.positions[shard] >= position for shard, position in before.items())

    threads = [threading.Thread(target=ingest, args=(shard,)) for shard in range(2)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    chance, pace = random.Random(3), threading.Event()
    try:
        for number in range(4):
            pace.wait(chance.uniform(0.05, 0.4))  # the pace of the harm, nothing waits for it
            own_gateway.kill()
            pace.wait(number % 2 * 4)  # longer than the client library tries by itself
            own_gateway.start()
            pace.wait(chance.uniform(0.05, 0.4))
            own_gateway.pause()
            pace.wait(0.2)
            own_gateway.resume()
    finally:
        stopping.set()
        for thread in threads:
            thread.join(120)
    assert failures, "no commit met the harm"
    assert check(own_gateway, table_kit, place).positions(QUEUE) == dict(enumerate(reached))


@pytest.mark.faults
def test_every_version_holds_each_row_once_whoever_is_killed(
    own_gateway: Any, place: str, table_kit: ModuleType, table_crowd: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of ingest, upkeep and deletion are killed and stopped, and so is the gateway."""
    bucket = own_gateway.bucket / place

    class Crowd(table_crowd.Crowd):  # type: ignore[name-defined, misc] # a module that is loaded by its path
        def has_seen_enough(self) -> bool:
            versions = len(list((bucket / "logs" / "_delta_log").glob("*.json")))
            return bool(self.harms >= 25 and versions >= 30 and self.ends["ingest 3"] > 0)

    crowd = Crowd(f"s3://logs/{place}", 11)
    started = time.monotonic()
    disturbed, pace = started + 2, threading.Event()
    try:
        while not crowd.has_seen_enough():
            assert time.monotonic() < started + 180, crowd.ends
            crowd.tend()
            if time.monotonic() >= disturbed:
                crowd.disturb()
                if crowd.harms % 5 == 0:
                    own_gateway.kill()
                    own_gateway.start()
                disturbed = time.monotonic() + crowd.chance.uniform(0.1, 0.8)
            pace.wait(0.02)
    finally:
        crowd.end()
    reading = table_kit.Reading(bucket / "logs")
    actor = table_crowd.actor
    deleted = logger.table.upkeep.Tombstones.open(f"s3://logs/{place}", queue_id=actor.QUEUE)

    def is_deleted(name: tuple[int, int, int]) -> bool:
        return name[1] < (deleted.boundary(actor.app_of(name)) or {}).get(name[0], 0)

    table_kit.check_versions(reading, queue_id=actor.QUEUE, expected=actor.rows_below, may_be_gone=is_deleted)


def _until_done(call: Any, failures: list[str]) -> None:
    """Repeat a call that may be repeated, as services do, for two minutes."""
    deadline, pause = time.monotonic() + 120, threading.Event()
    while True:
        try:
            call()
        except StoreUnavailableError as error:
            failures.append(str(error))
            assert time.monotonic() < deadline, failures[-1]
            pause.wait(0.05)
        else:
            return


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not any(thread.is_alive() for thread in threads)
