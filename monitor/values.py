"""Metrics as the values that people decide by: requests per second, an error ratio, a latency at a quantile.

A value is of a window that is complete, or there is none. What is stale or known in part is an error, and never 0.

::

    name --meanings_of--> Meaning --> question --Reader--> amounts --values_of--> value of each group
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from monitor.metric import Kind, Metric
from monitor.reading import SLOT_NS, Amount, Answer, IncompleteError, Question, Reader
from monitor.series.quantile import quantile

WINDOW_SECONDS: Final = 60
"""Length of a window by default."""

STALE_SECONDS: Final = 90
"""What is complete up to a time longer ago than this is no answer, by default."""

ROUTED: Final = "source"
"""Label of access lines' metrics that tells routers from the app itself."""

_OWN: Final = "app"  # the value of `ROUTED` of an app's own access lines
_CODE: Final = "code"
_FAILED: Final = "5"  # first digit of the codes of failed requests
_NS: Final = 1_000_000_000

Key = tuple[str, ...]
"""Values of the labels that an answer tells apart, in their order."""


class StaleError(IncompleteError):
    """What is known ends too long ago."""


class Form(StrEnum):
    """How a window's amounts become a value."""

    RATE = "rate"
    NEWEST = "newest"
    QUANTILE = "quantile"
    FAILED_RATIO = "failed ratio"


