"""A reader of what a test says was measured."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitor.metric import Kind, Metric
from monitor.reading import SLOT_NS, Amount, Answer, IncompleteError, Known, Question

NOW_NS = 1_800_000_000 * 1_000_000_000
EDGES = (0.1, 0.5, 1.0)

REQUESTS = Metric("app_requests", Kind.COUNTER, "Requests.", ("source", "method", "code"))
DURATIONS = Metric("app_request_duration_seconds", Kind.HISTOGRAM, "Time.", ("source",), EDGES)
LINES = Metric("app_lines", Kind.COUNTER, "Lines.", ("stream", "level"))
DEPTH = Metric("queue_depth", Kind.GAUGE, "Waiting.", ("queue",))


@dataclass
class Told:
    """One series of a window."""

    metric: str
    amount: Amount
    labels: Mapping[str, str]


@dataclass
class ToldReader:
    """Says what it was told, of whatever window.

    Attributes:
        watermark: See `Reader`.
        broken: Why nothing can be said, if so.
    """

    metrics: Mapping[str, Metric] = field(
        default_factory=lambda: {metric.name: metric for metric in (REQUESTS, DURATIONS, LINES, DEPTH)}
    )
    watermark: int = NOW_NS - 12_000_000_000
    broken: str = ""
    unattributed: int = 0
    overflowed: int = 0
    told: list[Told] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    def tell(self, metric: str, total: float, **labels: str) -> None:
        """Add a counter's or a gauge's series."""
        self.told.append(Told(metric, Amount(round(total), total), {"namespace": "shop", "app": "shop", **labels}))

    def tell_times(self, *buckets: int, **labels: str) -> None:
        """Add a series of durations."""
        amount = Amount(sum(buckets), 0.0, buckets)
        self.told.append(Told(DURATIONS.name, amount, {"namespace": "shop", "app": "shop", **labels}))

    def complete_now(self) -> None:
        """Let everything be complete up to a moment ago."""
        self.watermark = time.time_ns() - 1_000_000_000

    async def watermark_ns(self) -> int:
        if self.broken:
            raise IncompleteError(self.broken)
        return self.watermark

    async def ask(self, question: Question) -> Answer:
        if self.broken:
            raise IncompleteError(self.broken)
        assert question.start_ns % SLOT_NS == 0
        assert question.stop_ns % SLOT_NS == 0
        self.asked.append(question)
        metric = self.metrics[question.metric]
        groups: dict[tuple[str, ...], Amount] = {}
        for one in self.told:
            if one.metric == metric.name and _matches(one.labels, question.match):
                key = tuple(one.labels.get(label, "") for label in question.by)
                groups[key] = _added(groups.get(key), one.amount)
        return Answer(metric, self.watermark, groups, self.unattributed, self.overflowed)

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        if self.broken:
            raise IncompleteError(self.broken)
        wanted = {"namespace": namespace, "app": app}
        found = [
            one.metric
            for one in self.told
            if all(value is None or one.labels[name] == value for name, value in wanted.items())
        ]
        return [Known(self.metrics[name], found.count(name), self.watermark) for name in dict.fromkeys(found)]


def _matches(labels: Mapping[str, str], match: Mapping[str, Iterable[str]]) -> bool:
    return all(labels.get(name, "") in allowed for name, allowed in match.items())


def _added(one: Amount | None, other: Amount) -> Amount:
    if one is None:
        return other
    buckets = tuple(map(sum, zip(one.buckets, other.buckets, strict=True)))
    return Amount(one.count + other.count, one.total + other.total, buckets)
