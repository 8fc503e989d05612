"""Consumer groups: partitions move between members, and no record comes before its owner asks for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from pipeline.errors import QueueUnavailableError
from pipeline.queue import Assignment, GroupConsumer, Producer, Record

pytestmark = [pytest.mark.real, pytest.mark.slow]

ALL = {0: 0, 1: 0, 2: 0, 3: 0}


class AQueue:
    """The fixture `a_queue`; see `conftest.OpenQueue`."""

    producer: Callable[[], Awaitable[Producer]]
    member: Callable[..., Awaitable[GroupConsumer]]


async def settled(*members: GroupConsumer) -> list[Assignment]:
    """Wait until the members share all partitions."""
    async with asyncio.timeout(30):
        while True:
            assignments = [member.assignment for member in members]
            owned = [partition for assignment in assignments for partition in assignment.partitions]
            if sorted(owned) == [0, 1, 2, 3] and all(assignment.partitions for assignment in assignments):
                return assignments
            for member in members:
                await member.fetch({}, max_bytes=1, wait_seconds=0.05)


async def test_a_member_knows_what_nobody_else_had_meanwhile_and_how_long_it_is_sure(a_queue: AQueue) -> None:
    one = await a_queue.member("one")
    assert one.sure_until < time.monotonic()
    async with asyncio.timeout(30):
        first = await one.changed(0)
        assert first.kept == frozenset(), "somebody may have had them before"
        while one.sure_until < time.monotonic():  # noqa: ASYNC110 - the next heartbeat tells nobody
            await asyncio.sleep(0.05)
    two = await a_queue.member("two")
    ours, theirs = await settled(one, two)
    assert ours.generation == 2
    assert ours.kept == ours.partitions
    assert theirs.kept == frozenset()
    await one.leave()
    assert one.sure_until < time.monotonic()
    alone = (await settled(two))[0]
    assert alone.kept == theirs.partitions


async def fetch_until(member: GroupConsumer, positions: dict[int, int], count: int) -> list[Record]:
    found: list[Record] = []
    positions = dict(positions)
    async with asyncio.timeout(20):
        while len(found) < count:
            records = await member.fetch(positions, max_bytes=10_000, wait_seconds=0.2)
            found += records
            positions.update((record.partition, record.offset + 1) for record in records)
    return found


async def test_the_first_member_owns_everything(a_queue: AQueue) -> None:
    member = await a_queue.member("one")
    assert member.assignment == Assignment(0, frozenset())
    async with asyncio.timeout(20):
        assignment = await member.changed(0)
    assert assignment == Assignment(1, frozenset(ALL))


async def test_members_share_the_partitions_and_read_only_their_own(a_queue: AQueue) -> None:
    producer = await a_queue.producer()
    for partition in ALL:
        await producer.send(partition, [b"%d" % partition])
    members = await a_queue.member("one"), await a_queue.member("two")
    shares = await settled(*members)
    assert [len(share.partitions) for share in shares] == [2, 2]
    for member, share in zip(members, shares, strict=True):
        records = await fetch_until(member, ALL, 2)
        assert {record.partition for record in records} == share.partitions
        assert await member.fetch(dict.fromkeys(ALL, 1), max_bytes=1000, wait_seconds=0) == []


async def test_records_come_only_once_the_owner_names_the_partition(a_queue: AQueue) -> None:
    producer, member = await a_queue.producer(), await a_queue.member("one")
    for partition in ALL:
        await producer.send(partition, [b"a", b"b"])
    await settled(member)
    assert await member.fetch({}, max_bytes=1000, wait_seconds=0.5) == []
    records = await fetch_until(member, {2: 1}, 1)
    assert [(record.partition, record.offset) for record in records] == [(2, 1)]


async def test_what_a_member_leaves_goes_to_the_others_who_keep_theirs(a_queue: AQueue) -> None:
    one, two = await a_queue.member("one"), await a_queue.member("two")
    before = await settled(one, two)
    await two.close()
    (after,) = await settled(one)
    assert after.partitions == frozenset(ALL)
    assert after.generation > before[0].generation


async def test_a_member_that_left_learns_who_has_taken_over(a_queue: AQueue) -> None:
    one, two = await a_queue.member("http://one:8088"), await a_queue.member("http://two:8088")
    await settled(one, two)
    await two.leave()
    (after,) = await settled(one)
    assert after.partitions == frozenset(ALL)
    assert await two.owners() == dict.fromkeys(ALL, "http://one:8088")
    assert await two.ends() == ALL
    await two.close()
    with pytest.raises(QueueUnavailableError, match="closed"):
        await two.ends()


async def test_a_kept_partition_stays_with_its_owner_when_another_joins(a_queue: AQueue) -> None:
    one, two = await a_queue.member("one"), await a_queue.member("two")
    before = await settled(one, two)
    three = await a_queue.member("three")
    after = await settled(one, two, three)
    for was, now in zip(before, after[:2], strict=True):
        assert now.partitions <= was.partitions
        assert now.partitions


async def test_reading_goes_on_without_gap_or_double_while_members_come_and_go(a_queue: AQueue) -> None:
    producer, one = await a_queue.producer(), await a_queue.member("one")
    await settled(one)
    positions = dict(ALL)
    seen: dict[int, list[bytes]] = {partition: [] for partition in ALL}

    async def read(member: GroupConsumer) -> None:
        for record in await member.fetch(positions, max_bytes=300, wait_seconds=0.02):
            assert record.offset == positions[record.partition]
            positions[record.partition] = record.offset + 1
            seen[record.partition].append(record.value)

    members = [one]
    for number in range(160):
        await producer.send(number % 4, [b"%d" % number] * 3)
        if number in {40, 100}:
            members.append(await a_queue.member(f"member {number}"))
        if number == 70:
            await members.pop().close()
        for member in members:
            await read(member)
    async with asyncio.timeout(30):
        while sum(positions.values()) < 480:
            for member in members:
                await read(member)
    for partition in ALL:
        assert seen[partition] == [b"%d" % number for number in range(partition, 160, 4) for _ in range(3)]


async def test_a_commit_covers_only_what_is_owned(a_queue: AQueue) -> None:
    producer = await a_queue.producer()
    for partition in ALL:
        await producer.send(partition, [b"a"])
    one, two = await a_queue.member("one"), await a_queue.member("two")
    mine, _ = await settled(one, two)
    await one.commit(dict.fromkeys(ALL, 1))
    committed = await one.committed()
    assert committed == {p: int(p in mine.partitions) for p in ALL}


async def test_a_named_member_has_its_partitions_again_after_a_short_restart(a_queue: AQueue) -> None:
    one, two = await a_queue.member("one", instance="one"), await a_queue.member("two", instance="two")
    before = await settled(one, two)
    await two.close()
    again = await a_queue.member("two", instance="two")
    async with asyncio.timeout(30):
        while again.assignment.partitions != before[1].partitions:
            await again.changed(again.assignment.generation)
            assert again.assignment.partitions in (frozenset(), before[1].partitions)
    assert one.assignment.partitions == before[0].partitions


async def test_every_member_learns_who_owns_what(a_queue: AQueue) -> None:
    one, two = await a_queue.member("http://one:8088"), await a_queue.member("http://two:8088")
    shares = await settled(one, two)
    named = {"http://one:8088": shares[0].partitions, "http://two:8088": shares[1].partitions}
    expected = {partition: name for name, share in named.items() for partition in share}
    assert await one.owners() == expected
    assert await two.owners() == expected
    await two.close()
    await settled(one)
    assert set((await one.owners()).values()) == {"http://one:8088"}
