"""Records that are no packs: aside in a topic of their own, once each, and back into the queue by command."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from logger import aggregator, commands
from logger.ingest.deadtopic import DeadLetter, dead_letters_url, decode_letter, encode_letters
from logger.settings import LoggerSettings
from logger.table.reader import TableReader
from pipeline.chunk import Chunk, Origin
from pipeline.cri import format_line, format_time
from pipeline.errors import StoreUnavailableError
from pipeline.limits import PACK_BYTES
from pipeline.pack import encode_pack
from pipeline.queue import Record, open_consumer, open_producer

pytestmark = [pytest.mark.real, pytest.mark.slow]

T0 = 1_790_000_000_000_000_000


def a_pack(uid: str) -> bytes:
    """A pack with one line."""
    data = format_line(format_time(T0), 0, uid.encode())
    origin = Origin("n1", "ns", "app-web", uid, "web", 0, "app", "web", "v1")
    chunk = Chunk(origin, hashlib.blake2b(uid.encode(), digest_size=16).digest(), 0, 0, len(data), 0, data)
    return encode_pack([chunk], node="n1", compressor=zstandard.ZstdCompressor())


async def letters(url: str) -> list[DeadLetter]:
    """All letters of the queue `url`, by partition and offset in their topic."""
    consumer = await open_consumer(dead_letters_url(url), group="test")
    try:
        positions, ends = await consumer.starts(), await consumer.ends()
        found = []
        async with asyncio.timeout(30):
            while positions != ends:
                for record in await consumer.fetch(positions, max_bytes=10**7, wait_seconds=0.5):
                    positions[record.partition] = record.offset + 1
                    found.append(decode_letter(record.value))
        return sorted(found, key=lambda letter: (letter.partition, letter.offset, letter.piece))
    finally:
        await consumer.close()


@contextlib.asynccontextmanager
async def a_logger(url: str, folder: Path) -> AsyncIterator[Callable[[], int]]:
    """A logger inside the block; yields what counts the rows in its table."""
    settings = LoggerSettings(
        queue_url=url, store_url=str(folder / "store"), listen="127.0.0.1:0", flush_seconds=0.2, cache=str(folder / "c")
    )
    stopping = asyncio.Event()

    def rows() -> int:
        with contextlib.suppress(StoreUnavailableError):
            snapshot = TableReader.open(settings.store_url, queue_id="").snapshot
            return sum(entry.rows for entry in snapshot.files.values())
        return -1

    async with asyncio.TaskGroup() as group:
        group.create_task(aggregator.run(settings, stopping))
        yield rows
        stopping.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the table signals nothing
            await asyncio.sleep(0.05)


async def test_bad_records_are_kept_aside_once_each_and_the_rest_goes_on(a_queue: Any, tmp_path: Path) -> None:
    producer = await a_queue.producer()
    huge = b"\x00" * PACK_BYTES
    for partition in (0, 1):
        await producer.send(partition, [b"rubbish", a_pack(f"u{partition}"), huge, b"\x01more"])
    await producer.send(2, [a_pack("u2")])
    async with a_logger(a_queue.url, tmp_path / "first") as rows:
        await until(lambda: rows() == 3)
    kept = await letters(a_queue.url)
    assert [(one.partition, one.offset, one.piece) for one in kept] == [
        (partition, *place) for partition in (0, 1) for place in ((0, 0), (2, 0), (2, 1), (3, 0))
    ]
    assert {one.queue_id for one in kept} == {producer.queue_id}
    assert b"".join(one.value for one in kept if (one.partition, one.offset) == (1, 2)) == huge
    assert all(one.reason.startswith("not a pack") for one in kept)
    # Another table: everything is read again from the start, as after a crash before the first commit.
    await producer.send(1, [b"news"])
    async with a_logger(a_queue.url, tmp_path / "second") as rows:
        await until(lambda: rows() == 3)
    assert [(one.partition, one.offset) for one in (await letters(a_queue.url))[len(kept) :]] == [(1, 4)]


async def test_replay_sends_letters_back_that_can_be_read_now_each_once(a_queue: Any, tmp_path: Path) -> None:
    producer = await a_queue.producer()
    good, bad = Record(1, 3, a_pack("u1"), T0), Record(1, 4, b"rubbish", T0)
    aside = await open_producer(dead_letters_url(a_queue.url))
    for record in (good, bad, good):
        await aside.send(1, encode_letters(record, "an older version could not", queue_id=producer.queue_id))
    await aside.send(0, [b"no letter"])
    await aside.close()
    settings = LoggerSettings(queue_url=a_queue.url)
    assert "1 records sent back into the queue; 1 cannot be read" in await commands.replay(settings)
    consumer = await a_queue.consumer()
    assert (await consumer.ends())[1] == 1
    assert (await consumer.fetch({1: 0}, max_bytes=1000, wait_seconds=5))[0].value == good.value
