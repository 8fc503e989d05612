"""Asks for the minutes of an analysis, keeps them, and lays out what the decider takes."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from monitor.canary.counts import MINUTE_NS, Observation, Policy, Signals, Verdict
from monitor.canary.decide import decide
from monitor.canary.observe import asking
from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.freezing import PROMQL
from monitor.canary.observe.journal import Journal
from monitor.canary.observe.promql import Prometheus, PrometheusError
from monitor.canary.observe.rows import Row, Seen, both_bad, counts_of, floor_minute, ns_of, unattributed_share
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.spec import Source
from monitor.canary.resource.status import Frozen
from monitor.reading import WINDOW_NS, IncompleteError, Reader
from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.store import Store

log = structlog.get_logger()

GRACE_NS: Final = 60_000_000_000
"""A minute ought to be known this long after its end."""

AT_ONCE: Final = 15
"""Most minutes that one look asks for: what is older is not to be had."""

_HELD: Final = 200
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw.

    Attributes:
        verdict: On everything known; `None` when not even that could be told.
        until_ns: End of the newest minute that is known.
        both_bad: Whether both arms do badly now.
    """

    verdict: Verdict | None
    until_ns: int
    both_bad: bool = False


class Observer:
    """Observes analyses.

    Args:
        reader: Answers for windows of the last quarter of an hour.
        store: Keeps the minutes.
        prometheus: Answers PromQL; `None` where no address is set.
        registry: For the metrics.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        *,
        reader: Reader,
        store: Store,
        prometheus: Prometheus | None,
        registry: CollectorRegistry,
        clock_ns: Callable[[], int],
    ) -> None:
        self._reader, self._store, self._prometheus, self._clock_ns = reader, store, prometheus, clock_ns
        self._journals: dict[_Key, Journal] = {}
        self._errors = Counter(
            "monitor_canary_observe_errors",
            "Looks that did not see a minute, by reason.",
            ["reason"],
            registry=registry,
        )

    async def look(self, canary: Canary, names: ArmNames, signals: Signals) -> Look | None:
        """Take in the minutes that have become complete, and judge; `None` when the store does not answer.

        Args:
            canary: Its analysis has begun.
            names: Of the arms.
            signals: Of their pods now.
        """
        status = canary.status
        if status.since is None or status.frozen is None:
            return None
        try:
            journal = await self._journal(status.analysis, ns_of(status.since))
            fresh = await self._minutes(canary, names, status.frozen, journal, signals)
            verdict = await self._judge(status.frozen, journal, fresh, signals, ns_of(status.since))
            if fresh and not await asyncio.to_thread(journal.write, fresh, verdict):
                verdict = await self._judge(status.frozen, journal, (), signals, ns_of(status.since))
        except StoreUnavailableError as error:
            self._errors.labels("store").inc()
            log.warning("an analysis' minutes cannot be kept", canary=canary.path, error=str(error))
            return None
        except FormatError as error:
            self._errors.labels("format").inc()
            log.error("an analysis' minutes cannot be read", canary=canary.path, error=str(error))  # noqa: TRY400 - it says all
            return None
        errors = (name for name, source in _metrics(status.frozen) if source == Source.ERRORS)
        return Look(verdict, journal.next_ns, any(both_bad(journal.seen, name) for name in errors))

    async def _journal(self, analysis: str, start_ns: int) -> Journal:
        key = (analysis, start_ns)
        journal = self._journals.get(key)
        if journal is None:
            journal = Journal.of_analysis(self._store, analysis, start_ns)
            await asyncio.to_thread(journal.read)
            while len(self._journals) >= _HELD:
                self._journals.pop(next(iter(self._journals)))
            self._journals[key] = journal
        return journal

    async def _judge(
        self, frozen: Frozen, journal: Journal, fresh: tuple[Seen, ...], signals: Signals, start_ns: int
    ) -> Verdict:
        seen = [*journal.seen, *fresh]
        known_ns = seen[-1].start_ns + MINUTE_NS if seen else start_ns
        due_ns = max(start_ns, floor_minute(self._clock_ns() - GRACE_NS))
        until_ns = max(known_ns, due_ns)
        return await asyncio.to_thread(_verdict, frozen.policy, seen, signals, start_ns=start_ns, until_ns=until_ns)

    async def _minutes(
        self, canary: Canary, names: ArmNames, frozen: Frozen, journal: Journal, signals: Signals
    ) -> tuple[Seen, ...]:
        """The next minutes that are complete; an empty one in place of each that is too old to be asked for."""
        found: list[Seen] = []
        try:
            watermark_ns = await self._reader.watermark_ns()
            next_ns = journal.next_ns
            while next_ns + MINUTE_NS <= watermark_ns + 1 and len(found) < AT_ONCE:
                if next_ns < watermark_ns - WINDOW_NS + MINUTE_NS:
                    found.append(Seen(next_ns))
                    self._errors.labels("too-late").inc()
                else:
                    found.append(await self._minute(canary, names, frozen, next_ns, signals))
                next_ns += MINUTE_NS
        except IncompleteError:
            self._errors.labels("incomplete").inc()
        except KeyError:
            self._errors.labels("no-such-metric").inc()
        return tuple(found)

    async def _minute(self, canary: Canary, names: ArmNames, frozen: Frozen, start_ns: int, signals: Signals) -> Seen:
        stop_ns = start_ns + MINUTE_NS
        requests = await self._reader.ask(asking.requests(names, start_ns, stop_ns))
        unknown = await self._reader.ask(asking.unknown(names, start_ns, stop_ns))
        if not (asking.is_whole(requests, stop_ns) and asking.is_whole(unknown, stop_ns)):
            raise IncompleteError("samples of the minute wait, or are hidden")
        lived = (signals.stable_ready * 60.0, signals.canary_ready * 60.0)
        rows: list[Row] = []
        for metric, source in _metrics(frozen):
            row: Row | None
            if source == PROMQL:
                row = await self._from_prometheus(canary, metric, names, stop_ns)
            elif source == Source.ERRORS:
                row = asking.counted_errors(metric, requests, names)
            elif source == Source.TRAFFIC:
                row = asking.counted_events(metric, asking.events_of(requests), lived, names)
            elif source == Source.LATENCY:
                row = await self._slow(frozen, metric, names, start_ns)
            else:
                answer = await self._reader.ask(asking.severe_lines(names, start_ns, stop_ns))
                row = asking.counted_events(metric, asking.events_of(answer), lived, names)
            rows += [] if row is None else [row]
        known = asking.total_of(requests) if asking.needs_requests(frozen.sources) else 0
        lost = asking.total_of(unknown) if known or asking.needs_requests(frozen.sources) else 0
        return Seen(start_ns, tuple(rows), known + lost, lost, signals)

    async def _slow(self, frozen: Frozen, metric: str, names: ArmNames, start_ns: int) -> Row:
        limit = next(limit.seconds for limit in frozen.limits if limit.metric == metric)
        answer = await self._reader.ask(asking.durations(names, start_ns, start_ns + MINUTE_NS))
        return asking.counted_slow(metric, answer, names, limit)

    async def _from_prometheus(self, canary: Canary, metric: str, names: ArmNames, stop_ns: int) -> Row | None:
        queries = next((one.prom_ql for one in canary.spec.metrics if one.name == metric), None)
        if self._prometheus is None or queries is None:
            self._errors.labels("no-prometheus").inc()
            return None
        try:
            return await self._prometheus.row(metric, queries, names, stop_ns)
        except PrometheusError as error:
            self._errors.labels("prometheus").inc()
            log.warning("a minute is missing", canary=canary.path, metric=metric, error=str(error))
            return None


def _verdict(policy: Policy, seen: Sequence[Seen], signals: Signals, *, start_ns: int, until_ns: int) -> Verdict:
    """The verdict on these minutes; over a long analysis it takes a good part of a tenth of a second."""
    signals = msgspec.structs.replace(signals, unattributed_share=unattributed_share(seen))
    counts = counts_of(seen, [metric.name for metric in policy.metrics])
    return decide(policy, Observation(start_ns, until_ns, counts, signals))


def _metrics(frozen: Frozen) -> Iterator[tuple[str, str]]:
    names = (metric.name for metric in frozen.policy.metrics)
    return zip(names, frozen.sources, strict=True)
