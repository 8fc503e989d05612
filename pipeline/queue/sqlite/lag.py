"""What /metrics shows of the queue: lag of every group, losses, and how much of the outage budget is used."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import PipelineError
from pipeline.queue.sqlite.database import Bounds, Database, bounds, key, open_database, translated
from pipeline.queue.sqlite.options import SqliteOptions
from pipeline.queue.sqlite.retention import NOBODY, positions

ALARM_RATIO: Final = 0.5
"""Half of the outage budget used is the time to call somebody."""

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Loss:
    """Records deleted before a group had committed them."""

    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Lag:
    """What one group has not committed of one partition.

    Attributes:
        group: The consumer group; empty when none is registered.
        partition: The partition.
        records: Records kept and not committed.
        bytes: Their bytes.
        oldest_ns: When the oldest of them was taken, nanoseconds since the epoch; 0 when there is none.
    """

    group: str
    partition: int
    records: int
    bytes: int
    oldest_ns: int


def read_losses(connection: sqlite3.Connection) -> dict[tuple[str, int], Loss]:
    """Losses by (group, partition) since the queue was made."""
    rows = connection.execute("SELECT consumer, partition, records, bytes FROM losses")
    return {(group, partition): Loss(records, size) for group, partition, records, size in rows}


def read_lags(connection: sqlite3.Connection) -> list[Lag]:
    """Lag of every registered group in every partition."""
    groups: Mapping[str, Mapping[int, int]] = positions(connection) or {NOBODY: {}}
    parts = bounds(connection)
    return [
        _lag(connection, group, part, at.get(part.partition, 0))
        for group, at in groups.items()
        for part in parts.values()
    ]


def _lag(connection: sqlite3.Connection, group: str, part: Bounds, position: int) -> Lag:
    first = max(position, part.start)
    if first >= part.next:
        return Lag(group, part.partition, 0, 0, 0)
    time_ns, end_bytes, size = connection.execute(
        "SELECT time_ns, end_bytes, length(value) FROM records WHERE key = ?", (key(part.partition, first),)
    ).fetchone()
    return Lag(group, part.partition, part.next - first, part.next_bytes - end_bytes + size, time_ns)


def budget_ratio(lags: list[Lag], options: SqliteOptions, *, now_ns: int) -> float:
    """Used part of the outage budget: of its bytes or of its age, whichever is more; 1 and above means loss."""
    unread: dict[int, int] = {}
    for lag in lags:
        unread[lag.partition] = max(unread.get(lag.partition, 0), lag.bytes)
    age_ns = max((now_ns - lag.oldest_ns for lag in lags if lag.oldest_ns), default=0)
    return max(sum(unread.values()) / options.max_bytes, age_ns / _NS / options.max_age_seconds, 0.0)


class QueueCollector(Collector):
    """Reads the queue at each scrape, over a connection of its own. Blocking: scrape it in a thread.

    `queue_readable` is 0 and nothing else is shown while the queue cannot be read.
    """

    def __init__(self, options: SqliteOptions) -> None:
        self._options = options
        self._database: Database | None = None
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the queue."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        with self._lock:
            try:
                with translated(self._options.path):
                    lags, losses = self._read()
            except PipelineError:
                self.close()
                yield GaugeMetricFamily("queue_readable", "Whether the queue could be read at this scrape.", 0)
                return
        yield GaugeMetricFamily("queue_readable", "Whether the queue could be read at this scrape.", 1)
        yield from _families(lags, losses, self._options, now_ns=time.time_ns())

    def close(self) -> None:
        """Close the connection; the next scrape opens another."""
        if self._database is not None:
            with contextlib.suppress(PipelineError), translated(self._options.path):
                self._database.close()
            self._database = None

    def _read(self) -> tuple[list[Lag], dict[tuple[str, int], Loss]]:
        if self._database is None:
            self._options.path.stat()  # a scrape makes no queue
            self._database = open_database(self._options, durable=False)
        self._database.check_in_place()
        with self._database.read() as connection:
            return read_lags(connection), read_losses(connection)


def _families(
    lags: list[Lag], losses: Mapping[tuple[str, int], Loss], options: SqliteOptions, *, now_ns: int
) -> Iterator[Metric]:
    labels = ["group", "partition"]
    records = GaugeMetricFamily("queue_lag_records", "Records that a group has not committed.", labels=labels)
    size = GaugeMetricFamily("queue_lag_bytes", "Bytes that a group has not committed.", labels=labels)
    age = GaugeMetricFamily(
        "queue_oldest_unread_age_seconds", "Age of the oldest record that a group has not committed.", labels=labels
    )
    for lag in lags:
        names = [lag.group, str(lag.partition)]
        records.add_metric(names, lag.records)
        size.add_metric(names, lag.bytes)
        age.add_metric(names, max(0, now_ns - lag.oldest_ns) / _NS if lag.oldest_ns else 0)
    lost_records = CounterMetricFamily(
        "queue_lost_records", "Records deleted unread, beyond the outage budget.", labels=labels
    )
    lost_bytes = CounterMetricFamily(
        "queue_lost_bytes", "Bytes deleted unread, beyond the outage budget.", labels=labels
    )
    for (group, partition), loss in losses.items():
        lost_records.add_metric([group, str(partition)], loss.records)
        lost_bytes.add_metric([group, str(partition)], loss.bytes)
    ratio = budget_ratio(lags, options, now_ns=now_ns)
    yield from (records, size, age, lost_records, lost_bytes)
    yield GaugeMetricFamily(
        "queue_budget_used_ratio", "Used part of the outage budget; beyond 1 records are lost.", ratio
    )
    yield GaugeMetricFamily(
        "queue_budget_alarm", "1 when half of the outage budget is used.", float(ratio >= ALARM_RATIO)
    )
