"""The head: what is in memory, for how long, and how far it is complete."""

import asyncio
from typing import Any

import pytest

from logger.head import Head
from pipeline.cri import format_line, format_time

T0 = 1_790_000_000_123_456_781


@pytest.fixture
def batches(feed: Any, run: Any) -> list[Any]:
    """Four batches of one record each."""
    file = b"".join(format_line(format_time(T0 + at), 0, b"x" * 100) for at in range(4))
    size = len(file) // 4
    for at in range(4):
        feed.send(run.chunk(file, at * size, (at + 1) * size), heartbeat_ns=T0 + at)
    made: list[Any] = feed.batches
    return made


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_reader_gets_the_batches_after_its_position(batches: list[Any]) -> None:
    head = Head(limit_bytes=10**6)
    for batch in batches:
        head.append(batch)
    assert [batch.first_offset for batch in head.batches(3, 2)] == [2, 3]
    assert list(head.batches(3, 4)) == []
    assert list(head.batches(9, 0)) == []
    assert head.oldest(3) == 0
    assert head.oldest(9) is None
    assert head.ends() == {3: 4}


def test_a_position_in_the_middle_of_a_batch_parts_its_rows(feed: Any, run: Any) -> None:
    """As the last commit of the owner before leaves it, when this one has begun to read before it came through."""
    file = b"".join(format_line(format_time(T0 + at), 0, b"%d" % at) for at in range(6))
    ends = [0, *(at + 1 for at, byte in enumerate(file) if byte == 10)]
    records = [feed.record([run.chunk(file, ends[at], ends[at + 2])]) for at in (0, 2, 4)]
    (whole,) = feed.take(records)
    head = Head(limit_bytes=10**6)
    head.append(whole)
    assert list(head.batches(3, 0)) == [whole]
    for position in (1, 2):
        (part,) = head.batches(3, position)
        assert (part.first_offset, part.next_offset) == (position, 3)
        lines = [bytes(part.buffer[a:b]) for a, b in zip(part.starts, part.stops, strict=True)]
        assert lines == [b"%d" % at for at in range(2 * position, 6)]
        assert len(part.of_app("app")) == part.rows == 6 - 2 * position
        assert min(part.queue_offset) == position
    assert whole.rows == 6
    assert head.waiting() == {3: [whole]}


def test_committed_batches_stay_for_their_time(batches: list[Any]) -> None:
    clock = _Clock()
    head = Head(limit_bytes=10**6, keep_seconds=60, clock=clock)
    for batch in batches[:3]:
        head.append(batch)
    head.committed({3: 2})
    assert head.oldest(3) == 0
    assert [batch.first_offset for batch in head.waiting()[3]] == [2]
    clock.now = 60.0
    head.append(batches[3])
    assert head.oldest(3) == 2
    assert head.waiting_bytes == sum(batch.memory_bytes for batch in batches[2:])
    assert head.kept_bytes == 0


async def test_waiting_batches_take_the_room_of_committed_ones_and_then_all(batches: list[Any]) -> None:
    size = batches[0].memory_bytes
    head = Head(limit_bytes=2 * size)
    head.append(batches[0])
    await asyncio.wait_for(head.room(), 1)
    head.committed({3: 1})
    assert head.kept_bytes == size
    head.append(batches[1])
    assert head.oldest(3) == 0
    head.append(batches[2])
    assert head.oldest(3) == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(head.room(), 0.01)
    head.committed({3: 3})
    await asyncio.wait_for(head.room(), 1)


async def test_an_append_wakes_everyone_who_waits(batches: list[Any]) -> None:
    head = Head(limit_bytes=10**6)
    seen: list[int] = []

    async def follow() -> None:
        seen.append(await head.wait(head.changes))

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(follow())
        await asyncio.sleep(0)
        head.append(batches[0])
    assert seen == [1, 1, 1]
    assert await head.wait(0) == 1


def test_the_watermark_is_the_least_of_all_shards_and_nodes() -> None:
    head = Head(limit_bytes=1, shards=range(2), gone_nodes={"dead"})
    assert head.watermark() is None
    head.resume(0, 0, {"n1": 30, "n2": 20, "dead": 1})
    assert head.watermark() is None
    head.resume(1, 0, {"n1": 25})
    assert head.watermark("app") == 20
    assert head.node_heartbeats() == {"n1": 25, "n2": 20}


def test_a_node_whose_completeness_is_unknown_leaves_it_unknown() -> None:
    head = Head(limit_bytes=1)
    head.resume(0, 0, {"n1": 30, "n2": 0})
    assert head.watermark() is None


def test_heartbeats_move_the_watermark(batches: list[Any]) -> None:
    head = Head(limit_bytes=10**6)
    marks = []
    for batch in batches:
        head.append(batch)
        marks.append(head.watermark())
    assert marks == [T0, T0 + 1, T0 + 2, T0 + 3]


async def test_a_shard_that_is_dropped_leaves_no_rows_and_no_bytes_and_wakes_who_waits(batches: list[Any]) -> None:
    head = Head(limit_bytes=2 * batches[0].memory_bytes, shards=range(5))
    head.append(batches[0])
    head.committed({3: 1})
    head.append(batches[1])
    head.append(batches[2])
    seen = head.changes
    assert head.shards() == {3}
    head.drop(3)
    assert head.shards() == set()
    assert (head.waiting_bytes, head.kept_bytes) == (0, 0)
    assert list(head.batches(3, 0)) == []
    assert head.ends() == {}
    assert await asyncio.wait_for(head.wait(seen), 1) > seen
    await asyncio.wait_for(head.room(), 1)
    head.committed({3: 3})  # of a commit that was under way
    head.drop(3)
    head.resume(3, 3, {"n1": 7})
    assert head.ends() == {3: 3}
    assert head.shard_watermark(3) == 7


def test_the_watermark_of_a_shard_that_is_not_here_is_what_was_heard_of_it() -> None:
    head = Head(limit_bytes=1, shards=range(2), gone_nodes={"dead"})
    head.resume(0, 0, {"n1": 30})
    assert head.watermark() is None
    head.hear(1, {"n1": 20, "dead": 1})
    assert head.watermark() == 20
    head.hear(0, {"n1": 1})  # here, it is known better
    assert head.watermark() == 20
    head.resume(1, 0, {"n1": 25})
    assert head.watermark() == 25
    head.drop(1)
    assert head.watermark() is None


def test_a_shard_that_fills_the_budget_leaves_an_eighth_of_it_to_the_others(batches: list[Any]) -> None:
    size = batches[0].memory_bytes
    head = Head(limit_bytes=3 * size)
    for shard in (3, 4):
        head.resume(shard, 0, {})
    assert head.may_grow([3, 4]) == {3, 4}
    for batch in batches[:3]:
        head.append(batch)
    assert head.may_grow([3, 4]) == {4}
    head.committed({3: 2})
    assert head.may_grow([3, 4]) == {3, 4}


def test_what_waits_of_a_shard_that_was_dropped_takes_no_room(batches: list[Any]) -> None:
    head = Head(limit_bytes=2 * batches[0].memory_bytes)
    for batch in batches[:3]:
        head.append(batch)
    head.committed({3: 1})
    head.drop(3)
    assert (head.waiting_bytes, head.kept_bytes) == (0, 0)
    head.resume(3, 0, {})
    assert head.may_grow([3]) == {3}
