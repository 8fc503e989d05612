"""A minute of an analysis as it is kept: written once, by whoever came first, and never changed."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from monitor.canary.counts import MINUTE_NS, MetricCounts, Minute, Signals

Count = Annotated[float, Meta(ge=0)]

SECOND_NS: Final = 1_000_000_000

_RECENT: Final = 3
_BAD_SHARE: Final = 0.1
_BAD_RATIO: Final = 5.0


class Row(msgspec.Struct, frozen=True):
    """What one metric of a minute counts.

    Attributes:
        metric: Name, as in the policy.
        stable_n: See `monitor.canary.counts.Minute`, and so on.
        stable_e: See there.
        canary_n: See there.
        canary_e: See there.
    """

    metric: str
    stable_n: Count
    stable_e: Count
    canary_n: Count
    canary_e: Count


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One minute.

    Attributes:
        start_ns: Its first nanosecond.
        rows: Of the metrics that are known; one that is not is left out.
        requests: To the app.
        unattributed: Of those, how many belong to no known release.
        signals: What was known of the pods when the minute was looked at.
    """

    start_ns: int
    rows: tuple[Row, ...] = ()
    requests: Count = 0.0
    unattributed: Count = 0.0
    signals: Signals | None = None


def counts_of(seen: Iterable[Seen], metrics: Sequence[str]) -> tuple[MetricCounts, ...]:
    """Lay minutes out by metric."""
    found: dict[str, list[Minute]] = {metric: [] for metric in metrics}
    for minute in seen:
        for row in minute.rows:
            if row.metric in found:
                counts = Minute(minute.start_ns, row.stable_n, row.stable_e, row.canary_n, row.canary_e)
                found[row.metric].append(counts)
    return tuple(MetricCounts(metric, tuple(minutes)) for metric, minutes in found.items())


def unattributed_share(seen: Iterable[Seen]) -> float:
    """Of the requests of these minutes, those of no known release."""
    minutes = list(seen)
    requests = sum(minute.requests for minute in minutes)
    return min(1.0, sum(minute.unattributed for minute in minutes) / requests) if requests > 0 else 0.0


def both_bad(seen: Sequence[Seen], metric: str) -> bool:
    """Whether both arms fail much more than before: what they share is to blame, and neither of them.

    Args:
        seen: Minutes of an analysis.
        metric: Of errors.
    """
    rows = [row for minute in seen for row in minute.rows if row.metric == metric]
    now, before = rows[-_RECENT:], rows[:-_RECENT]
    if len(now) < _RECENT:
        return False
    return all(_share(now, arm) >= max(_BAD_SHARE, _BAD_RATIO * _share(before, arm)) for arm in ("stable", "canary"))


def _share(rows: Sequence[Row], arm: str) -> float:
    n = sum(getattr(row, f"{arm}_n") for row in rows)
    e: float = sum(getattr(row, f"{arm}_e") for row in rows)
    return e / n if n > 0 else 0.0


def floor_minute(time_ns: int) -> int:
    """Begin of the minute that a time lies in."""
    return time_ns - time_ns % MINUTE_NS


def ns_of(moment: datetime) -> int:
    """Nanoseconds since the epoch."""
    return int(moment.timestamp() * 1_000_000) * 1000


def moment_of(time_ns: int) -> datetime:
    """The same the other way."""
    return datetime.fromtimestamp(time_ns / SECOND_NS, UTC)
