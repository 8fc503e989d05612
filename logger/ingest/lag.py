"""How far behind the queue each shard is."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logger.ingest.shard import Shard
from pipeline.errors import QueueUnavailableError

EVERY_SECONDS: Final = 5.0
_NS: Final = 1_000_000_000


class LagCollector(Collector):
    """Lag of the shards that are owned, by the queue's ends as last heard.

    A queue does not tell the bytes between two offsets: they are estimated from the mean size of the records taken so
    far. Seconds are the age of the last record taken; 0 for a shard that has taken all there is.

    Args:
        shards: The shards that are owned.
        ends: Asks the queue for its ends.
    """

    def __init__(self, *, shards: Mapping[int, Shard], ends: Callable[[], Awaitable[Mapping[int, int]]]) -> None:
        self._shards = shards
        self._ask = ends
        self._ends: Mapping[int, int] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask for the ends every `EVERY_SECONDS` until `stopping` is set; a queue that is away is shown elsewhere."""
        while not stopping.is_set():
            with contextlib.suppress(QueueUnavailableError):
                self._ends = await self._ask()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await stopping.wait()

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The metrics, now."""
        records = GaugeMetricFamily("logger_lag_records", "Records in the queue and not taken.", labels=["shard"])
        size = GaugeMetricFamily("logger_lag_bytes", "Their bytes, estimated; absent while unknown.", labels=["shard"])
        age = GaugeMetricFamily("logger_lag_seconds", "Age of the last record taken.", labels=["shard"])
        now_ns = time.time_ns()
        for number, shard in list(self._shards.items()):
            if number not in self._ends:
                continue
            behind = max(self._ends[number] - shard.next_offset, 0)
            records.add_metric([str(number)], behind)
            if not behind:
                size.add_metric([str(number)], 0)
                age.add_metric([str(number)], 0)
            elif shard.last_time_ns:
                size.add_metric([str(number)], behind * shard.mean_bytes)
                age.add_metric([str(number)], max(now_ns - shard.last_time_ns, 0) / _NS)
        yield from (records, size, age)
