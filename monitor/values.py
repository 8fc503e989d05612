"""Metrics as the values that people decide by: requests per second, an error ratio, a latency at a quantile.

A value is of a window that is complete, or there is none. What is stale or known in part is an error, and never 0.

::

    name --meanings_of--> Meaning --> question --Reader--> amounts --values_of--> value of each group
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from monitor.meaning import KINDS, Form, Meaning, meanings_of
from monitor.metric import OVERFLOW, UNKNOWN, Metric
from monitor.reading import SLOT_NS, Amount, Answer, IncompleteError, Question, Reader
from monitor.series.quantile import quantile

WINDOW_SECONDS: Final = 60
"""Length of a window by default."""

STALE_SECONDS: Final = 90
"""What is complete up to a time longer ago than this is no answer, by default."""

PROCESS: Final = "process"
RELEASE: Final = "release"
POD: Final = "pod"
ROUTED: Final = "source"
"""Label of access lines' metrics that tells routers from the app itself."""

SERVED: Final = frozenset({PROCESS, RELEASE, POD})
"""Labels that are known when it is known which pod served."""

DOUBTFUL_RATIO: Final = 0.01
"""When it is not known of more samples than this whether they count, there is no value: it would be a part of one."""

_OWN: Final = "app"  # the value of `ROUTED` of an app's own access lines
_DEIS_ROUTER: Final = "router"  # of Deis's router, which names no process, and passes requests to one only
_ROUTED_PROCESS: Final = "web"
_CODE: Final = "code"
_FAILED: Final = "5"  # first digit of the codes of failed requests
_NS: Final = 1_000_000_000

Key = tuple[str, ...]
"""Values of the labels that an answer tells apart, in their order."""

_Part = tuple[Mapping[str, str], Amount]


class StaleError(IncompleteError):
    """What is known ends too long ago."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which values are wanted.

    Attributes:
        name: See `meanings_of`.
        match: As of a `Question`.
        by: Labels that the values are told apart by.
        seen: More labels that `keep` looks at.
        keep: Whether the series with these labels counts, as far as it does not depend on those that are named second;
            a label without a value is absent.
        window_seconds: Length of the window, a multiple of ten.
        stale_seconds: Oldest end of the window.
    """

    name: str
    match: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    keep: Callable[[Mapping[str, str], AbstractSet[str]], bool] = lambda _labels, _unknown: True
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
        by = tuple(dict.fromkeys((*wanted.by, *wanted.seen, *_needed(meaning), *_served(wanted))))
        try:
            answer = await reader.ask(Question(meaning.metric, start_ns, stop_ns, wanted.match, by))
        except KeyError:
            continue
        if answer.metric.kind is not KINDS[meaning.form]:
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


def _served(wanted: Wanted) -> tuple[str, ...]:
    """What shows whether it is known who served, if that is looked at."""
    return (POD, RELEASE) if SERVED.intersection((*wanted.by, *wanted.seen)) else ()


def values_of(
    answer: Answer, meaning: Meaning, wanted: Wanted, *, by: tuple[str, ...], seconds: int
) -> dict[Key, float]:
    """Values of an answer.

    Args:
        answer: To a question with `by`.
        meaning: What is made of it.
        wanted: What for.
        by: All labels that the answer tells apart.
        seconds: Length of the window.

    Raises:
        IncompleteError: Of too many samples it is not known whether they count.
    """
    kept, doubtful = _chosen(_labelled(answer, by), wanted, _looked_at(wanted, meaning))
    if ROUTED in _needed(meaning):
        kept, doubtful = _from_one_side(kept, doubtful)
    _check_certain(kept, doubtful, hidden=answer.overflowed)
    groups: dict[Key, list[_Part]] = {}
    for labels, amount in kept:
        groups.setdefault(tuple(labels.get(name, "") for name in wanted.by), []).append((labels, amount))
    values = ((key, _value(of_key, answer.metric, meaning, seconds)) for key, of_key in groups.items())
    return {key: value for key, value in values if value is not None and math.isfinite(value)}


def _looked_at(wanted: Wanted, meaning: Meaning) -> frozenset[str]:
    return frozenset((*wanted.by, *wanted.seen, *_needed(meaning)))


def _chosen(parts: Iterable[_Part], wanted: Wanted, looked: frozenset[str]) -> tuple[list[_Part], list[_Part]]:
    """What counts, and what may count: what it depends on is not known."""
    kept: list[_Part] = []
    doubtful: list[_Part] = []
    for labels, amount in parts:
        unknown = _unknown(labels, looked)
        if wanted.keep(labels, unknown):
            (doubtful if unknown else kept).append((labels, amount))
    return kept, doubtful


def _labelled(answer: Answer, by: tuple[str, ...]) -> Iterator[_Part]:
    for key, amount in answer.groups.items():
        labels = {name: value for name, value in zip(by, key, strict=True) if value}
        if labels.get(ROUTED) == _DEIS_ROUTER:
            labels.setdefault(PROCESS, _ROUTED_PROCESS)
        yield labels, amount


def _unknown(labels: Mapping[str, str], looked: frozenset[str]) -> frozenset[str]:
    """Labels that are looked at and whose value is not known: nobody knows which pod served, or the app has too many.

    A process without a name is known where the pod is.
    """
    found = {name for name in looked if labels.get(name) == OVERFLOW}
    if POD not in labels:
        found |= looked & {POD, PROCESS} - labels.keys()
    if labels.get(RELEASE, UNKNOWN) == UNKNOWN:
        found |= looked & {RELEASE}
    return frozenset(found)


def _from_one_side(kept: list[_Part], doubtful: list[_Part]) -> tuple[list[_Part], list[_Part]]:
    """A request that a router and the app both write of counts once: as the routers say, if they say anything."""
    if not kept:
        return kept, doubtful
    routed = any(map(_is_routed, kept))
    of_side = [one for one in doubtful if _is_routed(one) is routed or one[0].get(ROUTED) == OVERFLOW]
    return [one for one in kept if _is_routed(one) is routed], of_side


def _is_routed(part: _Part) -> bool:
    return part[0].get(ROUTED, _OWN) != _OWN


def _check_certain(kept: list[_Part], doubtful: list[_Part], *, hidden: int) -> None:
    missing = hidden + sum(amount.count for _, amount in doubtful)
    whole = missing + sum(amount.count for _, amount in kept)
    if missing > DOUBTFUL_RATIO * whole:
        raise IncompleteError(
            f"of {missing} in {whole} samples it is not known of which process, release or pod they are"
        )


def _value(parts: list[_Part], metric: Metric, meaning: Meaning, seconds: int) -> float | None:
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
