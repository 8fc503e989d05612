"""Where canaries are looked up by whoever shows them: those of the API server, or of files."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.canary.counts import MINUTE_NS, Observation, Signals, Verdict
from monitor.canary.observe.journal import Journal
from monitor.canary.observe.rows import counts_of, ns_of, unattributed_share
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.status import Frozen
from pipeline.store import Store

FRESH_SECONDS: Final = 2.0
"""A list that is not older is not asked for again: many may watch."""

List = Callable[[], Awaitable[Sequence[Canary]]]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What an analysis is made of.

    Attributes:
        frozen: By what it judges.
        observation: All that was seen.
        verdict: What was kept with the newest minutes; `None` before there were any.
    """

    frozen: Frozen
    observation: Observation
    verdict: Verdict | None


class Board:
    """See the module.

    Args:
        store: Keeps the minutes of analyses.
        clock: Seconds, for how old a list is.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._lists: list[List] = []
        self._kept: tuple[float, Sequence[Canary]] | None = None
        self._asking = asyncio.Lock()

    @contextmanager
    def showing(self, source: List) -> Iterator[None]:
        """Show those of one more source inside the block."""
        self._lists.append(source)
        self._kept = None
        try:
            yield
        finally:
            self._lists.remove(source)
            self._kept = None

    async def canaries(self) -> Sequence[Canary]:
        """All, by path.

        Raises:
            KubernetesUnavailableError: The API server does not answer.
        """
        async with self._asking:
            if self._kept is None or self._clock() - self._kept[0] > FRESH_SECONDS:
                found = [canary for source in self._lists for canary in await source()]
                self._kept = self._clock(), sorted(found, key=lambda canary: canary.path)
            return self._kept[1]

    async def canary(self, namespace: str, name: str) -> Canary | None:
        """One of them."""
        path = f"{namespace}/{name}"
        return next((canary for canary in await self.canaries() if canary.path == path), None)

    async def analysis(self, canary: Canary) -> Analysis | None:
        """The minutes of the newest analysis of a canary; `None` when it has none.

        Raises:
            StoreUnavailableError: They cannot be read.
            FormatError: They are none of ours.
        """
        status = canary.status
        if status.since is None or status.frozen is None:
            return None
        return await asyncio.to_thread(self._read, status.analysis, ns_of(status.since), status.frozen)

    def _read(self, analysis: str, start_ns: int, frozen: Frozen) -> Analysis:
        journal = Journal.of_analysis(self._store, analysis, start_ns)
        journal.read()
        names = [metric.name for metric in frozen.policy.metrics]
        seen = journal.seen
        signals = (seen[-1].signals if seen else None) or Signals()
        signals = msgspec.structs.replace(signals, unattributed_share=unattributed_share(seen))
        until_ns = seen[-1].start_ns + MINUTE_NS if seen else start_ns
        observation = Observation(start_ns, until_ns, counts_of(seen, names), signals)
        return Analysis(frozen, observation, journal.verdict)
