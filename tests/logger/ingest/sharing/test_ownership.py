"""Several loggers over one queue and one table: shards come and go, and no row is lost or there twice."""

import asyncio
from typing import Any

import pytest
import zstandard

from logger.ingest.deadletters import DeadLetters
from logger.ingest.shard import Shard
from logger.parts import flush_parts
from logger.table.writer import IngestTable
from pipeline.errors import FatalError, QueueUnavailableError
from pipeline.lines.resume import ShardState, encode_state
from pipeline.pack import encode_pack
from pipeline.queue import Record

T0 = 1_790_000_000_000_000_000


async def test_only_what_is_assigned_is_read_and_what_is_gone_is_dropped_uncommitted(site: Any) -> None:
    for shard in range(site.partitions):
        await site.send(shard, 0, 10)
    async with site.logger(0, 1) as logger:
        await site.until(lambda: logger.rows(0) == logger.rows(1) == 10)
        logger.member.assign(1, 2)
        await site.until(logger.begun(1, 2))
        await site.until(lambda: logger.rows(2) == 10)
        assert logger.rows(0) == 0
        assert logger.head.waiting_bytes == sum(b.memory_bytes for of in logger.head.waiting().values() for b in of)
        logger.stopping.set()
    assert site.stored() == site.messages((1, 0, 10), (2, 0, 10))
    assert logger.member.committed_positions == {1: 1, 2: 1}
    async with site.logger(0) as other:
        await site.until(lambda: other.rows(0) == 10)
        other.stopping.set()
    assert site.stored() == site.messages(*((shard, 0, 10) for shard in range(site.partitions)))


async def test_a_shard_that_another_has_committed_is_dropped_and_the_rest_of_the_commit_stands(site: Any) -> None:
    await site.send(0, 0, 10)
    await site.send(1, 0, 10)
    async with site.logger(0, 1) as frozen:
        await site.until(lambda: frozen.rows(0) == frozen.rows(1) == 10)
        async with site.logger(0) as owner:
            await site.until(lambda: owner.rows(0) == 10)
            await site.send(0, 10, 20)
            await site.until(lambda: owner.rows(0) == 20)
            owner.stopping.set()
        assert site.stored() == site.messages((0, 0, 20))
        # It still believes in its old assignment; what it holds of shard 0 must not be committed.
        frozen.stopping.set()
    assert frozen.count("logger_fenced_total") == 1
    assert site.stored() == site.messages((0, 0, 20), (1, 0, 10))


async def test_a_fenced_shard_that_is_still_assigned_is_taken_again_from_the_table(site: Any) -> None:
    await site.send(0, 0, 10)
    async with site.logger(0, flush_seconds=0.05) as frozen:
        await site.until(lambda: frozen.count("logger_commits_total") == 1)
        frozen.table.go.clear()
        frozen.table.held.clear()
        await site.send(0, 10, 20)
        await site.until(frozen.table.held.is_set)  # it is about to commit these lines
        async with site.logger(0) as owner:
            await site.until(lambda: owner.rows(0) == 10)
            await site.send(0, 20, 25)
            await site.until(lambda: owner.rows(0) == 15)
            owner.stopping.set()
        frozen.table.go.set()
        await site.until(lambda: frozen.count("logger_fenced_total") == 1)
        await site.until(frozen.begun(0))
        await site.send(0, 25, 30)
        await site.until(lambda: frozen.count("logger_commits_total") == 2)
        frozen.stopping.set()
    assert site.stored() == site.messages((0, 0, 30))


async def test_files_of_a_commit_that_was_fenced_are_not_used_for_a_later_one_to_the_same_position(site: Any) -> None:
    async with site.logger(0) as frozen:
        await site.send(0, 0, 10)
        await site.until(lambda: frozen.rows(0) == 10)
        first = flush_parts(list(frozen.head.batches(0, 0)))
        state = encode_state(frozen.ingest.owned.shards[0].state())
        await site.send(0, 10, 20)
        await site.until(lambda: frozen.rows(0) == 20)
        other = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
        await asyncio.to_thread(lambda: other.commit(parts=first, positions={0: 1}, states={0: state}))
        await frozen.ingest._flush.flush(frozen.stopping)
        assert frozen.count("logger_fenced_total") == 1
        await site.until(lambda: frozen.rows(0) == 10)  # the second record, which is now read for the second time
        frozen.stopping.set()
    assert site.stored() == site.messages((0, 0, 20))


