"""Shards that come, go and stay: what may be shown when, so that no counter ever seems to go down."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from monitor.shards.owning import NAMED_SETTLE_SECONDS, SETTLE_SECONDS
from pipeline.errors import FormatError, OffsetOutOfRangeError, QueueUnavailableError


async def test_a_shard_is_shown_once_it_is_read_to_the_end_of_when_it_was_taken(bench: Any, writer: Any) -> None:
    one = writer()
    bench.group.end[2] = 2
    await bench.assigned(2)
    bench.group.end[2] = 50
    bench.group.now += SETTLE_SECONDS
    bench.take(2, one.pack(b"a"))
    assert bench.shown() == []
    assert list(bench.owning.waiting()) == ["shard 2 is at 1 of 2"]
    bench.take(2, one.pack(b"b"))
    assert bench.shown() == [2]
    assert list(bench.owning.waiting()) == []


async def test_a_scrape_that_may_have_begun_before_a_former_owners_last_does_not_show_the_shard(bench: Any) -> None:
    arrived_at = bench.group.now
    await bench.assigned(2)
    bench.group.now += 60.0
    assert list(bench.owning.shown(arrived_at)) == []
    assert bench.shown() == [2]


async def test_nothing_is_shown_while_it_is_not_sure_what_is_owned(bench: Any) -> None:
    await bench.assigned(0, 1)
    bench.group.now += SETTLE_SECONDS
    bench.group.sure_until = bench.group.now + 5
    assert bench.shown() == [0, 1]
    bench.group.now += 5  # the process was stopped, or the brokers are away
    with pytest.raises(QueueUnavailableError):
        bench.shown()
    bench.group.sure_until = float("inf")
    bench.group.assign(0, kept=frozenset({0}))
    with pytest.raises(QueueUnavailableError):
        bench.shown()  # an assignment that was not looked at yet
    await bench.owning.follow()
    assert bench.shown() == [0]


async def test_what_nobody_else_had_meanwhile_stays_shown(bench: Any) -> None:
    await bench.assigned(0, 1)
    arrived_at = bench.group.now = bench.group.now + SETTLE_SECONDS
    bench.group.end = dict.fromkeys(range(4), 9)
    await bench.assigned(0, 3, kept=frozenset({0}))
    assert list(bench.owning.shown(arrived_at)) == [0]


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "passed over"])
async def test_what_another_may_have_had_is_shown_again_from_the_queues_end_on(bench: Any, seen: bool) -> None:
    await bench.assigned(0)
    bench.group.now += SETTLE_SECONDS
    assert bench.shown() == [0]
    bench.group.end[0] = 5
    if seen:
        await bench.assigned(0)  # an assignment after one without this member
    else:
        bench.group.assign(1)
        await bench.assigned(0, kept=frozenset())
    bench.group.now += SETTLE_SECONDS
    assert bench.shown() == []
    assert list(bench.owning.waiting()) == ["shard 0 is at 0 of 5"]


async def test_two_assignments_at_once_leave_nothing_as_it_was(bench: Any) -> None:
    await bench.assigned(0)
    bench.group.end[0] = 5
    bench.group.assign(1, 0, kept=frozenset({0}))
    await bench.assigned(0, kept=frozenset({0}))  # the one before was never looked at: who had it then is not known
    bench.group.now += SETTLE_SECONDS
    assert bench.shown() == []


async def test_a_state_that_is_further_than_memory_is_loaded(bench: Any, make_bench: Any, writer: Any) -> None:
    one, records = writer(), []
    records = [one.pack(b"a"), one.pack(b"b")]
    await bench.assigned(0)
    bench.take(0, records[0])
    other = make_bench()
    await other.assigned(0)
    for record in records:
        other.take(0, record)
    held = other.owning.shards[0]
    other.states.write(0, held.position, held.metrics.state())
    before = bench.owning.shards[0]
    await bench.assigned(0)
    assert bench.owning.shards[0] is not before
    assert bench.owning.shards[0].position == 2
    assert bench.owning.shards[0].metrics.counted().records == 2


async def test_a_store_that_is_away_keeps_what_is_in_memory_and_takes_nothing_new(bench: Any, tmp_path: Path) -> None:
    await bench.assigned(0)
    folder = tmp_path / "monitor"
    folder.rename(tmp_path / "away")
    folder.write_text("no folder")
    bench.group.assign(0, 1)
    before = bench.owning.shards[0]
    running = asyncio.ensure_future(bench.owning.run())
    async with asyncio.timeout(20):
        while "store" not in bench.health.problems():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert bench.owning.shards == {0: before}
    running.cancel()
    await asyncio.wait([running])


async def test_no_state_that_can_be_read_ends_the_service_and_one_that_can_is_taken(bench: Any) -> None:
    bench.states.write(0, 7, b"of another version")
    bench.group.assign(0)
    with pytest.raises(FormatError):
        await bench.owning.follow()
    older = bench.make(0, None)
    older.skip_to(5)
    bench.states.write(0, 5, older.state())
    await bench.owning.follow()
    assert bench.owning.shards[0].position == 5


async def test_a_first_shard_begins_where_the_queue_does(bench: Any) -> None:
    bench.group.start[3] = bench.group.end[3] = 40
    await bench.assigned(3)
    assert (bench.owning.shards[3].position, bench.owning.shards[3].metrics.counted().skipped_records) == (40, 0)


async def test_records_that_brokers_lost_after_they_were_counted_leave_the_count_and_no_state_beyond(
    bench: Any, writer: Any
) -> None:
    one = writer()
    bench.group.end[0] = 3
    await bench.assigned(0)
    for _ in range(3):
        bench.take(0, one.pack(b"a"))
    held = bench.owning.shards[0]
    bench.states.write(0, 3, held.metrics.state())
    await bench.owning.move(OffsetOutOfRangeError(0, 3, 0, 1), held)
    assert (held.position, held.metrics.counted().records, bench.states.newest_offset(0)) == (1, 3, -1)
    assert held.is_current


async def test_a_name_that_another_process_may_still_have_delays_the_first_show(make_bench: Any) -> None:
    bench = make_bench(named=True)
    await bench.assigned(0)
    bench.group.now += SETTLE_SECONDS
    assert bench.shown() == []
    bench.group.now += NAMED_SETTLE_SECONDS
    assert bench.shown() == [0]
    await bench.assigned(0, 1, kept=frozenset({0}))
    bench.group.now += SETTLE_SECONDS
    assert bench.shown() == [0, 1]
