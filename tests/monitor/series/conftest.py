"""A shard fed by hand: lines of pods in, records out; rules that read whole lines word by word; and a plain model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard

from monitor.metric import UNKNOWN, Exemplar, Kind, LabelSet, Metric, Samples
from monitor.series.limits import Limits
from monitor.shards.shard import ShardMetrics
from pipeline.chunk import Chunk, Flag, Origin
from pipeline.lines.batch import Batch
from pipeline.pack import encode_pack
from pipeline.podstatement import PodNews, PodStatement
from pipeline.queue import Record

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND
EDGES = (0.1, 0.5, 1.0)
SEEN = Metric("seen", Kind.COUNTER, "Lines.", ("word",))
SIZE = Metric("size", Kind.COUNTER, "Bytes.", ())
TOOK = Metric("took_seconds", Kind.HISTOGRAM, "Durations.", ("word",), EDGES)
DEPTH = Metric("depth", Kind.GAUGE, "Depths.", ("word",))
OWN = Metric("own_shop__deals", Kind.COUNTER, "An app's own.", ("word",))


class WordRules:
    """Lines `word value upstream trace`: what `RuleSet` is to a shard, read in the plainest way.

    The order of label sets is not that of their first samples, and one metric comes in two parts.
    """

    def __init__(self, metrics: Sequence[Metric] = (SEEN, SIZE, TOOK, DEPTH), digest: str = "one") -> None:
        self.metrics, self.digest = tuple(metrics), digest

    def samples(self, batch: Batch, *, own: Any = None) -> list[Samples]:
        lines = [
            (row, batch.facts[facts], int(time_ns), batch.buffer[start:stop].decode().split(" "))
            for row, (facts, time_ns, start, stop) in enumerate(
                zip(batch.facts_index, batch.time_ns, batch.starts, batch.stops, strict=True)
            )
        ]
        made = []
        for metric in (*self.metrics, *([OWN] if own else [])):
            for half in (0, 1):
                chosen = [line for line in lines if len(line[3]) == 4 and len(line[3][0]) % 2 == half]
                if metric == OWN:
                    chosen = [line for line in chosen if line[1].app == "shop" and ("ns", "shop") in own]
                if chosen:
                    made.append(self._one(metric, chosen))
        return made

    def _one(self, metric: Metric, lines: list[Any]) -> Samples:
        sets = sorted({labels_of(metric, facts, words) for _, facts, _, words in lines}, key=repr)
        places = {labels: place for place, labels in enumerate(sets)}
        index = [places[labels_of(metric, facts, words)] for _, facts, _, words in lines]
        values = None
        if metric not in (SEEN, OWN):
            values = np.array([float(words[1]) for *_, words in lines])
        last = {place: sample for sample, place in enumerate(index) if lines[sample][3][3] != "-"}
        return Samples(
            metric,
            sets,
            np.array(index, np.int32),
            np.array([row for row, *_ in lines], np.int64),
            np.array([time_ns for _, _, time_ns, _ in lines], np.int64),
            values,
            tuple(Exemplar(lines[sample][3][3], sample) for sample in last.values()),
        )


def labels_of(metric: Metric, facts: Any, words: list[str]) -> LabelSet:
    labels = (words[0],) if metric.labels else ()
    upstream = "" if words[2] == "-" else words[2]
    return LabelSet(facts.namespace, facts.app, facts.process, facts.release or UNKNOWN, facts.pod, labels, upstream)


@dataclass
class Pod:
    """A pod whose lines go to the shard, in one file."""

    name: str
    app: str = "shop"
    release: str = "v1"
    node: str = "n1"
    process: str = "web"
    namespace: str = "ns"
    container: str = "c"
    file: bytes = b""
    sent: int = 0
    ends: list[int] = field(default_factory=list)

    def write(self, time_ns: int, word: str, value: float = 1.0, upstream: str = "-", trace: str = "-") -> int:
        """A line; returns where it ends."""
        return self.write_text(time_ns, f"{word} {value!r} {upstream} {trace}")

    def write_text(self, time_ns: int, text: str, *, tag: str = "F") -> int:
        second, fraction = divmod(time_ns, SECOND)
        stamp = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
        self.file += f"{stamp} stdout {tag} {text}\n".encode()
        if tag == "F":
            self.ends.append(len(self.file))
        return len(self.file)

    def chunk(self, start: int | None = None, end: int | None = None, *, flags: Flag = Flag.NONE) -> Chunk:
        """The bytes from `start` (what was not sent yet) to `end` (all)."""
        start = self.sent if start is None else start
        end = len(self.file) if end is None else end
        self.sent = max(self.sent, end)
        if start and self.file[start - 1 : start] != b"\n":
            flags |= Flag.MID_LINE
        uid = f"uid-{self.name}"
        origin = Origin(
            self.node, self.namespace, self.name, uid, self.container, 0, self.app, self.process, self.release
        )
        source = hashlib.blake2b(self.name.encode(), digest_size=16).digest()
        return Chunk(origin, source, 0, start, end, start, self.file[start:end], flags)

    def stated(self, ip: str, *, from_ns: int, to_ns: int = 0, rules: str | None = None) -> PodStatement:
        return PodStatement(
            self.namespace,
            self.name,
            f"uid-{self.name}",
            self.app,
            self.process,
            self.release,
            (ip,),
            (),
            from_ns,
            to_ns,
            rules,
        )


@dataclass
class Feed:
    """One shard and all records it was given."""

    rules: Any = field(default_factory=WordRules)
    limits: Limits = field(default_factory=Limits)
    number: int = 0
    records: list[Record] = field(default_factory=list)
    first_offset: int = 0

    def __post_init__(self) -> None:
        self.shard = self.fresh()

    def fresh(self, state: bytes | None = None) -> ShardMetrics:
        return ShardMetrics(self.number, state, rules=self.rules, limits=self.limits)

    def restart(self) -> None:
        """Go on from the state as it is written down."""
        self.shard = self.fresh(self.shard.state())

    def record(
        self,
        *chunks: Chunk,
        node: str = "n1",
        heartbeat_ns: int = 0,
        time_ns: int = 0,
        pods: Sequence[PodStatement] = (),
        pods_ns: int = 0,
        complete: bool = False,
    ) -> Record:
        news = PodNews(tuple(pods), complete, pods_ns or (heartbeat_ns if pods or complete else 0))
        compressor = zstandard.ZstdCompressor(level=1)
        value = encode_pack(chunks, node=node, heartbeat_ns=heartbeat_ns, news=news, compressor=compressor)
        return self.raw(value, time_ns or heartbeat_ns or NOW)

    def raw(self, value: bytes, time_ns: int = NOW) -> Record:
        record = Record(self.number, self.first_offset + len(self.records), value, time_ns)
        self.records.append(record)
        return record

    def send(self, *chunks: Chunk, **kwargs: Any) -> None:
        self.take([self.record(*chunks, **kwargs)])

    def take(self, records: Sequence[Record]) -> None:
        take_all(self.shard, records)

    def total(self, name: str) -> dict[LabelSet, tuple[int, float]]:
        """Samples and sum of each label set of a metric."""
        return {
            labels: (int(count), float(total))
            for totals in self.shard.totals()
            if totals.metric.name == name
            for labels, count, total in zip(totals.sets, totals.count, totals.total, strict=True)
        }

    def beat(self, time_ns: int, *nodes: str) -> None:
        for node in nodes or ("n1",):
            self.send(node=node, heartbeat_ns=time_ns)


def take_all(shard: ShardMetrics, records: Sequence[Record]) -> None:
    rest = list(records)
    while rest:
        rest = rest[shard.take(rest) :]


def with_limits(**bounds: int) -> Limits:
    """The usual limits, but for some."""
    return replace(Limits(), **bounds)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What tests make: a fresh shard at each call, since property tests need one for each example."""
    return SimpleNamespace(feed=Feed, pod=Pod, rules=WordRules, limits=with_limits, take=take_all)


@pytest.fixture
def feed() -> Feed:
    return Feed()
