"""The monitor reads the queue, counts what passes, says so on /metrics, and goes on where it stopped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import zstandard
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor import monitor
from monitor.exposition import TallyCollector
from monitor.settings import MonitorSettings
from monitor.tally import OVERFLOW, SharedTally, Tally
from pipeline.chunk import Chunk, Origin
from pipeline.pack import PackBody, decode_pack, encode_pack
from pipeline.queue import open_producer
from pipeline.queue.sqlite import SqliteConsumer, SqliteOptions, SqliteProducer
from pipeline.service import Health

SECOND = 1_000_000_000
Samples = dict[str, float]


def pack(app: str = "demo", data: bytes = b"a\nb\n", *, node: str = "n", heartbeat_ns: int = 0) -> bytes:
    chunk = Chunk(Origin(node, app, "pod", "uid", "c", 0, app), b"s" * 16, 0, 0, len(data), 0, data)
    return encode_pack([chunk], node=node, heartbeat_ns=heartbeat_ns, compressor=zstandard.ZstdCompressor())


def body(app: str = "demo", data: bytes = b"a\nb\n", *, node: str = "n", heartbeat_ns: int = 0) -> PackBody:
    record = pack(app, data, node=node, heartbeat_ns=heartbeat_ns)
    return decode_pack(record, decompressor=zstandard.ZstdDecompressor())


def samples(text: str) -> Samples:
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_apps_beyond_the_bound_are_counted_together_and_nothing_is_missing() -> None:
    tally = Tally(apps_limit=2)
    for app in ("a", "b", "c", "d", "a", "c"):
        tally.add_pack(0, body(app, b"line\n"))
    assert {app: traffic.lines for app, traffic in tally.apps.items()} == {"a": 2, "b": 1, OVERFLOW: 3}
    assert sum(traffic.bytes for traffic in tally.apps.values()) == 6 * 5


def test_the_watermark_of_a_shard_is_that_of_its_slowest_node() -> None:
    tally = Tally(apps_limit=1)
    assert tally.watermark_ns(0) is None
    for node, heartbeat_ns in (("a", 50), ("b", 30), ("b", 20), ("a", 60)):
        tally.add_pack(0, body(node=node, heartbeat_ns=heartbeat_ns))
    assert (tally.watermark_ns(0), tally.watermark_ns(1)) == (30, None)


def test_heartbeats_of_too_many_nodes_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.tally.NODES", 2)
    tally = Tally(apps_limit=1)
    for node in ("a", "b", "c", "a"):
        tally.add_pack(0, body(node=node, heartbeat_ns=5))
    assert (set(tally.heartbeats[0]), tally.nodes_ignored) == ({"a", "b"}, 1)


def test_a_scrape_shows_a_copy() -> None:
    shared = SharedTally(Tally(apps_limit=1))
    before = shared.snapshot()
    with shared.change() as tally:
        tally.add_pack(0, body())
    assert (before.apps, shared.snapshot().apps["demo"].lines) == ({}, 2)


def test_metrics_have_their_names_and_labels() -> None:
    tally = Tally(apps_limit=5)
    tally.add_record(1, 99)
    tally.add_pack(1, body(node="n", heartbeat_ns=7 * SECOND))
    registry = CollectorRegistry()
    registry.register(TallyCollector(lambda: tally))
    for name, labels, value in (
        ("monitor_app_lines_total", {"app": "demo"}, 2),
        ("monitor_app_bytes_total", {"app": "demo"}, 4),
        ("monitor_lines_total", {}, 2),
        ("monitor_bytes_total", {}, 4),
        ("monitor_records_total", {"shard": "1"}, 1),
        ("monitor_record_bytes_total", {"shard": "1"}, 99),
        ("monitor_watermark_seconds", {"shard": "1"}, 7),
        ("monitor_node_heartbeat_seconds", {"node": "n"}, 7),
    ):
        assert registry.get_sample_value(name, labels) == value, name


@pytest.fixture
def url(tmp_path: Path) -> str:
    """URL of a queue that is not there yet."""
    return f"sqlite:///{tmp_path}/queue.db"


@asynccontextmanager
async def running(url: str, port: int) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    """A monitor that runs inside the block; yields how to ask it."""
    settings = MonitorSettings(queue_url=url, listen=f"127.0.0.1:{port}", commit_seconds=0.05)
    stopping = asyncio.Event()
    async with asyncio.timeout(20), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        group.create_task(monitor.run(settings, stopping), name="monitor")

        async def ask(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        try:
            yield ask
        finally:
            stopping.set()


async def eventually(ask: Callable[[str], Awaitable[tuple[int, str]]], name: str, value: float) -> Samples:
    """The samples of /metrics once `name` has `value`; the test's own bound ends the wait."""
    while True:
        try:
            found = samples((await ask("/metrics"))[1])
            if found.get(name) == value:
                return found
        except aiohttp.ClientConnectorError:
            pass  # not listening yet
        await asyncio.sleep(0.01)


