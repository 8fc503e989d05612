"""Which questions a minute of an analysis is, and what their answers count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.canary.observe.rows import Row
from monitor.canary.resource.spec import Attribution, Source
from monitor.metric import UNKNOWN
from monitor.reading import Answer, Question

ROUTERS: Final = frozenset({"router", "ingress-nginx", "traefik", "envoy"})
OWN: Final = frozenset({"app"})
SEVERE: Final = frozenset({"error", "fatal", "critical", "alert", "emergency", "emerg", "panic"})
_FAILED: Final = ("5",)

_TRIES: Final = "app_tries"
_REQUESTS: Final = "app_requests"
_TRY_SECONDS: Final = "app_try_duration_seconds"
_REQUEST_SECONDS: Final = "app_request_duration_seconds"
_LINES: Final = "app_lines"


@dataclass(frozen=True, slots=True)
class ArmNames:
    """How series of both arms are named.

    Attributes:
        namespace: Of both.
        app: Of both; of the stable one where each arm is an app of its own.
        process: Of both; empty when labels do not tell it, or differ.
        stable: Release of the stable arm, or its app.
        canary: Release of the other, or its app.
        attribution: See there.
    """

    namespace: str
    app: str
    process: str
    stable: str
    canary: str
    attribution: Attribution

    @property
    def by(self) -> str:
        """The label that tells the arms apart."""
        return "app" if self.attribution == Attribution.SERVICE else "release"


def count_metric(attribution: Attribution) -> str:
    """Whose samples are requests: each try of a router counts for who was tried."""
    return _TRIES if attribution == Attribution.UPSTREAM else _REQUESTS


def seconds_metric(attribution: Attribution) -> str:
    """Whose samples are their durations."""
    return _TRY_SECONDS if attribution == Attribution.UPSTREAM else _REQUEST_SECONDS


def _match(names: ArmNames, *, sourced: bool = True) -> dict[str, frozenset[str]]:
    match: dict[str, frozenset[str]] = {}
    if sourced:
        match["source"] = OWN if names.attribution == Attribution.POD_LINES else ROUTERS
    if names.attribution == Attribution.SERVICE:
        return {**match, "app": frozenset({names.stable, names.canary})}
    match |= {"app": frozenset({names.app}), "namespace": frozenset({names.namespace})}
    if names.process:
        match["process"] = frozenset({names.process})
    return match


def requests(names: ArmNames, start_ns: int, stop_ns: int) -> Question:
    """Requests of the app by release and code."""
    metric = count_metric(names.attribution)
    return Question(metric, start_ns, stop_ns, _match(names), (names.by, "code"))


def unknown(names: ArmNames, start_ns: int, stop_ns: int) -> Question:
    """Requests of the app whose release nothing tells; of any namespace, since nothing tells that either."""
    match = _match(names)
    match = {name: match[name] for name in match if name not in ("namespace", "process")}
    match["release"] = frozenset({UNKNOWN, ""})
    return Question(count_metric(names.attribution), start_ns, stop_ns, match, ())


def durations(names: ArmNames, start_ns: int, stop_ns: int) -> Question:
    """Durations by release."""
    return Question(seconds_metric(names.attribution), start_ns, stop_ns, _match(names), (names.by,))


def severe_lines(names: ArmNames, start_ns: int, stop_ns: int) -> Question:
    """Lines of the app's own pods that tell of errors, by release."""
    match = {**_match(names, sourced=False), "level": SEVERE}
    return Question(_LINES, start_ns, stop_ns, match, (names.by,))


def counted_errors(metric: str, answer: Answer, names: ArmNames) -> Row:
    """Requests and failed ones of both arms."""
    n, e = {names.stable: 0, names.canary: 0}, {names.stable: 0, names.canary: 0}
    for (arm, code), amount in answer.groups.items():
        if arm in n:
            n[arm] += amount.count
            e[arm] += amount.count if code.startswith(_FAILED) else 0
    return Row(metric, n[names.stable], e[names.stable], n[names.canary], e[names.canary])


def counted_slow(metric: str, answer: Answer, names: ArmNames, limit_seconds: float) -> Row:
    """Requests and slow ones of both arms."""
    above = sum(edge <= limit_seconds for edge in answer.metric.edges)
    n, e = {names.stable: 0, names.canary: 0}, {names.stable: 0, names.canary: 0}
    for (arm,), amount in answer.groups.items():
        if arm in n:
            n[arm] += sum(amount.buckets)
            e[arm] += sum(amount.buckets[above:])
    return Row(metric, n[names.stable], e[names.stable], n[names.canary], e[names.canary])


def counted_events(metric: str, events: Mapping[str, float], lived: tuple[float, float], names: ArmNames) -> Row:
    """Seconds that pods lived, and what happened in them."""
    return Row(metric, lived[0], events.get(names.stable, 0.0), lived[1], events.get(names.canary, 0.0))


def events_of(answer: Answer) -> dict[str, float]:
    """Samples by the first label asked for."""
    found: dict[str, float] = {}
    for labels, amount in answer.groups.items():
        found[labels[0]] = found.get(labels[0], 0.0) + amount.count
    return found


def total_of(answer: Answer) -> int:
    """All samples."""
    return sum(amount.count for amount in answer.groups.values())


def is_whole(answer: Answer, stop_ns: int) -> bool:
    """Whether nothing of the window can still come, and nothing of it is hidden."""
    return answer.watermark_ns >= stop_ns - 1 and not answer.unattributed and not answer.overflowed


def needs_requests(sources: tuple[str, ...]) -> bool:
    """Whether any metric is made of requests: then those of no known release count against the analysis."""
    return bool({Source.ERRORS, Source.LATENCY, Source.TRAFFIC} & set(sources))
