"""What an operator does by hand, beside a logger that runs or without one."""

import asyncio
from typing import Any

import pytest
import zstandard

from logger import commands
from logger.settings import LoggerSettings
from logger.table.writer import IngestTable
from pipeline.errors import FatalError
from pipeline.pack import encode_pack
from pipeline.queue import open_consumer

T0 = 1_790_000_000_000_000_000


async def test_a_position_that_the_queue_lost_stops_one_shard_until_an_operator_skips_it(site: Any) -> None:
    await site.send(0, 0, 5)
    await site.send(1, 0, 5)
    async with site.logger(0, 1) as logger:
        await site.until(lambda: logger.rows(0) == logger.rows(1) == 5)
        logger.member.gone_before = {0: 3}
        await site.until(lambda: 0 in logger.ingest.owned.blocked)
        for low in (5, 10, 15):
            await site.send(0, low, low + 5)
        await site.send(1, 5, 10)
        await site.until(lambda: "python -m logger skip" in logger.health.problems().get("shards", ""))
        assert logger.count("logger_blocked_records", shard="0") == 2
        await site.until(lambda: logger.rows(1) == 10)
        # What was read before is not lost with the position.
        await logger.ingest._flush.flush(logger.stopping)
        assert site.stored() == site.messages((0, 0, 5), (1, 0, 10))
        table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
        told = await asyncio.to_thread(commands._skip, table, 0, 3, 4)
        assert "2 records are lost, from 1 on; it goes on at 3" in told
        await site.until(lambda: logger.rows(0) == 5 and logger.head.ends()[0] == 4)
        assert logger.count("logger_lost_records_total") == 2
        assert logger.count("logger_gap_bytes_total") == site.ends[0][15] - site.ends[0][5]
        await site.until(lambda: not logger.health.problems())
        logger.stopping.set()
    assert site.stored() == site.messages((0, 0, 5), (0, 15, 20), (1, 0, 10))


async def test_skip_refuses_what_is_no_loss(site: Any) -> None:
    await site.send(0, 0, 5)
    async with site.logger(0) as logger:
        await site.until(lambda: logger.rows(0) == 5)
        logger.stopping.set()
    settings = LoggerSettings(queue_url=site.url, store_url=site.store_url)
    assert "nothing to skip" in await commands.skip(settings, 0)
    assert "no position yet" in await commands.skip(settings, 1)
    with pytest.raises(FatalError, match="shards 0 to 2"):
        await commands.skip(settings, 3)
    table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
    with pytest.raises(FatalError, match="needs a new topic"):
        await asyncio.to_thread(commands._skip, table, 0, 0, 0)


async def test_replay_sends_what_can_be_read_now_and_leaves_the_rest(site: Any) -> None:
    folder = site.folder / "letters"
    folder.mkdir()
    good = encode_pack([], node="n1", heartbeat_ns=T0, compressor=zstandard.ZstdCompressor())
    (folder / "1-7.record").write_bytes(good)
    (folder / "2-9.record").write_bytes(b"rubbish")
    settings = LoggerSettings(queue_url=site.url, dead_letters=str(folder))
    assert "1 records sent back into the queue; 1 cannot" in await commands.replay(settings)
    assert [path.name for path in folder.iterdir()] == ["2-9.record"]
    consumer = await open_consumer(site.url, group="logger")
    assert await consumer.ends() == {0: 0, 1: 1, 2: 0}
    await consumer.close()
