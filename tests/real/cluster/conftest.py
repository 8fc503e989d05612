"""A real cluster under writers and followers, and the verdict on what each reader has in the end."""

import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from deltalake import DeltaTable

from demo.follower import Follower
from demo.numbered import Seen, Writers, find_faults
from demo.prober import Prober
from demo.probes import Answer, find_answer_faults
from demo.stack import StackError, get, wait_until
from pipeline.names import TABLE_DIRECTORY

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are no package: this is how they share a module

import real_cluster

LONG = bool(os.environ.get("CLUSTER_LONG"))
"""The long form: three minutes of kills, a broker away for two."""

SETTLE_SECONDS = 150.0
"""Everything written is in the table this long after the last harm: a dead member is missed after 10 s, the loss of a
broker holds acknowledgements up for 12 s, and the machine may be busy."""

SETTINGS = {"LOGGER_FLUSH_SECONDS": "1", "LOGGER_UPKEEP_SECONDS": "5", "LOGGER_HEAD_KEEP_SECONDS": "10"}


def _fault_kit() -> ModuleType:
    """What the fault tests of one machine read a table with."""
    name = "fault_kit"
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, Path(__file__).parents[2] / "faults" / "conftest.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@dataclass
class Trial:
    """A cluster, the writers of its nodes, and what followers saw, by app."""

    cluster: real_cluster.Cluster
    writers: list[Writers]
    followers: dict[str, Follower] = field(default_factory=dict)
    followed: dict[str, list[Seen]] = field(default_factory=dict)
    prober: Prober | None = None

    def begin(self) -> None:
        """Start brokers, gateway, all agents and loggers, and the writers."""
        self.cluster.start_parts()
        self.cluster.start(*self.cluster.agents, *self.cluster.loggers)
        self.cluster.wait_ready(*self.cluster.agents, *self.cluster.loggers)
        for writers in self.writers:
            writers.start()

    @contextmanager
    def probing(self, names: Sequence[str] = ()) -> Iterator[Prober]:
        """Probe loggers inside the block, as far as they run; all of them if none is named; `names` may change.

        What has been answered wrongly is held against them at its end, and how they answered is printed.
        """
        cluster = self.cluster

        def running() -> dict[str, int]:
            return {name: cluster.ports[name] for name in cluster.running(names or cluster.loggers)}

        with Prober(cluster.queue_url, running) as self.prober:
            yield self.prober
            self.prober.stop()
        prober = self.prober
        print(  # noqa: T201 - for whoever looks at a long form
            f"answers {dict(prober.outcomes())}, of loggers that are ready {dict(prober.outcomes(ready=True))}, "
            f"at most {prober.unanswered_seconds():.1f} s between whole ones"
        )
        faults = prober.faults()
        assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:40])

    def rows(self) -> int:
        """How many rows the table has."""
        try:
            table = DeltaTable(str(self.cluster.store / TABLE_DIRECTORY))
            return sum(table.get_add_actions().column("num_records").to_pylist())
        except Exception:  # noqa: BLE001 - it is not made yet, or upkeep has just swapped a file: look again
            return -1

    def written(self) -> int:
        """How many lines were written so far."""
        probes = [] if self.prober is None else list(self.prober.written.values())
        return sum(sum(writers.numbers) for writers in self.writers) + sum(map(len, probes))

    def owned(self, *names: str) -> list[int]:
        """Shards that loggers show as their own, all together."""
        found: list[int] = []
        for name in names:
            text = get(self.cluster.ports[name], "/metrics", seconds=10).body.decode()
            found += map(int, re.findall(r'^logger_lag_records\{shard="(\d+)"\}', text, re.MULTILINE))
        return sorted(found)

    def wait_rows(self, count: int, *, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until the table has so many rows."""
        try:
            wait_until(lambda: self.rows() >= count, seconds=seconds, what=f"{count} rows", every_seconds=0.5)
        except StackError as error:
            raise StackError(f"{error}: {self.rows()}\n{self.cluster.last_words()}") from error

    def verdict(self) -> None:
        """Hold the table against what was written: nothing lost, doubled or out of order; all services end well."""
        for writers in self.writers:
            writers.stop()
        names = self.cluster.running([*self.cluster.agents, *self.cluster.loggers])
        try:
            wait_until(
                lambda: self.rows() >= self.written(), seconds=SETTLE_SECONDS, what="all rows", every_seconds=1.0
            )
            settled = ""
        except StackError as error:  # the verdict below names the lines
            settled = f"{error}: {self.rows()} of {self.written()}"
        self._settle_followers()
        self.cluster.stop(*names)
        readers = {"table": _fault_kit().read_table(self.cluster.store)}
        if self.followers:
            readers["follower"] = self.followed
        faults = [
            f"{reader}: {app}: {fault}"
            for reader, seen in readers.items()
            for writers in self.writers
            for app in writers.apps
            for fault in find_faults(seen.get(app, []), writers.written(app))
        ]
        if self.prober is not None:
            probes = Answer([seen.message for seen in readers["table"].get(self.prober.app, [])])
            faults += find_answer_faults(probes, self.prober.written, asked_at=math.inf, since_ns=0)
        assert not faults, f"{settled}\n{len(faults)} faults\n" + "\n".join(faults[:60]) + "\n" + self.said()

    def _settle_followers(self) -> None:
        """Wait until followers have as many lines as were written; the verdict names those that they lack."""
        due = {app: sum(writers.written(app).values()) for writers in self.writers for app in writers.apps}
        with suppress(StackError):
            wait_until(
                lambda: all(len(seen) >= due[app] for app, seen in self.followed.items()),
                seconds=SETTLE_SECONDS,
                what="all lines with the followers",
            )

    def said(self) -> str:
        """Warnings and errors of all services."""
        logs = sorted(self.cluster.folder.glob("*.log"))
        lines = [
            f"{path.stem}: {line}"
            for path in logs
            for line in path.read_text(errors="replace").splitlines()
            if '"level": "info"' not in line
        ]
        return "\n".join(line[:600] for line in lines[-80:])


MakeTrial = Callable[..., Trial]


@pytest.fixture
def make_trial(tmp_path: Path) -> Iterator[MakeTrial]:
    """A function that builds a trial; nothing runs yet."""
    if missing := real_cluster.missing_tools():
        pytest.skip(f"real cluster: {missing} on this machine")
    with ExitStack() as resources:

        def make(
            *,
            seed: int = 1,
            settings: dict[str, str] | None = None,
            writing: Any = None,
            following: bool = False,
            **more: Any,
        ) -> Trial:
            cluster = resources.enter_context(
                real_cluster.Cluster(tmp_path, settings={**SETTINGS, **(settings or {})}, **more)
            )
            writers = [
                resources.enter_context(
                    Writers(
                        cluster.pod_logs(agent),
                        seed=seed + number,
                        prefix=f"{agent}-app",
                        **{"writers": 4, "lines_per_second": 50.0, **(writing or {})},
                    )
                )
                for number, agent in enumerate(cluster.agents)
            ]
            trial = Trial(cluster, writers)
            if following:
                _follow(trial, resources)
            return trial

        yield make


def _follow(trial: Trial, resources: ExitStack) -> None:
    """Follow each app, beginning at one of the loggers and going on at the next one."""
    ports = [trial.cluster.ports[name] for name in trial.cluster.loggers]
    for number, app in enumerate(app for writers in trial.writers for app in writers.apps):
        first, *others = ports[number % len(ports) :] + ports[: number % len(ports)]
        trial.followed[app] = []
        keep = _fault_kit().keep_in(trial.followed[app])
        trial.followers[app] = resources.enter_context(Follower(first, app, keep, others=others))


@pytest.fixture
def long_form() -> bool:
    return LONG
