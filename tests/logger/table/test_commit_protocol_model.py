"""The commit protocol under every interleaving that chance finds: several ingesters, upkeep twice, deletions, crashes.

All actors run in one process, one step at a time; at each fail-point an actor may die, or be held up there while others
act. Then every version of the table is read and held against the model.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

import logger.table.upkeep
import logger.table.writer
from logger.table.retention import Retention
from logger.table.tombstones import Tombstones
from logger.table.upkeep import Upkeep, UpkeepMetrics
from logger.table.writer import IngestTable
from pipeline.errors import FencedError
from pipeline.store import open_store

QUEUE = "0123-queue"
SHARDS = 4
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DATES = ("2026-11-21", "2026-11-22")  # past days: upkeep merges whatever is there
Name = tuple[int, int, int]


def app_of(name: Name) -> str:
    """Apps span shards."""
    return f"app-{(name[0] + name[2]) % 3}"


def rows_below(shard: int, position: int, start: int = 0) -> list[Name]:
    """Rows of the records `[start, position)` of a shard: none to two each."""
    return [(shard, offset, number) for offset in range(start, position) for number in range((shard + offset) % 3)]


class Crash(BaseException):
    """The actor's process is gone."""


@dataclass
class Ingester:
    """A logger that owns some shards, or believes so."""

    table: IngestTable
    shards: list[int]
    positions: dict[int, int]


@dataclass
class World:
    """All actors over one store."""

    url: str
    chance: random.Random
    make_rows: Callable[..., pa.Table]
    ingesters: list[Ingester] = field(default_factory=list)
    upkeeps: list[Upkeep] = field(default_factory=list)
    deleted: dict[str, dict[int, int]] = field(default_factory=dict)
    depth: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tombstones = Tombstones.open(self.url, queue_id=QUEUE)

    def count(self, outcome: str) -> None:
        """Remember what happened, so that a test that tries nothing is seen."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def passing(self, point: str) -> None:
        """Called at each fail-point: die here, or be held up while others act."""
        roll = self.chance.random()
        if roll < 0.08:
            self.count(f"crash at {point}")
            raise Crash
        if roll < 0.35 and self.depth < 2:
            self.step()

    def step(self) -> None:
        """One act of one actor."""
        self.depth += 1
        try:
            act = self.chance.choices((self.start, self.ingest, self.keep_up, self.delete), (2, 10, 4, 1))[0]
            act()
        finally:
            self.depth -= 1

    def start(self) -> None:
        """A logger takes some shards, whoever has them."""
        table = IngestTable.open(self.url, queue_id=QUEUE)
        states = table.load_states()
        assert states == {shard: str(to).encode() for shard, to in table.standing.positions.items()}
        shards = self.chance.sample(range(SHARDS), self.chance.randint(1, SHARDS))
        self.ingesters.append(Ingester(table, shards, dict(table.standing.positions)))

    def ingest(self) -> None:
        """A logger commits; one that fell behind must be fenced."""
        if not self.ingesters:
            self.start()
        ingester = self.chance.choice(self.ingesters)
        self.ingesters.remove(ingester)  # while it acts nobody else can have it act
        positions, parts = {}, {date: list[Name]() for date in DATES}
        for shard in ingester.shards:
            start = ingester.positions.get(shard, 0)
            positions[shard] = start + self.chance.randint(0, 4)
            for name in rows_below(shard, positions[shard], start):
                parts[self.chance.choice(DATES)].append(name)
        tables = {date: self.make_rows(names, app_of=app_of) for date, names in parts.items()}
        states = {shard: str(to).encode() for shard, to in positions.items()}
        try:
            standing = ingester.table.commit(parts=tables, positions=positions, states=states)
        except FencedError:
            self.count("fenced")
            return
        except Crash:
            return
        # Who took over meanwhile may be further on.
        assert all(standing.positions[shard] >= position for shard, position in positions.items())
        ingester.positions |= positions
        self.ingesters.append(ingester)
        self.count("committed")

    def keep_up(self) -> None:
        """One of two upkeeps makes a pass."""
        upkeep = self.upkeeps.pop() if self.upkeeps and self.chance.random() < 0.8 else self.new_upkeep()
        try:
            upkeep.run_once(NOW)
        except Crash:
            return
        self.upkeeps.insert(0, upkeep)
        self.count("kept up")

    def new_upkeep(self) -> Upkeep:
        """An upkeep as a new process has it."""
        return Upkeep(
            open_store(self.url),
            queue_id=QUEUE,
            tombstones=Tombstones.open(self.url, queue_id=QUEUE),
            retention=Retention(),
            metrics=UpkeepMetrics(CollectorRegistry()),
        )

    def delete(self) -> None:
        """Somebody deletes an app, up to a place that may still be on its way."""
        app = f"app-{self.chance.randrange(3)}"
        positions = {shard: self.chance.randint(0, 30) for shard in range(SHARDS)}
        self.tombstones.add(app, positions)
        known = self.deleted.setdefault(app, {})
        for shard, position in positions.items():
            known[shard] = max(position, known.get(shard, 0))
        self.count("deleted")

    def is_deleted(self, name: Name) -> bool:
        """Whether a deletion covers the row."""
        return name[1] < self.deleted.get(app_of(name), {}).get(name[0], 0)


@pytest.fixture
def world(store_url: str, kit: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[World]:
    """Actors whose chances are those of the test's seed."""
    world = World(store_url, random.Random(request.param), kit.make_rows)
    monkeypatch.setattr(logger.table.writer, "failpoint", world.passing)
    monkeypatch.setattr(logger.table.upkeep, "failpoint", world.passing)
    yield world
    monkeypatch.undo()


def settle(world: World) -> None:
    """Let one upkeep finish undisturbed."""
    world.depth = 2
    world.chance = random.Random()
    world.chance.random = lambda: 1.0  # type: ignore[method-assign]
    world.new_upkeep().run_once(NOW)


@pytest.mark.parametrize("world", range(5), indirect=True)
def test_every_version_holds_each_row_once_whatever_the_actors_do(world: World, kit: Any) -> None:
    """40 acts, and a check of every version in between."""
    for _ in range(40):
        world.step()
    settle(world)
    reading = kit.reading(Path(world.url) / "logs")
    last = kit.check_versions(reading, queue_id=QUEUE, expected=rows_below, may_be_gone=world.is_deleted)
    assert world.outcomes.get("committed", 0) >= 5, world.outcomes
    assert not [name for name in reading.names(last) if world.is_deleted(name)], "upkeep left deleted rows"
    assert len([path for path in last.files if path.startswith(f"date={DATES[0]}")]) <= 1, "upkeep left small files"


@pytest.mark.faults
@pytest.mark.parametrize("world", range(100, 140), indirect=True)
def test_every_version_holds_each_row_once_in_long_runs(world: World, kit: Any) -> None:
    """The same, longer and more often."""
    for _ in range(120):
        world.step()
    settle(world)
    reading = kit.reading(Path(world.url) / "logs")
    kit.check_versions(reading, queue_id=QUEUE, expected=rows_below, may_be_gone=world.is_deleted)
    assert world.outcomes.get("fenced", 0) > 0
    assert any(outcome.startswith("crash") for outcome in world.outcomes)
