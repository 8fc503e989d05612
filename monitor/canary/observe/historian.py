"""Keeps the history of every canary's stable release, ten minutes at a time."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from monitor.canary.counts import MINUTE_NS
from monitor.canary.observe import asking, history
from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.freezing import attribution_of
from monitor.canary.observe.history import BLOCK_NS, Block, History, Past
from monitor.canary.resource.canary import Canary
from monitor.reading import WINDOW_NS, IncompleteError, Question, Reader
from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.store import Store

log = structlog.get_logger()

EVERY_SECONDS: Final = 60.0

Target = tuple[Canary, ArmNames, float]
"""A canary, how its stable arm's series are named, and the share that a canary would have."""


class Historian:
    """See the module.

    Args:
        reader: Answers for windows of the last quarter of an hour.
        store: Keeps the history.
        registry: For the metrics.
    """

    def __init__(self, *, reader: Reader, store: Store, registry: CollectorRegistry) -> None:
        self._reader, self._store = reader, store
        self._written: dict[str, int] = {}
        self._missed = Counter(
            "monitor_canary_history_missed", "Times that ten minutes of a history could not be kept.", registry=registry
        )

    async def run(self, targets: Callable[[], Iterable[Target]]) -> None:
        """Keep the histories of these, until cancelled."""
        while True:
            with suppress(IncompleteError):  # the windows hold it for some minutes more
                await self.keep(targets())
            await asyncio.sleep(EVERY_SECONDS)

    async def keep(self, targets: Iterable[Target]) -> None:
        """Keep the newest ten minutes that are complete, of each that has not been kept.

        Raises:
            IncompleteError: Not even the watermark is known.
        """
        watermark_ns = await self._reader.watermark_ns()
        start_ns = ((watermark_ns + 1) // BLOCK_NS - 1) * BLOCK_NS
        if start_ns < watermark_ns - WINDOW_NS + MINUTE_NS:
            return
        for canary, names, share in targets:
            folder = history.folder_of(canary.namespace, canary.name)
            if self._written.get(folder, -1) >= start_ns:
                continue
            try:
                await self._keep(canary, names, share, folder, start_ns)
                self._written[folder] = start_ns
            except (IncompleteError, StoreUnavailableError, KeyError) as error:
                self._missed.inc()
                log.warning("a history has a hole", canary=canary.path, error=str(error))

    async def _keep(self, canary: Canary, names: ArmNames, share: float, folder: str, start_ns: int) -> None:
        attribution = await attribution_of(canary.spec, names, self._reader, (start_ns, start_ns + BLOCK_NS))
        if attribution is None:
            return
        names = replace(names, attribution=attribution)
        found: list[Past] = []
        edges: tuple[float, ...] = ()
        for at_ns in range(start_ns, start_ns + BLOCK_NS, MINUTE_NS):
            requests = await self._reader.ask(_by_pod(asking.requests(names, at_ns, at_ns + MINUTE_NS), names, "code"))
            durations = await self._reader.ask(_by_pod(asking.durations(names, at_ns, at_ns + MINUTE_NS), names))
            edges = durations.metric.edges
            past = history.past_of(at_ns, requests.groups, durations.groups, share=share)
            if past is not None and asking.is_whole(requests, at_ns + MINUTE_NS):
                found.append(past)
        await asyncio.to_thread(history.write, self._store, folder, start_ns, Block(tuple(found), edges))

    async def read(self, canary: Canary) -> History:
        """What is known of a canary's target; nothing where it cannot be read: then a person decides."""
        folder = history.folder_of(canary.namespace, canary.name)
        try:
            return await asyncio.to_thread(history.read, self._store, folder)
        except (StoreUnavailableError, FormatError) as error:
            log.warning("a history cannot be read", canary=canary.path, error=str(error))
            return History()


def _by_pod(question: Question, names: ArmNames, *more: str) -> Question:
    match = {**question.match, names.by: frozenset({names.stable})}
    return replace(question, match=match, by=("pod", *more))
