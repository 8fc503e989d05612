"""What /metrics says of the queue: lag, losses, and the alarm at half of the outage budget."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.queue import queue_collector
from pipeline.queue.sqlite import QueueCollector, SqliteOptions
from pipeline.queue.sqlite.append import Append, append
from pipeline.queue.sqlite.consumer import _commit
from pipeline.queue.sqlite.database import Database, open_database
from pipeline.queue.sqlite.lag import Lag, budget_ratio
from pipeline.queue.sqlite.retention import step

SECOND = 1_000_000_000
NOW = 5_000 * SECOND


@pytest.fixture
def options(tmp_path: Path) -> SqliteOptions:
    """Options of a queue with one group and two partitions."""
    return SqliteOptions(path=tmp_path / "queue.db", partitions=2, groups=("a",), max_bytes=1000, max_age_seconds=100)


@pytest.fixture
def database(options: SqliteOptions) -> Iterator[Database]:
    """The queue, open."""
    opened = open_database(options, durable=False)
    yield opened
    opened.close()


@pytest.fixture
def registry(options: SqliteOptions, monkeypatch: pytest.MonkeyPatch) -> Iterator[CollectorRegistry]:
    """A registry with the queue's collector, at the time NOW."""
    monkeypatch.setattr("pipeline.queue.sqlite.lag.time.time_ns", lambda: NOW)
    collector = QueueCollector(options)
    made = CollectorRegistry()
    made.register(collector)
    yield made
    collector.close()


def send(database: Database, partition: int, sizes: list[int], *, now_ns: int) -> None:
    with database.write() as connection:
        append(connection, [Append(partition, [b"x" * size for size in sizes])], now_ns=now_ns)


def test_lag_is_what_a_group_has_not_committed(database: Database, registry: CollectorRegistry) -> None:
    send(database, 1, [10, 20], now_ns=NOW - 9 * SECOND)
    send(database, 1, [30, 40], now_ns=NOW - 5 * SECOND)
    _commit(database, "a", {1: 2})
    labels = {"group": "a", "partition": "1"}
    assert registry.get_sample_value("queue_lag_records", labels) == 2
    assert registry.get_sample_value("queue_lag_bytes", labels) == 70
    assert registry.get_sample_value("queue_oldest_unread_age_seconds", labels) == 5
    assert registry.get_sample_value("queue_lag_records", {"group": "a", "partition": "0"}) == 0
    assert registry.get_sample_value("queue_oldest_unread_age_seconds", {"group": "a", "partition": "0"}) == 0
    _commit(database, "a", {1: 4})
    assert registry.get_sample_value("queue_lag_bytes", labels) == 0


@pytest.mark.parametrize(("size", "ratio", "alarm"), [(499, 0.499, 0), (500, 0.5, 1), (2000, 2.0, 1)])
def test_half_of_the_bytes_raise_the_alarm(
    database: Database, registry: CollectorRegistry, size: int, ratio: float, alarm: int
) -> None:
    send(database, 0, [size], now_ns=NOW)
    assert registry.get_sample_value("queue_budget_used_ratio") == ratio
    assert registry.get_sample_value("queue_budget_alarm") == alarm


def test_half_of_the_age_raises_the_alarm_too(database: Database, registry: CollectorRegistry) -> None:
    send(database, 0, [1], now_ns=NOW - 50 * SECOND)
    assert registry.get_sample_value("queue_budget_used_ratio") == 0.5
    assert registry.get_sample_value("queue_budget_alarm") == 1


def test_the_budget_is_used_by_the_slowest_group_of_each_partition() -> None:
    lags = [Lag("a", 0, 1, 300, 0), Lag("b", 0, 1, 200, 0), Lag("b", 1, 1, 100, 0)]
    assert budget_ratio(lags, SqliteOptions(path=Path("q.db"), max_bytes=1000), now_ns=NOW) == 0.4


def test_losses_are_shown_by_group(options: SqliteOptions, database: Database, registry: CollectorRegistry) -> None:
    send(database, 0, [600, 600, 600], now_ns=NOW)
    while step(database, options, now_ns=NOW, step_bytes=1):
        pass
    assert registry.get_sample_value("queue_lost_records_total", {"group": "a", "partition": "0"}) == 2
    assert registry.get_sample_value("queue_lost_bytes_total", {"group": "a", "partition": "0"}) == 1200


def test_a_queue_without_groups_has_a_lag_all_the_same(tmp_path: Path) -> None:
    options = SqliteOptions(path=tmp_path / "queue.db", groups=())
    database = open_database(options, durable=False)
    send(database, 0, [7], now_ns=NOW)
    collector = QueueCollector(options)
    registry = CollectorRegistry()
    registry.register(collector)
    assert registry.get_sample_value("queue_lag_bytes", {"group": "", "partition": "0"}) == 7
    collector.close()
    database.close()


def test_a_queue_that_is_not_there_is_said_to_be_unreadable_and_not_made(
    options: SqliteOptions, registry: CollectorRegistry
) -> None:
    assert registry.get_sample_value("queue_readable") == 0
    assert generate_latest(registry).count(b"\nqueue_") == 1
    assert not options.path.exists()
    open_database(options, durable=False).close()
    assert registry.get_sample_value("queue_readable") == 1


def test_registering_reads_nothing(tmp_path: Path) -> None:
    CollectorRegistry().register(queue_collector(f"sqlite:///{tmp_path}/queue.db"))
    assert list(tmp_path.iterdir()) == []