async def test_a_shard_that_goes_and_comes_back_during_a_commit_is_loaded_after_it(site: Any) -> None:
    await site.send(0, 0, 10)
    async with site.logger(0) as logger:
        await site.until(lambda: logger.rows(0) == 10)
        logger.table.go.clear()
        flush = asyncio.ensure_future(logger.ingest._flush.flush(logger.stopping))
        await site.until(logger.table.held.is_set)
        logger.member.assign()
        await site.until(logger.begun())
        logger.member.assign(0)
        await asyncio.sleep(0.2)  # time enough to load it from the version before the commit
        assert logger.begun()()
        logger.table.go.set()
        await flush
        assert logger.member.committed_positions == {}  # it was not ours to tell when that commit was done
        await site.until(logger.begun(0))
        assert logger.head.ends() == {0: 1}
        await site.send(0, 10, 20)
        await site.until(lambda: logger.rows(0) == 10)
        logger.stopping.set()
    assert logger.count("logger_fenced_total") == 0
    assert site.stored() == site.messages((0, 0, 20))


async def test_records_fetched_before_a_shard_was_taken_anew_are_not_taken(site: Any) -> None:
    await site.send(0, 0, 10)
    async with site.logger(0) as logger:
        await site.until(lambda: logger.rows(0) == 10)
        old = logger.ingest.owned.shards[0]
        logger.member.assign()
        await site.until(logger.begun())
        await site.send(0, 10, 20)
        records = await logger.member._consumer.fetch({0: 1}, max_bytes=1000, wait_seconds=5)
        assert records[0].offset == old.next_offset
        logger.member.assign(0)
        await site.until(logger.begun(0))
        await site.until(lambda: logger.rows(0) == 20)
        await logger.ingest._take(old, 0, records)
        assert logger.rows(0) == 20
        logger.stopping.set()
    assert site.stored() == site.messages((0, 0, 20))


async def test_nothing_is_committed_in_the_name_of_a_queue_that_was_replaced(site: Any) -> None:
    async def replaced() -> None:
        raise FatalError("the topic was deleted")

    async def run() -> None:
        async with site.logger(0) as logger:
            await site.until(lambda: logger.rows(0) == 10)
            logger.member.check = replaced
            logger.stopping.set()

    await site.send(0, 0, 10)
    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(FatalError, match="was deleted")
    assert site.stored() == []


async def test_a_commit_does_not_wait_for_a_queue_that_does_not_say_whether_it_is_the_same(site: Any) -> None:
    async def away() -> None:
        raise QueueUnavailableError("away")

    await site.send(0, 0, 10)
    async with site.logger(0) as logger:
        await site.until(lambda: logger.rows(0) == 10)
        logger.member.check = away
        logger.stopping.set()
    assert site.stored() == site.messages((0, 0, 10))


async def test_a_gap_that_another_queue_has_filled_since_is_closed_when_its_shard_is_taken(site: Any) -> None:
    async def stored_of(table_of: str, chunk: Any) -> None:
        """Commit a resume state to a queue's part of the table, as a logger does that has taken this chunk."""
        shard = Shard(0, ShardState(0), dead_letters=DeadLetters(site.folder / "none"), metrics=site.metrics())
        shard.take([Record(0, 0, encode_pack([chunk], node="n1", compressor=zstandard.ZstdCompressor()), T0)])
        table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=table_of)
        state = encode_state(shard.state())
        await asyncio.to_thread(lambda: table.commit(parts={}, positions={0: 1}, states={0: state}))

    await site.send(0, 10, 20)
    await stored_of(site.producer.queue_id, site.chunk(0, 10, 20))
    async with site.logger(0) as logger:
        assert logger.count("logger_open_gaps", shard="0") == 1
    await stored_of("another", site.chunk(0, 0, 10))
    async with site.logger(0) as logger:
        assert logger.count("logger_open_gaps", shard="0") == 0
