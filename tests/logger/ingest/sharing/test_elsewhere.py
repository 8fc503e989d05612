"""What is known of shards that other loggers own, and how far behind the own ones are."""

import asyncio
from typing import Any

from logger.ingest.elsewhere import Elsewhere
from logger.ingest.lag import LagCollector
from logger.settings import LoggerSettings

T0 = 1_790_000_000_000_000_000


async def test_the_watermark_covers_shards_of_other_loggers_as_far_as_they_are_committed(site: Any) -> None:
    async with site.logger(0) as one, site.logger(1, 2) as other:
        elsewhere = Elsewhere(table=one.table.table, head=one.head, shards=range(site.partitions))
        for shard in range(site.partitions):
            await site.send(shard, 0, 10, heartbeat_ns=T0 + shard)
        await site.until(lambda: one.rows(0) == other.rows(1) == other.rows(2) == 10)
        await elsewhere.look()
        assert one.head.watermark() is None  # nothing of it is durable yet
        other.stopping.set()
        await site.until(lambda: other.count("logger_commits_total") == 1)
        await elsewhere.look()
        assert one.head.shard_watermark(2) == T0 + 2
        assert one.head.watermark() == T0
        one.head.resume(2, 9, {})
        await elsewhere.look()
        one.head.drop(2)
        await elsewhere.look()  # what it says is no news, but has to be heard again
        assert one.head.shard_watermark(2) == T0 + 2
        one.stopping.set()


async def test_lag_is_what_the_queue_has_and_the_shard_has_not(site: Any) -> None:
    async with site.logger(0) as logger:
        lag = LagCollector(shards=logger.ingest.owned.shards, ends=logger.member.ends)
        logger.registry.register(lag)
        stopping = asyncio.Event()
        stopping.set()
        await site.send(0, 0, 10)
        await site.until(lambda: logger.rows(0) == 10)
        logger.member.assign()  # it is not fetched any more, but still shown: the test holds on to it
        shard = logger.ingest.owned.shards[0]
        lag._shards, lag._ends = {0: shard}, {0: 3}
        assert logger.count("logger_lag_records", shard="0") == 2
        assert logger.count("logger_lag_bytes", shard="0") == 2 * shard.mean_bytes > 0
        assert 0 < logger.count("logger_lag_seconds", shard="0") < 60
        lag._ends = {0: 1}
        assert logger.count("logger_lag_records", shard="0") == logger.count("logger_lag_seconds", shard="0") == 0


async def test_a_logger_that_is_alone_asks_only_for_its_own_group(site: Any) -> None:
    settings = LoggerSettings(listen="127.0.0.1:9", url="http://other:8088/")
    assert settings.own_url == "http://other:8088"
    assert LoggerSettings(listen="127.0.0.1:9").own_url == "http://127.0.0.1:9"
