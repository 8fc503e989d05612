"""`GET /metrics`: what may be shown now, and nothing that might be older than what somebody else has shown."""

import asyncio
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from monitor.scraping.exposition import ShardsCollector
from monitor.scraping.shown import Shown
from monitor.selfmetrics import SelfMetrics
from monitor.shards.held import Held
from monitor.shards.lag import Ends
from monitor.shards.owning import Owning
from pipeline.errors import QueueUnavailableError

log = structlog.get_logger()

WAIT_SECONDS: Final = 3.0
"""So long a scrape waits for the group to give out its shards anew: mostly it has, within one."""

_LOOK_SECONDS: Final = 0.05

_AT_ONCE: Final = 2
"""Scrapes that are answered at once: each takes memory for all series."""


class Scrape:
    """Answers scrapes.

    Args:
        owning: The shards.
        ends: The queue's ends.
        gone: Names of nodes that will send nothing more.
        registry: What goes with this process.
        metrics: Where things are counted.
        clock: Seconds, as of `time.monotonic`.
    """

    def __init__(
        self,
        *,
        owning: Owning,
        ends: Ends,
        gone: Callable[[], AbstractSet[str]],
        registry: CollectorRegistry,
        metrics: SelfMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owning = owning
        self._ends = ends
        self._gone = gone
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._begun = False
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def get(self, request: web.Request) -> web.Response:
        """The metrics; 503 with the reason until all shards that were owned at the start have been read to the end."""
        arrived_at = self._clock()
        if not self._begun:
            reason = self._not_yet(arrived_at)
            if reason:
                return web.Response(status=503, text=f"{reason}\n", headers={"Retry-After": "1"})
            self._begun = True
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        async with self._room:
            shards = await self._read(arrived_at)
            body = await asyncio.to_thread(encode, ShardsCollector(self._registry, shards))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _not_yet(self, arrived_at: float) -> str:
        reasons = list(self._owning.waiting())
        if reasons:
            return "; ".join(reasons)
        try:
            shown = self._owning.shown(arrived_at)
        except QueueUnavailableError as error:
            return str(error)
        return "" if len(shown) == len(self._owning.shards) else "shards were taken a moment ago"

    async def _read(self, arrived_at: float) -> list[Shown]:
        """Read the shards that may be shown, and show them if that is still so after they were read.

        A value that was right when it was read is right for the scrape, which is stamped with an earlier time, however
        long the answer takes from then on.
        """
        until = arrived_at + WAIT_SECONDS
        while True:
            try:
                shards = self._owning.shown(arrived_at)
                read = await asyncio.to_thread(self._show, shards)
                still = self._owning.shown(arrived_at)
            except QueueUnavailableError as error:
                if self._clock() >= until:
                    self._metrics.hidden_scrapes.inc()
                    log.warning("scraped without shards", error=str(error))
                    return []
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return [shown for shown in read if still.get(shown.shard) is shards[shown.shard]]

    def _show(self, shards: Mapping[int, Held]) -> list[Shown]:
        gone, now = self._gone(), self._clock()
        return [
            Shown(
                shard=number,
                totals=held.metrics.totals(),
                counted=held.metrics.counted(),
                nodes={node: known_ns for node, known_ns in held.metrics.nodes().items() if node not in gone},
                watermark_ns=held.metrics.watermark_ns(gone),
                lag_records=max(self._ends.known.get(number, 0) - held.position, 0),
                state_seconds=now - held.written_at if held.written >= 0 else None,
                state_bytes=held.state_bytes,
            )
            for number, held in shards.items()
        ]