async def test_what_passes_through_the_queue_is_shown(url: str, unused_port: int) -> None:
    producer = await open_producer(url)
    async with running(url, unused_port) as ask:
        await producer.send(1, [pack(heartbeat_ns=5 * SECOND), b"no pack", b"\x01no pack"])
        await producer.send(0, [pack("shop")])
        found = await eventually(ask, "monitor_lines_total", 4)
        assert (await ask("/healthz"))[0] == 200
        assert await ask("/readyz") == (200, '{"ready": true, "problems": {}}')
    assert found["monitor_app_bytes_total,shop"] == 4
    assert found["monitor_watermark_seconds,1"] == 5
    assert (found["monitor_undecodable_records_total,version"], found["monitor_undecodable_records_total,content"]) == (
        1,
        1,
    )
    assert found["queue_lag_records,logger,1"] == 3
    await producer.close()


async def test_a_monitor_goes_on_where_it_stopped(url: str, unused_port: int) -> None:
    producer = await open_producer(url)
    async with running(url, unused_port) as ask:
        await producer.send(0, [pack(), pack()])
        await eventually(ask, "monitor_records_total,0", 2)
    await producer.send(0, [pack("later")])
    async with running(url, unused_port) as ask:
        found = await eventually(ask, "monitor_app_lines_total,later", 2)
    assert found["monitor_records_total,0"] == 1
    await producer.close()


async def test_records_that_retention_took_first_are_counted(url: str) -> None:
    options = SqliteOptions(path=Path(url.removeprefix("sqlite:///")), partitions=1, max_bytes=1_000_000)
    consumer = await SqliteConsumer.open(options, group=monitor.GROUP)
    producer = await SqliteProducer.open(options)
    for _ in range(5):
        await producer.send(0, [pack(), bytes(900_000)])
    async with asyncio.timeout(10):
        while (await consumer.starts())[0] < 8:  # noqa: ASYNC110 - the thread has no event to wait for
            await asyncio.sleep(0.01)
    shared, positions = SharedTally(Tally(apps_limit=1)), {0: 2}
    reader = monitor.Reader(shared, Health(), MonitorSettings(queue_url=url))
    assert await reader._fetch(consumer, positions) == []
    assert (positions, shared.snapshot().skipped_records) == ({0: 8}, {0: 6})
    assert len(await reader._fetch(consumer, positions)) == 2
    await consumer.close()
    await producer.close()


async def test_a_queue_that_cannot_be_opened_is_told_and_tried_again(tmp_path: Path, unused_port: int) -> None:
    path = tmp_path / "queue.db"
    path.mkdir()
    async with running(f"sqlite:///{path}", unused_port) as ask:
        found = await eventually(ask, "queue_readable", 0)
        assert found["queue_readable"] == 0
        status, text = await ask("/readyz")
        assert status == 503
        assert "unable to open" in text
        path.rmdir()
        await eventually(ask, "queue_readable", 1)
        while (await ask("/readyz"))[0] != 200:  # noqa: ASYNC110 - the monitor tells nobody when it has found its queue
            await asyncio.sleep(0.01)
