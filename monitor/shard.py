"""One shard's metrics: records in; totals, answers, and the state to go on from out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from monitor.reading import Question
from monitor.rules.ruleset import RuleSet
from monitor.series.limits import Limits
from monitor.series.part import KnownPart, Part
from monitor.series.totals import Totals
from pipeline.queue import Record

NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(slots=True)
class Counted:
    """What a shard has counted of itself, since its first record: part of its state, so that no count goes down.

    Attributes:
        records: Records read.
        record_bytes: Their bytes, as they lie in the queue.
        undecodable: Records that are no pack known here, by reason; skipped.
        skipped_records: Records that the queue dropped before they were read.
        over_budget: Samples that went to `_overflow`, by namespace, app and metric.
        unattributed: Samples of which nobody is known to have served them, by metric.
        late: Samples too old for windows, by metric; they are in totals.
        ahead: Samples with times too far in the future for windows, by metric; they are in totals.
        statements: Statements about pods that were not taken in, by reason.
    """

    records: int = 0
    record_bytes: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    skipped_records: int = 0
    over_budget: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unattributed: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    ahead: Counter[str] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)


class ShardMetrics:
    """Takes the records of one partition.

    `take`, `skip_to` and `state` are called by one thread at a time, and block. All else may be called by any thread
    meanwhile, and shows what the last batch left.

    Args:
        number: The partition.
        state: Where to go on, as `state` gave it; `None` to begin with the first record that is taken.
        rules: What makes samples of lines. A state that other rules made is taken over as far as its metrics are the
            same ones; windows of the others begin anew.
        limits: Bounds.

    Raises:
        FormatError: `state` is no state of a version known here.
    """

    def __init__(self, number: int, state: bytes | None, *, rules: RuleSet, limits: Limits) -> None:
        raise NotImplementedError

    @property
    def next_offset(self) -> int:
        """Of the record to take next; 0 at first."""
        raise NotImplementedError

    def take(self, records: Sequence[Record]) -> int:
        """Take the first of `records`, at least one; returns how many. Call again with the others."""
        raise NotImplementedError

    def skip_to(self, offset: int) -> None:
        """Go on at `offset`: the queue has nothing before it. Windows begin anew with the next record.

        Before the first record of a shard without a state nothing is lost by it, and nothing counted.
        """
        raise NotImplementedError

    def state(self) -> bytes:
        """What to go on from at `next_offset`."""
        raise NotImplementedError

    def watermark_ns(self, gone: AbstractSet[str] = NOBODY) -> int:
        """Up to when all lines are in; 0 while unknown. Nodes that are `gone` are not waited for."""
        raise NotImplementedError

    def nodes(self) -> Mapping[str, int]:
        """For each node that was heard of, up to when its lines are in; 0 while unknown."""
        raise NotImplementedError

    def counted(self) -> Counted:
        """A copy of what was counted."""
        raise NotImplementedError

    def totals(self) -> list[Totals]:
        """What a scrape shows."""
        raise NotImplementedError

    def part(self, question: Question, gone: AbstractSet[str] = NOBODY) -> Part:
        """What this shard knows of a question. Nodes that are `gone` are not waited for."""
        raise NotImplementedError

    def known(self, *, namespace: str | None = None, app: str | None = None) -> tuple[KnownPart, ...]:
        """The metrics that have series here, of a namespace, an app, or all."""
        raise NotImplementedError
