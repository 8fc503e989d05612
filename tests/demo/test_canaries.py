"""The demo's releases on trial: its lines through the monitor's rules and series, its files through the judge.

All in this process, in minutes of a clock that is told. `tests/end_to_end/test_canaries.py` does the same with time.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard
from prometheus_client import CollectorRegistry

from demo.apps import BAD, CHECKOUT, GOOD, LABELS_FILE, STABLE, WORKLOADS, Workload, make_writers, write_labels
from demo.canaries import write_canaries
from fluentd.pods.names import read_labels
from monitor.canary.counts import MINUTE_NS
from monitor.canary.folder import FolderJudge, described
from monitor.canary.observe.observer import Observer
from monitor.canary.observe.rows import moment_of
from monitor.canary.selfmetrics import CanaryMetrics
from monitor.reading import Answer, Known, Question
from monitor.rules.ruleset import RuleSet
from monitor.series.answer import merge
from monitor.series.limits import Limits
from monitor.shards.shard import ShardMetrics
from pipeline.chunk import Chunk, Origin
from pipeline.cri import format_time
from pipeline.pack import encode_pack
from pipeline.podstatement import PodNews
from pipeline.queue import Record
from pipeline.store import open_store

START_NS = 1_790_000_000 // 60 * MINUTE_NS
SECOND_NS = 1_000_000_000
ON_TRIAL = tuple(workload for workload in WORKLOADS if workload.app == CHECKOUT)


@dataclass
class Pod:
    """One container's file."""

    workload: Workload
    name: str
    rng: random.Random
    sent: int = 0

    def minute(self, start_ns: int) -> Chunk:
        """What it writes in a minute."""
        count = round(self.workload.writes_per_second * 60)
        lines = [
            format_time(start_ns + number * MINUTE_NS // count) + b" stdout F " + line.encode() + b"\n"
            for number in range(count)
            for line in self.workload.maker(self.rng, CHECKOUT, "2026-11-24T12:00:00")
        ]
        data = b"".join(lines)
        origin = Origin("n", CHECKOUT, self.name, self.name, "web", 0, CHECKOUT, "web", self.workload.release)
        start, self.sent = self.sent, self.sent + len(data)
        return Chunk(origin, self.name.encode().ljust(16, b"-"), 0, start, self.sent, start, data)


@dataclass
class Minutes:
    """A shard that is told minute by minute what the pods wrote, and answers as all shards of a monitor do."""

    shard: ShardMetrics = field(default_factory=lambda: ShardMetrics(0, None, rules=RuleSet(), limits=Limits()))
    now_ns: int = START_NS
    records: int = 0

    def __post_init__(self) -> None:
        self.pods = [
            Pod(workload, f"{workload.release}-{number}", random.Random(f"{workload.release}-{number}"))
            for workload in ON_TRIAL
            for number in range(workload.pods)
        ]

    def go_on(self) -> None:
        """Let a minute pass."""
        chunks = [pod.minute(self.now_ns) for pod in self.pods]
        self.now_ns += MINUTE_NS
        value = encode_pack(
            chunks,
            node="n",
            heartbeat_ns=self.now_ns + SECOND_NS,
            news=PodNews((), complete=True, known_ns=self.now_ns + SECOND_NS),
            compressor=zstandard.ZstdCompressor(),
        )
        self.shard.take([Record(0, self.records, value, self.now_ns + SECOND_NS)])
        self.records += 1

    async def watermark_ns(self) -> int:
        return self.shard.watermark_ns()

    async def ask(self, question: Question) -> Answer:
        return merge(question, [self.shard.part(question)], shards=1)

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        raise NotImplementedError


async def test_the_bad_release_is_found_within_minutes_and_the_good_one_passes(tmp_path: Path) -> None:
    write_canaries(tmp_path / "canaries")
    minutes, registry = Minutes(), CollectorRegistry()
    observer = Observer(
        reader=minutes,
        store=open_store(str(tmp_path / "store"), directory="monitor"),
        prometheus=None,
        registry=registry,
        clock_ns=lambda: minutes.now_ns + 20 * SECOND_NS,
    )
    judge = FolderJudge(
        tmp_path / "canaries",
        reader=minutes,
        observer=observer,
        metrics=CanaryMetrics(registry),
        now=lambda: moment_of(minutes.now_ns + 20 * SECOND_NS),
    )
    decided: dict[str, tuple[str, int]] = {}
    for minute in range(1, 13):
        minutes.go_on()
        await judge.look()
        for canary in judge.known():
            if canary.status.phase == "Inconclusive":
                decided.setdefault(canary.name, (canary.status.reason, minute))
    bad, good = decided[f"{CHECKOUT}-{BAD}"], decided[f"{CHECKOUT}-{GOOD}"]
    assert bad[0] == "WouldRollBack"
    assert bad[1] <= 6
    assert good[0] == "WouldPromote"
    assert good[1] <= 10


@pytest.mark.parametrize("release", [GOOD, BAD])
def test_the_files_name_releases_that_pods_have(tmp_path: Path, release: str) -> None:
    write_canaries(tmp_path)
    read = described((tmp_path / f"{CHECKOUT}-{release}.yaml").read_text())
    writers = make_writers(tmp_path / "pods", seed=1)
    write_labels(tmp_path / "pods", writers)
    for writer in writers:
        writer.close()
    labels = read_labels(tmp_path / "pods" / LABELS_FILE).values()
    releases = Counter(
        of["version"] for of in labels if (of["app"], of["type"]) == (read.names.app, read.names.process)
    )
    assert releases == {STABLE: 3, GOOD: 1, BAD: 1}
    assert (read.names.stable, read.names.canary) == (STABLE, release)
    assert sorted(path.name for path in tmp_path.glob("*.yaml")) == [f"{CHECKOUT}-v8.yaml", f"{CHECKOUT}-v9.yaml"]
