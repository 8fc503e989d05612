"""The monitor as a service of one machine: what passes through the queue is shown once, over stops and faults."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from monitor import monitor
from pipeline.queue import open_producer
from pipeline.queue.sqlite import SqliteConsumer, SqliteOptions, SqliteProducer

Ask = Callable[..., Awaitable[tuple[int, str]]]
Running = Callable[..., AbstractAsyncContextManager[Ask]]
Found = dict[str, float]
Scraped = Callable[[Ask, Callable[[Found], bool]], Awaitable[Found]]


def lines_of(found: Found, app: str) -> float:
    """Over all label sets and shards."""
    return sum(value for name, value in found.items() if name.startswith(f"app_lines_total,{app},"))


async def test_what_passes_through_the_queue_is_shown(
    url: str, running: Running, scraped: Scraped, writer: Any
) -> None:
    producer = await open_producer(url)
    one, other = writer(), writer("shop")
    async with running(url) as ask:
        await producer.send(1, [one.pack(b"a", b"INFO b"), b"no pack", b"\x01no pack"])
        await producer.send(0, [other.pack(b"c")])
        found = await scraped(ask, lambda now: lines_of(now, "demo") + lines_of(now, "shop") == 3)
        assert (await ask("/healthz"))[0] == 200
        assert await ask("/readyz") == (200, '{"ready": true, "problems": {}}')
    assert found["monitor_records_total,1"] == 3
    assert found["monitor_undecodable_records_total,version,1"] == 1
    assert found["monitor_undecodable_records_total,content,1"] == 1
    assert found["monitor_node_heartbeat_seconds,n,1"] == pytest.approx((one.time_ns + 1000) / 1e9)
    assert found["queue_lag_records,logger,1"] == 3
    await producer.close()


async def test_a_monitor_goes_on_where_it_stopped_and_counts_nothing_twice(
    url: str, running: Running, scraped: Scraped, writer: Any
) -> None:
    producer = await open_producer(url)
    one = writer()
    for _ in range(3):
        record = one.pack(b"a", b"b")
        await producer.send(0, [record, record])
        async with running(url) as ask:
            found = await scraped(ask, lambda now: lines_of(now, "demo") == one.lines)
            assert found["monitor_records_total,0"] == one.lines
    await producer.close()


async def test_nothing_is_shown_before_everything_is_read_that_was_there_at_the_start(
    url: str, running: Running, writer: Any
) -> None:
    producer = await open_producer(url)
    one = writer()
    for _ in range(20):
        await producer.send(0, [one.pack(*[b"line"] * 50)])
    async with running(url) as ask:
        answers = [await ask("/metrics")]
        while answers[-1][0] == 503:
            answers.append(await ask("/metrics"))
    assert all("shard" in text or "group" in text for status, text in answers if status == 503)
    assert f'stream="stdout"}} {one.lines}.0\n' in answers[-1][1], "the first scrape that is answered has all of it"
    await producer.close()


async def test_positions_are_committed_only_when_the_state_of_them_is_written(
    url: str, running: Running, scraped: Scraped, writer: Any, tmp_path: Path
) -> None:
    producer = await open_producer(url)
    one = writer()
    async with running(url) as ask:
        await producer.send(0, [one.pack(b"a")])
        await scraped(ask, lambda now: now.get("queue_lag_records,monitor,0") == 0 and lines_of(now, "demo") == 1)
        folder = tmp_path / "store" / "monitor"
        shutil.rmtree(folder)
        folder.write_text("no folder")
        await producer.send(0, [one.pack(b"b")])
        failing = await scraped(ask, lambda now: now["monitor_state_failures_total,unwritten"] > 0)
        assert failing["queue_lag_records,monitor,0"] == 1
        assert lines_of(failing, "demo") == 2, "it goes on in memory"
        assert json.loads((await ask("/readyz"))[1])["problems"].keys() == {"store"}
        folder.unlink()
        await scraped(ask, lambda now: now["queue_lag_records,monitor,0"] == 0)
    async with running(url) as ask:
        await scraped(ask, lambda now: lines_of(now, "demo") == 2)
    await producer.close()


async def test_records_that_retention_took_first_are_counted(
    url: str, running: Running, scraped: Scraped, writer: Any
) -> None:
    options = SqliteOptions(path=Path(url.removeprefix("sqlite:///")), partitions=1, max_bytes=1_048_576)
    consumer = await SqliteConsumer.open(options, group=monitor.GROUP)
    producer = await SqliteProducer.open(options)
    one = writer()
    await producer.send(0, [one.pack(b"a")])
    async with running(f"{url}?partitions=1&max_bytes=1048576") as ask:
        await scraped(ask, lambda now: lines_of(now, "demo") == 1)
    for _ in range(5):
        await producer.send(0, [one.pack(b"b"), bytes(900_000)])
    async with asyncio.timeout(10):
        while (await consumer.starts())[0] < 9:  # noqa: ASYNC110 - the thread has no event to wait for
            await asyncio.sleep(0.01)
    async with running(f"{url}?partitions=1&max_bytes=1048576") as ask:
        found = await scraped(ask, lambda now: now.get("monitor_skipped_records_total,0", 0) > 0)
        assert found["monitor_skipped_records_total,0"] == 8
        assert lines_of(found, "demo") == 2
    await consumer.close()
    await producer.close()


async def test_a_queue_that_cannot_be_opened_is_waited_for(tmp_path: Path, running: Running) -> None:
    path = tmp_path / "queue.db"
    path.mkdir()
    async with running(f"sqlite:///{path}") as ask:
        await asyncio.sleep(0)
        path.rmdir()
        while (await ask("/readyz"))[0] != 200:  # noqa: ASYNC110 - the monitor tells nobody when it has found its queue
            await asyncio.sleep(0.01)
