"""A reader that says what a test tells it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitor.canary.resource.spec import Attribution
from monitor.metric import UNKNOWN, Kind, Metric
from monitor.reading import Amount, Answer, IncompleteError, Known, Question

START = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
EDGES = (0.1, 0.5, 1.0)


@dataclass
class Told:
    """A reader that says what it is told: requests a minute by release and code, for each metric."""

    counts: dict[tuple[str, str], int]
    watermark: int = START
    unknown: int = 0
    silent: bool = False
    attribution: Attribution = Attribution.UPSTREAM
    asked: list[Question] = field(default_factory=list)

    async def watermark_ns(self) -> int:
        if self.silent:
            raise IncompleteError
        return self.watermark

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        mine = "app_tries" if self.attribution == Attribution.UPSTREAM else "app_requests"
        groups: dict[tuple[str, ...], Amount] = {}
        if UNKNOWN in question.match.get("release", ()):
            groups = {(): Amount(self.unknown, 0.0)} if self.unknown else {}
        elif question.metric == mine:
            groups = {key: Amount(count, 0.0) for key, count in self.counts.items()}
        return Answer(Metric(question.metric, Kind.COUNTER, "", (), EDGES), self.watermark, groups)

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        return []
