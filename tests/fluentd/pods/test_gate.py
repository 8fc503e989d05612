"""What is read, what waits and what is left out, as a gate says."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from fluentd.chunks.surroundings import Surroundings
from fluentd.files.discovery import Discovery, FoundFile, Place
from fluentd.pods.gate import Standing
from fluentd.runs.tree import Tree
from pipeline.chunk import Origin


class Doorman:
    """A gate that does as it is told."""

    def __init__(self, standing: Standing) -> None:
        self.told: dict[str, Standing] = {}
        self.otherwise = standing
        self.here: set[str] = set()

    @property
    def changes(self) -> int:
        return hash((self.otherwise, *self.told.items()))

    def standing(self, place: Place) -> Standing:
        return self.told.get(place.container, self.otherwise)

    def retain(self, places: Iterable[Place]) -> None:
        self.here = {place.container for place in places}


class Trial:
    """A tree over a folder, behind a gate."""

    def __init__(self, root: Path, tally: Any) -> None:
        self.gate = Doorman(Standing.WAIT)
        self.discovery = Discovery(str(root))
        self.partition = 0
        around = Surroundings(self._origin, self._siblings, tally, 5.0)
        self.tree = Tree(around=around, choose=lambda _place, _restart: self.partition, gate=self.gate)

    @staticmethod
    def _origin(place: Place, restart: int) -> Origin:
        return Origin("n", place.namespace, place.pod, place.uid, place.container, restart, place.namespace)

    @staticmethod
    def _siblings(_place: Place, _restart: int) -> list[FoundFile]:
        return []

    def scan(self, *, thorough: bool = False) -> None:
        self.tree.apply(self.discovery.scan(started_ns=time.time_ns(), thorough=thorough), now=1000.0)

    def read(self) -> list[tuple[str, bytes, int]]:
        found = []
        for run in self.tree.due():
            self.tree.next_chunk(run, now=1000.0, pass_ns=2000)
            for source in run.identities:
                source.persisted = True
            outgoing = self.tree.next_chunk(run, now=1000.0, pass_ns=2000)
            if outgoing is not None:
                found.append((run.place.container, outgoing.chunk.data, run.partition))
        return sorted(found)


@pytest.fixture
def trial(tmp_path: Path, steps: Any, make_container: Any) -> Trial:
    (tmp_path / "logs").mkdir()
    return Trial(tmp_path / "logs", steps.tally)


@pytest.fixture
def web(trial: Trial, tmp_path: Path, make_container: Any) -> Any:
    made = make_container(tmp_path / "logs", "web")
    made.append(made.line("hello"))
    return made


def test_a_container_that_waits_is_held_open_and_not_read(trial: Trial, web: Any) -> None:
    trial.scan()
    assert trial.tree.due() == []
    assert trial.tree.complete_ns == 0, "what waits is not complete"
    (run,) = trial.tree
    assert len(run.open_files) == 1
    web.live.unlink()
    trial.gate.otherwise = Standing.READ
    assert [name for name, _, _ in trial.read()] == ["web"], "deleted while it waited, and read all the same"


def test_a_container_that_has_waited_gets_its_partition_when_it_is_known(trial: Trial, web: Any) -> None:
    trial.scan()
    trial.partition, trial.gate.otherwise = 3, Standing.READ
    assert [partition for _, _, partition in trial.read()] == [3]


def test_a_container_that_was_read_before_keeps_its_partition(trial: Trial, web: Any) -> None:
    trial.gate.otherwise = Standing.READ
    trial.scan()
    trial.read()
    known = trial.tree.known_runs()
    again = Trial(Path(trial.discovery.root), trial.tree._around.tally)
    again.tree.restore(known[0], root=again.discovery.root, partitions=8)
    again.scan()
    again.partition, again.gate.otherwise = 3, Standing.READ
    again.read()
    assert [run.partition for run in again.tree.known_runs()] == [0]


def test_what_is_left_out_is_not_opened_and_holds_nothing_back(trial: Trial, web: Any) -> None:
    trial.gate.otherwise = Standing.SKIP
    trial.scan()
    assert list(trial.tree) == []
    assert trial.tree.skipped == {str(web.folder)}
    assert trial.tree.complete_ns > 0
    assert trial.gate.here == {"web"}


def test_what_is_to_be_read_after_all_asks_for_a_listing(trial: Trial, web: Any) -> None:
    trial.gate.otherwise = Standing.SKIP
    os.utime(web.folder, (1, 1))  # long settled: it is not listed again unless somebody asks
    trial.scan()
    trial.gate.otherwise = Standing.READ
    trial.scan()
    assert trial.tree.unlisted
    assert list(trial.tree) == []
    trial.scan(thorough=True)
    assert [name for name, _, _ in trial.read()] == ["web"]


@pytest.mark.parametrize("first", [Standing.READ, Standing.WAIT])
def test_what_is_left_out_later_is_closed_and_forgotten(trial: Trial, web: Any, first: Standing) -> None:
    trial.gate.otherwise = first
    trial.scan()
    trial.read()
    trial.gate.otherwise = Standing.SKIP
    trial.tree.due() if first is Standing.WAIT else trial.scan()
    assert list(trial.tree) == []
    assert trial.tree.due() == []
    assert trial.tree.known_runs() == ()


def test_one_container_that_waits_does_not_keep_another(
    trial: Trial, web: Any, tmp_path: Path, make_container: Any
) -> None:
    other = make_container(tmp_path / "logs", "other")
    other.append(other.line("hi"))
    trial.gate.told["other"] = Standing.READ
    trial.scan()
    assert [name for name, _, _ in trial.read()] == ["other"]
    trial.tree.touch(str(web.folder))
    assert [run.place.container for run in trial.tree.due()] == ["other"]
