"""`GET /v1/metrics/{app}`: what there is of an app, its values now, and how they came to be."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from aiohttp import web

from monitor.answers.api import ParameterError
from monitor.metric import STANDING, Kind, Metric
from monitor.reading import SLOT_NS, WINDOW_NS, Amount, Answer, IncompleteError, Known, Question, Reader
from monitor.series.quantile import mean, quantile
from pipeline.auth import GRANT

PATH: Final = "/v1/metrics/{app}"

_NS: Final = 1_000_000_000
_MOST_POINTS: Final = WINDOW_NS // SLOT_NS
_QUANTILES: Final = (0.5, 0.95, 0.99)
_DEFAULT_BY: Final = "process,release"


class AsksMany(Reader, Protocol):
    """A reader that answers several questions at once."""

    async def ask_many(self, questions: Sequence[Question]) -> list[Answer]:
        """See `Reader.ask`."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request asks for.

    Attributes:
        namespace: Of the app; `None` for any.
        window_seconds: Of the value.
        points: How many slots before now are told apart.
        by: Labels that series are told apart by.
        metric: Name of the only one that is wanted; empty for all.
    """

    namespace: str | None
    window_seconds: int
    points: int
    by: tuple[str, ...]
    metric: str

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Parameters":
        """Read a query.

        Raises:
            ParameterError: One is not known, or out of its range.
        """
        unknown = query.keys() - {"namespace", "window", "points", "by", "metric"}
        if unknown:
            raise ParameterError(f"unknown parameter {min(unknown)!r}")
        window_seconds = _number(query, "window", default=60, least=SLOT_NS // _NS, most=WINDOW_NS // _NS)
        if window_seconds * _NS % SLOT_NS:
            raise ParameterError(f"window: a multiple of {SLOT_NS // _NS} seconds")
        by = tuple(name for name in query.get("by", _DEFAULT_BY).split(",") if name)
        points = _number(query, "points", default=30, least=0, most=_MOST_POINTS)
        return cls(query.get("namespace"), window_seconds, points, by, query.get("metric", ""))


def _number(query: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or not least <= int(text[:9]) <= most:
        raise ParameterError(f"{name}: a number from {least} to {most}")
    return int(text)


def overview_route(reader: AsksMany, *, now_ns: Callable[[], int] = time.time_ns) -> web.RouteDef:
    """The route; `now_ns` says how old what is complete is."""

    async def get(request: web.Request) -> web.Response:
        app, wanted = request.match_info["app"], Parameters.of(request.query)
        if not request[GRANT].opens(app):
            raise web.HTTPForbidden(text=f"this token does not open {app!r}")
        known = await reader.known(namespace=wanted.namespace, app=app)
        chosen = [one for one in known if wanted.metric in ("", one.metric.name)]
        if not chosen:
            raise web.HTTPNotFound(text=f"there are no such metrics of {app!r}")
        return web.json_response(await _overview(reader, app, wanted, chosen, now_ns=now_ns()))

    return web.get(PATH, get)


async def _overview(
    reader: AsksMany, app: str, wanted: Parameters, known: Sequence[Known], *, now_ns: int
) -> dict[str, Any]:
    watermark_ns = await reader.watermark_ns()
    stop_ns = watermark_ns // SLOT_NS * SLOT_NS
    questions = [question for one in known for question in _questions(one.metric, app, wanted, stop_ns)]
    answers = await _ask_all(reader, questions, stop_ns)
    each = wanted.points + 1
    return {
        "app": app,
        "namespace": wanted.namespace,
        "watermark": _told(watermark_ns),
        "watermark_age_seconds": round((now_ns - watermark_ns) / _NS, 3),
        "window_seconds": wanted.window_seconds,
        "step_seconds": SLOT_NS // _NS,
        "metrics": [
            _metric(one, wanted, answers[number * each : (number + 1) * each], now_ns=now_ns)
            for number, one in enumerate(known)
        ],
    }


async def _ask_all(reader: AsksMany, questions: Sequence[Question], stop_ns: int) -> list[Answer]:
    """Ask what was found, and is complete, a moment ago.

    Raises:
        IncompleteError: It is not any more.
    """
    try:
        answers = await reader.ask_many(questions)
    except KeyError as gone:
        raise IncompleteError(f"there is no metric {gone} any more") from gone
    if any(answer.watermark_ns < stop_ns for answer in answers):
        raise IncompleteError("the window is not complete any more: a shard has changed hands")
    return answers


def _questions(metric: Metric, app: str, wanted: Parameters, stop_ns: int) -> list[Question]:
    """About the window, and then about each slot, the oldest first."""
    match = {"app": frozenset({app})}
    if wanted.namespace is not None:
        match["namespace"] = frozenset({wanted.namespace})
    by = tuple(name for name in wanted.by if name in (*STANDING, "pod", *metric.labels))
    first_ns = stop_ns - wanted.points * SLOT_NS
    windows = [(stop_ns - wanted.window_seconds * _NS, stop_ns)] + [
        (first_ns + number * SLOT_NS, first_ns + (number + 1) * SLOT_NS) for number in range(wanted.points)
    ]
    return [Question(metric.name, start_ns, until_ns, match, by) for start_ns, until_ns in windows]


def _metric(known: Known, wanted: Parameters, answers: Sequence[Answer], *, now_ns: int) -> dict[str, Any]:
    metric, window, slots = known.metric, answers[0], answers[1:]
    by = tuple(name for name in wanted.by if name in (*STANDING, "pod", *metric.labels))
    groups = sorted({key for answer in answers for key in answer.groups})
    return {
        "name": metric.name,
        "kind": metric.kind.value,
        "help": metric.help,
        "labels": list(metric.labels),
        "sets": known.sets,
        "newest": _told(known.newest_ns),
        "age_seconds": round((now_ns - known.newest_ns) / _NS, 3),
        "unattributed": window.unattributed,
        "overflowed": window.overflowed,
        "series": [
            {
                "labels": dict(zip(by, key, strict=True)),
                **_value(metric, window.groups.get(key), wanted.window_seconds),
                "points": [_point(metric, slot.groups.get(key)) for slot in slots],
            }
            for key in groups
        ],
    }


def _value(metric: Metric, amount: Amount | None, seconds: int) -> dict[str, Any]:
    """What a window of one group says; nothing where a gauge or a histogram has no samples."""
    if metric.kind is Kind.GAUGE:
        return {"value": None if amount is None else amount.total}
    if metric.kind is Kind.COUNTER:
        return {"value": 0.0 if amount is None else amount.total / seconds}
    quantiles = {
        f"p{ratio * 100:g}": None if amount is None else quantile(metric.edges, amount.buckets, ratio)
        for ratio in _QUANTILES
    }
    count = 0 if amount is None else amount.count
    return {"value": count / seconds, "mean": None if amount is None else mean(amount), **quantiles}


def _point(metric: Metric, amount: Amount | None) -> float | None:
    """Per second in a slot; of a gauge its newest value there."""
    if metric.kind is Kind.GAUGE:
        return None if amount is None else amount.total
    if amount is None:
        return 0.0
    return (amount.total if metric.kind is Kind.COUNTER else amount.count) * _NS / SLOT_NS


def _told(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / _NS, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