_KINDS: Final[Mapping[Form, Kind]] = {
    Form.RATE: Kind.COUNTER,
    Form.FAILED_RATIO: Kind.COUNTER,
    Form.NEWEST: Kind.GAUGE,
    Form.QUANTILE: Kind.HISTOGRAM,
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for.

    Attributes:
        metric: The metric that it is made of.
        form: How.
        quantile: Of a `Form.QUANTILE`: 0 to 1.
    """

    metric: str
    form: Form
    quantile: float = 0.0

    @property
    def counts_nothing_as(self) -> float | None:
        """The value of who has no samples in a complete window; `None` when that says nothing."""
        return 0.0 if self.form is Form.RATE else None


BUILT_IN: Final[Mapping[str, Meaning]] = {
    "requests_per_second": Meaning("app_requests", Form.RATE),
    "latency_p50_seconds": Meaning("app_request_duration_seconds", Form.QUANTILE, 0.5),
    "latency_p95_seconds": Meaning("app_request_duration_seconds", Form.QUANTILE, 0.95),
    "latency_p99_seconds": Meaning("app_request_duration_seconds", Form.QUANTILE, 0.99),
    "error_ratio": Meaning("app_requests", Form.FAILED_RATIO),
    "lines_per_second": Meaning("app_lines", Form.RATE),
}
"""Names that are there without any rule."""

_PER_SECOND: Final = "_per_second"
_QUANTILE: Final = re.compile(r"(.+)_p([0-9]{1,4})")
_LISTED_QUANTILES: Final = ("p50", "p95", "p99")


def meanings_of(name: str) -> tuple[Meaning, ...]:
    """What a name may stand for, the likeliest first; it is the first whose metric is there and of its kind.

    Beside `BUILT_IN`: `<counter>_per_second`, `<histogram>_p95` (any digits: the quantile behind the point), `<gauge>`.
    """
    if name in BUILT_IN:
        return (BUILT_IN[name],)
    found = [Meaning(name.removesuffix(_PER_SECOND), Form.RATE)] if name.endswith(_PER_SECOND) else []
    if match := _QUANTILE.fullmatch(name):
        found.append(Meaning(match[1], Form.QUANTILE, float(f"0.{match[2]}")))
    return (*found, Meaning(name, Form.NEWEST))


def names_of(metric: Metric) -> tuple[str, ...]:
    """The usual names of what is made of a metric."""
    if metric.kind is Kind.COUNTER:
        return (f"{metric.name}{_PER_SECOND}",)
    if metric.kind is Kind.HISTOGRAM:
        return tuple(f"{metric.name}_{quantile}" for quantile in _LISTED_QUANTILES)
    return (metric.name,)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which values are wanted.

    Attributes:
        name: See `meanings_of`.
        match: As of a `Question`.
        by: Labels that the values are told apart by.
        seen: More labels that `keep` looks at.
        keep: Whether the series with these labels counts; a label without a value is absent.
        window_seconds: Length of the window, a multiple of ten.
        stale_seconds: Oldest end of the window.
    """

    name: str
    match: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    keep: Callable[[Mapping[str, str]], bool] = lambda _: True
    window_seconds: int = WINDOW_SECONDS
    stale_seconds: float = STALE_SECONDS


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one complete window.

    Attributes:
        meaning: What they are.
        start_ns: First nanosecond of the window.
        stop_ns: After its last.
        groups: The value of each group that has one. Who had no samples is absent: see `Meaning.counts_nothing_as`.
    """

    meaning: Meaning
    start_ns: int
    stop_ns: int
    groups: Mapping[Key, float]

    @property
    def seconds(self) -> int:
        """Length of the window."""
        return (self.stop_ns - self.start_ns) // _NS


async def read_values(reader: Reader, wanted: Wanted, *, now_ns: int) -> Values:
    """Read values of the newest complete window.

    Raises:
        StaleError: That ends too long before `now_ns`.
        IncompleteError: Not everything that they are made of is known.
        KeyError: Nothing is called so.
    """
    watermark_ns = await reader.watermark_ns()
    _check_fresh(watermark_ns, now_ns=now_ns, stale_seconds=wanted.stale_seconds)
    stop_ns = watermark_ns // SLOT_NS * SLOT_NS
    start_ns = stop_ns - wanted.window_seconds * _NS
    for meaning in meanings_of(wanted.name):
        by = tuple(dict.fromkeys((*wanted.by, *wanted.seen, *_needed(meaning))))
        try:
            answer = await reader.ask(Question(meaning.metric, start_ns, stop_ns, wanted.match, by))
        except KeyError:
            continue
        if answer.metric.kind is not _KINDS[meaning.form]:
            continue
        if answer.watermark_ns < stop_ns or answer.unattributed:
            raise IncompleteError("the window is not complete any more: a shard has changed hands")
        groups = values_of(answer, meaning, wanted, by=by, seconds=wanted.window_seconds)
        return Values(meaning, start_ns, stop_ns, groups)
    raise KeyError(wanted.name)


def _check_fresh(watermark_ns: int, *, now_ns: int, stale_seconds: float) -> None:
    if not watermark_ns:
        raise IncompleteError("not every shard has heard yet up to when it is complete")
    age_seconds = (now_ns - watermark_ns) / _NS
    if age_seconds > stale_seconds:
        raise StaleError(f"complete up to {age_seconds:.0f} s ago, more than {stale_seconds:.0f}")


def _needed(meaning: Meaning) -> tuple[str, ...]:
    """Labels that a value is made of."""
    if meaning.metric not in {"app_requests", "app_request_duration_seconds"}:
        return ()
    return (ROUTED, _CODE) if meaning.form is Form.FAILED_RATIO else (ROUTED,)


def values_of(
    answer: Answer, meaning: Meaning, wanted: Wanted, *, by: tuple[str, ...], seconds: int
) -> dict[Key, float]:
    """Values of an answer.

    Args:
        answer: To a question with `by`.
        meaning: What is made of it.
        wanted: What for.
        by: All labels that the answer tells apart; those of `wanted.by` first.
        seconds: Length of the window.
    """
    kept = [(labels, amount) for labels, amount in _labelled(answer, by) if wanted.keep(labels)]
    groups: dict[Key, list[tuple[Mapping[str, str], Amount]]] = {}
    for labels, amount in _from_one_side(kept) if ROUTED in _needed(meaning) else kept:
        groups.setdefault(tuple(labels.get(name, "") for name in wanted.by), []).append((labels, amount))
    values = ((key, _value(parts, answer.metric, meaning, seconds)) for key, parts in groups.items())
    return {key: value for key, value in values if value is not None and math.isfinite(value)}


def _labelled(answer: Answer, by: tuple[str, ...]) -> Iterable[tuple[dict[str, str], Amount]]:
    for key, amount in answer.groups.items():
        yield {name: value for name, value in zip(by, key, strict=True) if value}, amount


def _from_one_side(
    parts: Sequence[tuple[Mapping[str, str], Amount]],
) -> Iterable[tuple[Mapping[str, str], Amount]]:
    """A request that a router and the app both write of counts once: as the routers say, if they say anything."""
    routed = [part for part in parts if part[0].get(ROUTED, _OWN) != _OWN]
    return routed or parts


def _value(
    parts: Sequence[tuple[Mapping[str, str], Amount]], metric: Metric, meaning: Meaning, seconds: int
) -> float | None:
    whole = math.fsum(amount.total for _, amount in parts)
    match meaning.form:
        case Form.RATE:
            return whole / seconds
        case Form.NEWEST:
            return whole
        case Form.QUANTILE:
            return quantile(metric.edges, _added(amount.buckets for _, amount in parts), meaning.quantile)
        case Form.FAILED_RATIO:
            failed = math.fsum(amount.total for labels, amount in parts if labels.get(_CODE, "").startswith(_FAILED))
            return failed / whole if whole else None


def _added(buckets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*buckets, strict=True)))
