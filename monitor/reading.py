"""Questions about windows of time, and answers that say how far they are complete.

The metrics APIs and the canary analyses stand on them.

Missing data is never 0. An answer covers all shards, or it is an error; it is complete up to its watermark, and who
asks decides how old that may be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from monitor.metric import Metric

SLOT_NS: Final = 10_000_000_000
"""Windows are kept in slots of ten seconds; they begin and end at a multiple of it."""

WINDOW_NS: Final = 900_000_000_000
"""How far back windows reach, from the newest time that is complete."""


class IncompleteError(Exception):
    """What was asked for is not known as a whole: a shard has no owner, is behind, or does not answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know of a window.

    Attributes:
        metric: Name of the metric.
        start_ns: First nanosecond of the window, a multiple of `SLOT_NS`.
        stop_ns: After the last one, a multiple of `SLOT_NS`.
        match: Values that a label must have: label name to the allowed values. The standing labels, `pod` and the
            metric's own may be named; one that the metric does not have is empty.
        by: Labels that the answer tells apart; all others are added up.
    """

    metric: str
    start_ns: int
    stop_ns: int
    match: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Amount:
    """What a window holds of one group of series.

    Attributes:
        count: Samples.
        total: Sum of their values: of a counter what it grew by; of a gauge the newest value, added up over its series.
        buckets: Of a histogram, samples at or below each edge of the metric and not below the one before; the last is
            what is above all edges.
    """

    count: int
    total: float
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A window of a metric over all shards.

    Attributes:
        metric: The metric's definition.
        watermark_ns: Up to when every shard is complete: every line of that time or before is in it. What lies beyond
            may still grow.
        groups: Values of the labels asked `by`, to what is in the window; a group without samples is absent.
        unattributed: Samples in the window that wait for the pod at their upstream's address to be certain; they are in
            no group yet. 0 for a window that ends at or before the watermark.
        overflowed: Samples in the window of label sets beyond a budget that may belong to what was asked for and are in
            no group, since `match` names a label that they no longer have. The groups may lack up to as much.
    """

    metric: Metric
    watermark_ns: int
    groups: Mapping[tuple[str, ...], Amount]
    unattributed: int = 0
    overflowed: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A metric that has series now.

    Attributes:
        metric: Its definition.
        sets: How many label sets it has.
        newest_ns: Time of its newest sample, nanoseconds since the epoch.
    """

    metric: Metric
    sets: int
    newest_ns: int


class Reader(Protocol):
    """Answers questions over all shards, wherever they are owned."""

    async def watermark_ns(self) -> int:
        """Up to when all shards are complete.

        Raises:
            IncompleteError: Not all shards say.
        """

    async def ask(self, question: Question) -> Answer:
        """Add up a window over all shards. A metric without series gives no groups.

        Raises:
            IncompleteError: Not all shards answer, or one of them no longer holds so old a window.
            KeyError: No rule makes such a metric.
        """

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        """The metrics that have series, of a namespace, an app, or all.

        Raises:
            IncompleteError: Not all shards answer.
        """
