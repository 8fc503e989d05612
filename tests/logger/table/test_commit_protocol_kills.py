"""The commit protocol between real processes: killed at any moment and at each step, stopped and let go on later."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from logger.table.retention import Retention
from logger.table.tombstones import Tombstones
from logger.table.upkeep import Upkeep, UpkeepMetrics
from pipeline.store import open_store

ACTOR = Path(__file__).with_name("actor.py")
POINTS = (
    *(f"logger.commit.{step}" for step in ("data", "state", "before", "after")),
    "upkeep.rewritten",
    "upkeep.committed",
)
HARMS = 40
VERSIONS = 40
BOUND_SECONDS = 180
EXPECTED_STATUS = {0, 3, 137, -signal.SIGKILL}


def _load_actor() -> Any:
    spec = util.spec_from_file_location("table_actor", ACTOR)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


actor = _load_actor()


class Crowd:
    """Processes that come and go."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.chance = random.Random(seed)
        self.running: list[tuple[str, subprocess.Popen[str]]] = []
        self.stopped: list[tuple[float, subprocess.Popen[str]]] = []
        self.ends: Counter[str] = Counter()
        self.harms = 0

    def start(self, role: str) -> None:
        """Start one, now and then with a fail-point armed."""
        points = [point for point in POINTS if point.startswith("upkeep") == (role == "upkeep")]
        point = f"{self.chance.choice(points)}:{self.chance.randint(1, 20)}" if self.chance.random() < 0.5 else ""
        process = subprocess.Popen(
            [sys.executable, str(ACTOR), role, self.url, str(self.chance.random()), point],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append((role, process))

    def disturb(self) -> None:
        """Kill one, or hold it up while another takes its shards, or delete an app."""
        self.harms += 1
        roll = self.chance.random()
        if roll < 0.15:
            self.start("delete")
        elif roll < 0.5:
            self.chance.choice(self.running)[1].kill()
        else:
            process = self.chance.choice(self.running)[1]
            process.send_signal(signal.SIGSTOP)
            self.stopped.append((time.monotonic() + self.chance.uniform(0.2, 3), process))

    def has_seen_enough(self) -> bool:
        """Whether there was enough harm, enough progress in spite of it, a fenced ingester and a fail-point reached."""
        versions = len(list(Path(self.url).glob("logs/_delta_log/*.json")))
        fenced, at_points = self.ends["ingest 3"], self.ends["ingest 137"] + self.ends["upkeep 137"]
        return self.harms >= HARMS and versions >= VERSIONS and fenced > 0 and at_points > 0

    def tend(self) -> None:
        """Let those go on that were held up for long enough, collect the dead, keep three ingesters and two upkeeps."""
        for due, process in [item for item in self.stopped if item[0] <= time.monotonic()]:
            self.stopped.remove((due, process))
            process.send_signal(signal.SIGCONT)
        for role, process in [item for item in self.running if item[1].poll() is not None]:
            self.running.remove((role, process))
            self._collect(role, process)
        roles = Counter(role for role, _ in self.running)
        for role, count in (("ingest", 3), ("upkeep", 2)):
            for _ in range(count - roles[role]):
                self.start(role)

    def end(self) -> None:
        """Kill all that are left."""
        for role, process in self.running:
            process.kill()
            self._collect(role, process)

    def _collect(self, role: str, process: subprocess.Popen[str]) -> None:
        output, _ = process.communicate(timeout=30)
        assert process.returncode in EXPECTED_STATUS, f"{role}: {output}"
        self.ends[f"{role} {process.returncode}"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(int(os.environ.get("FAULTS_KILLS", "40")) // 40))
def test_every_version_holds_each_row_once_whoever_is_killed(store_url: str, kit: Any, seed: int) -> None:
    """Three ingesters that take each other's shards, two upkeeps, deletions, 40 kills and pauses."""
    crowd = Crowd(store_url, seed)
    deadline = time.monotonic() + BOUND_SECONDS
    disturbed = time.monotonic() + 2
    try:
        while not crowd.has_seen_enough():
            assert time.monotonic() < deadline, crowd.ends
            crowd.tend()
            if time.monotonic() >= disturbed:
                crowd.disturb()
                disturbed = time.monotonic() + crowd.chance.uniform(0.1, 0.8)
            time.sleep(0.02)  # noqa: TID251 - the pace of the harm, nothing waits for it
    finally:
        crowd.end()
    tombstones = Tombstones.open(store_url, queue_id=actor.QUEUE)
    Upkeep(
        open_store(store_url),
        queue_id=actor.QUEUE,
        tombstones=tombstones,
        retention=Retention(),
        metrics=UpkeepMetrics(CollectorRegistry()),
    ).run_once(actor.NOW)

    def is_deleted(name: tuple[int, int, int]) -> bool:
        return name[1] < (tombstones.boundary(actor.app_of(name)) or {}).get(name[0], 0)

    reading = kit.reading(Path(store_url) / "logs")
    last = kit.check_versions(reading, queue_id=actor.QUEUE, expected=actor.rows_below, may_be_gone=is_deleted)
    assert not [name for name in reading.names(last) if is_deleted(name)], "upkeep left deleted rows"
