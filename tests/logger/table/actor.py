"""One process of the fault test: `actor.py ingest|upkeep|delete STORE SEED`, until it is killed or fenced."""

import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from logger.table.retention import Retention
from logger.table.tombstones import Tombstones
from logger.table.upkeep import Upkeep, UpkeepMetrics
from logger.table.writer import IngestTable
from pipeline.errors import FencedError, StoreUnavailableError
from pipeline.failpoints import arm
from pipeline.store import open_store

QUEUE = "queue-1"
SHARDS = 6
FENCED_STATUS = 3
DATES = ("2026-11-21", "2026-11-22")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
Name = tuple[int, int, int]


def app_of(name: Name) -> str:
    """Apps span shards."""
    return f"app-{(name[0] + name[2]) % 4}"


def rows_below(shard: int, position: int, start: int = 0) -> list[Name]:
    """Rows of the records `[start, position)` of a shard: none to two each."""
    return [(shard, offset, number) for offset in range(start, position) for number in range((shard + offset) % 3)]


def repeated(call: Callable[[], Any]) -> Any:
    """Repeat a call that may be repeated, as services do."""
    while True:
        try:
            return call()
        except StoreUnavailableError as error:
            print(f"again: {error}", flush=True)  # noqa: T201 - shown when the test fails


def ingest(url: str, chance: random.Random, make_rows: Callable[..., Any]) -> None:
    """Take some shards and commit until another takes them."""
    table: IngestTable = repeated(lambda: IngestTable.open(url, queue_id=QUEUE))
    states = repeated(table.load_states)
    held = {int(shard): int(state) for shard, state in states.items()}
    shards = chance.sample(range(SHARDS), chance.randint(1, 3))
    while True:
        positions = {shard: held.get(shard, 0) + chance.randint(0, 5) for shard in shards}
        names: dict[str, list[Name]] = {date: [] for date in DATES}
        for shard, position in positions.items():
            for name in rows_below(shard, position, held.get(shard, 0)):
                names[chance.choice(DATES)].append(name)
        parts = {date: make_rows(rows, app_of=app_of) for date, rows in names.items()}
        encoded = {shard: str(position).encode() for shard, position in positions.items()}
        repeated(lambda: table.commit(parts=parts, positions=positions, states=encoded))  # noqa: B023 - called here
        held |= positions


def keep_up(url: str) -> None:
    """Pass after pass, with deletions that others made."""
    tombstones = repeated(lambda: Tombstones.open(url, queue_id=QUEUE))
    upkeep = repeated(
        lambda: Upkeep(
            open_store(url),
            queue_id=QUEUE,
            tombstones=tombstones,
            retention=Retention(),
            metrics=UpkeepMetrics(CollectorRegistry()),
        )
    )
    while True:
        repeated(lambda: upkeep.run_once(NOW))


def delete(url: str, chance: random.Random) -> None:
    """One deletion, asked for again when it is not known whether it took effect."""
    positions = {shard: chance.randint(0, 60) for shard in range(SHARDS)}
    app = f"app-{chance.randrange(4)}"
    tombstones = repeated(lambda: Tombstones.open(url, queue_id=QUEUE))
    repeated(lambda: tombstones.add(app, positions))


def main(role: str, url: str, seed: str, failpoint: str = "") -> int:
    """See the module's docstring."""
    arm(failpoint)
    spec = util.spec_from_file_location("table_conftest", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    conftest = util.module_from_spec(spec)
    sys.modules["table_conftest"] = conftest
    spec.loader.exec_module(conftest)
    chance = random.Random(seed)
    try:
        if role == "ingest":
            ingest(url, chance, conftest.make_rows)
        elif role == "upkeep":
            keep_up(url)
        else:
            delete(url, chance)
    except FencedError:
        return FENCED_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
