"""Follows: no gap and no double, whatever flushes, evictions and reconnects come between."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from logger.reading import follow as follows
from logger.reading.backlog import FollowRequest
from logger.reading.cursor import decode_cursor
from logger.reading.filter import LineFilter
from logger.reading.follow import End, Follower
from logger.reading.gate import BusyError
from logger.reading.hub import FollowHub, Lines

BASE = 1_795_478_400_000_000_000


def make_hub(pipeline: Any, *, limit_lines: int = 1024, limit_followers: int = 1000) -> Any:
    return FollowHub(
        head=pipeline.head,
        boundary=pipeline.tombstones.boundary,
        limit_lines=limit_lines,
        limit_followers=limit_followers,
        registry=CollectorRegistry(),
        queue_id=pipeline.queue_id,
    )


class Reader:
    """A client: what it got, and the last cursor."""

    def __init__(self, pipeline: Any, hub: Any, request: Any, *, allowed: Any = lambda: True) -> None:
        self.lines, self.tokens, self.others = [], [], []
        self.follower = Follower(hub=hub, reader=pipeline.reader, request=request, allowed=allowed)

    async def read(self) -> None:
        async for event in self.follower.events():
            if isinstance(event, Lines):
                self.lines.extend(event.lines)
                self.tokens.extend(event.tokens)
            else:
                self.others.append(event)

    @property
    def offsets(self) -> Any:
        return [line.offset for line in self.lines]


@contextlib.asynccontextmanager
async def reading(reader: Any) -> AsyncIterator[Any]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reader.read())
        yield task
        task.cancel()


@contextlib.asynccontextmanager
async def running(hub: Any) -> AsyncIterator[Any]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(hub.run())
        yield
        task.cancel()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


async def take(pipeline: Any, hub: Any, request: Any, count: int) -> Any:
    """The first lines of a follow, then hang up."""
    reader = Reader(pipeline, hub, request)
    if count:
        async with reading(reader):
            await until(lambda: len(reader.lines) >= count)
    return reader


def row_of(make: Any, number: Any, **changes: Any) -> Any:
    return make.row(order_ns=BASE + number, offset=number, message=b"line %d" % number, **changes)


actions = st.lists(
    st.sampled_from(["append", "append", "burst", "commit", "evict", "turn", "turns", "reconnect", "other"]),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(actions=actions, before=st.integers(0, 12), lines=st.integers(0, 5), limit_lines=st.sampled_from([0, 3, 1000]))
def test_a_follow_has_no_gap_and_no_double(make: Any, actions: Any, before: int, lines: Any, limit_lines: int) -> None:
    """The real head and table; the client hangs up and comes back at any moment, with a buffer of any size."""
    with TemporaryDirectory() as folder:
        asyncio.run(follow_through(make, Path(folder), actions, before=before, lines=lines, limit_lines=limit_lines))


async def follow_through(make: Any, folder: Path, actions: Any, *, before: int, lines: int, limit_lines: int) -> None:
    pipeline = make.pipeline(folder)
    shards = itertools.cycle([0, 1, 1])
    shard_of = []

    def append(count: int, app: str = "demo") -> Any:
        numbers = range(len(shard_of), len(shard_of) + count)
        for number in numbers:
            shard_of.append(next(shards))
            pipeline.append([row_of(make, number, app=app)], shard=shard_of[-1])
        return numbers

    append(before)
    hub = make_hub(pipeline, limit_lines=limit_lines)
    request = FollowRequest("demo", lines=lines)
    expected = list(range(before))[max(0, before - lines) :] if lines else []
    got = []
    async with running(hub), contextlib.AsyncExitStack() as stack:
        reader = Reader(pipeline, hub, request)
        await stack.enter_async_context(reading(reader))
        for action in actions:
            if action in ("append", "burst"):
                expected.extend(append(1 if action == "append" else 7))
            elif action == "other":
                append(1, app="other")
            elif action in ("commit", "evict"):
                pipeline.commit(evict=action == "evict")
            elif action == "reconnect" and reader.tokens:
                await stack.aclose()
                got.extend(reader.offsets)
                request = FollowRequest("demo", lines=lines, cursor=decode_cursor(reader.tokens[-1]))
                reader = Reader(pipeline, hub, request)
                await stack.enter_async_context(reading(reader))
            if action in ("turn", "turns"):
                await asyncio.sleep(0.002 if action == "turns" else 0)
        await until(lambda: len(got) + len(reader.lines) >= len(expected))
        await asyncio.sleep(0.002)  # for a double to come, if there is one
        got.extend(reader.offsets)
    assert sorted(got) == expected
    for shard in (0, 1):
        live = [number for number in got if number >= before and shard_of[number] == shard]
        assert live == sorted(live)


@pytest.mark.parametrize("where", ["head", "table", "both"])
async def test_a_client_that_hangs_up_after_any_line_goes_on_after_it(pipeline: Any, make: Any, where: str) -> None:
    """The cursor of every single line: of the backlog, of the head, of the table."""
    for number in range(6):
        pipeline.append([row_of(make, number)])
    hub = make_hub(pipeline)
    start = Reader(pipeline, hub, FollowRequest("demo", lines=4))
    for number in range(6, 15, 3):  # records of three containers, whose order is not that of the numbers
        pipeline.append([row_of(make, number + place, source=bytes([9 - place]) * 16) for place in range(3)])
        if where != "head":
            pipeline.commit(evict=where == "table" or number == 6)
    async with running(hub):
        async with reading(start):
            await until(lambda: len(start.lines) == 13)
        whole = start.offsets
        assert sorted(whole) == list(range(2, 15))
        for count, token in enumerate(start.tokens, 1):
            again = await take(pipeline, hub, FollowRequest("demo", cursor=decode_cursor(token)), 13 - count)
            assert again.offsets == whole[count:]


async def test_a_restarted_logger_that_is_behind_doubles_nothing(pipeline: Any, make: Any, tmp_path: Path) -> None:
    """The client had seen rows that were not committed: they come again, and are passed over."""
    hub = make_hub(pipeline)
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=0))
    async with running(hub), reading(reader):
        pipeline.append([row_of(make, 0)])
        pipeline.commit()
        pipeline.append([row_of(make, 1)])
        await until(lambda: len(reader.lines) == 2)
    restarted = make.pipeline(tmp_path / "store")
    restarted.head.resume(0, 1, {})
    hub = make_hub(restarted)
    again = Reader(restarted, hub, FollowRequest("demo", cursor=decode_cursor(reader.tokens[-1])))
    async with running(hub), reading(again):
        for _ in range(20):
            await asyncio.sleep(0)
        restarted.append([row_of(make, 1)], [row_of(make, 2)])
        await until(lambda: again.lines)
        restarted.append([row_of(make, 3)])
        await until(lambda: len(again.lines) == 2)
    assert again.offsets == [2, 3]


async def test_since_takes_the_place_of_lines(pipeline: Any, make: Any) -> None:
    """All lines from a time on, then the new ones."""
    pipeline.append([row_of(make, number) for number in range(30)])
    pipeline.commit(evict=True)
    hub = make_hub(pipeline)
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=2, since_ns=BASE + 10))
    async with running(hub), reading(reader):
        await until(lambda: len(reader.lines) == 20)
        pipeline.append([row_of(make, 30)])
        await until(lambda: len(reader.lines) == 21)
    assert reader.offsets == list(range(10, 31))


@pytest.mark.parametrize("lines", [LineFilter(text="line 1"), LineFilter(regex="^line 1")], ids=["text", "regex"])
async def test_filters_hold_for_backlog_table_and_live_lines(pipeline: Any, make: Any, lines: Any) -> None:
    """The last N are the last N of those that match."""
    pipeline.append([row_of(make, number) for number in range(15)])
    pipeline.commit()
    hub = make_hub(pipeline)
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=3, wanted=lines))
    pipeline.append([row_of(make, number) for number in range(15, 25)])
    pipeline.commit(evict=True)
    async with running(hub), reading(reader):
        await until(lambda: len(reader.lines) >= 8)
        pipeline.append([row_of(make, 99), row_of(make, 100)])
        await until(lambda: len(reader.lines) == 9)
    assert reader.offsets == [12, 13, 14, *range(15, 20), 100]


async def test_context_comes_with_backlog_and_live_lines(pipeline: Any, make: Any) -> None:
    """And each line once, though the match before may have had it already."""
    pipeline.append([row_of(make, number) for number in range(20)])
    hub = make_hub(pipeline)
    wanted = LineFilter(regex="line [0-9]*[05]$")
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=2, wanted=wanted, before=1, after=1))
    async with running(hub), reading(reader):
        await until(lambda: len(reader.lines) >= 6)
        pipeline.append([row_of(make, number) for number in range(20, 23)])
        pipeline.append([row_of(make, number) for number in range(23, 32)])
        await until(lambda: len(reader.lines) >= 14)
    assert reader.offsets == [9, 10, 11, 14, 15, 16, 20, 21, 24, 25, 26, 29, 30, 31]
    assert [line.offset for line in reader.lines if not line.context] == [10, 15, 20, 25, 30]
    for place, token in enumerate(reader.tokens):
        request = FollowRequest("demo", wanted=wanted, cursor=decode_cursor(token))
        rest = [line.offset for line in reader.lines[place + 1 :] if not line.context]
        again = await take(pipeline, hub, request, len(rest))
        assert again.offsets == rest


async def test_deleted_lines_do_not_come_and_the_follow_goes_on(pipeline: Any, make: Any) -> None:
    """A deletion ends nothing."""
    hub = make_hub(pipeline)
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=5))
    for number in range(3):
        pipeline.append([row_of(make, number)])
    pipeline.commit(evict=True)
    await pipeline.reader.delete("demo")
    async with running(hub), reading(reader):
        pipeline.append([row_of(make, 7)])
        await until(lambda: reader.lines)
    assert reader.offsets == [7]


async def test_watermarks_come_and_never_run_ahead_of_lines(
    pipeline: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watermark is that of the head once everything in it is sent; until then it is unknown."""
    monkeypatch.setattr(follows, "WATERMARK_SECONDS", 0.01)
    hub = make_hub(pipeline)
    for shard in (0, 1):
        pipeline.head.resume(shard, 0, {"n1": 5 + shard})
    reader = Reader(pipeline, hub, FollowRequest("demo"))
    async with running(hub), reading(reader):
        await until(lambda: len(reader.others) >= 3)
    assert 5 in [event.complete_up_to_ns for event in reader.others]


@pytest.mark.parametrize(("revoked", "reason"), [(True, "no longer valid"), (False, "stops")])
async def test_a_follow_ends_when_its_token_goes_or_the_logger_stops(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch, revoked: bool, reason: str
) -> None:
    """With a reason."""
    monkeypatch.setattr(follows, "WATERMARK_SECONDS", 0.01)
    hub = make_hub(pipeline)
    allowed = [True]
    reader = Reader(pipeline, hub, FollowRequest("demo"), allowed=lambda: allowed[0])
    async with running(hub), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reader.read())
        await until(lambda: reader.others)
        if revoked:
            allowed[0] = False
        else:
            hub.stop()
        async with asyncio.timeout(5):
            await task
    assert isinstance(reader.others[-1], End)
    assert reason in reader.others[-1].reason


async def test_no_more_follows_than_allowed(pipeline: Any) -> None:
    """One more is refused, and one less makes room."""
    hub = make_hub(pipeline, limit_followers=2)
    hub.admit()
    hub.admit()
    with pytest.raises(BusyError):
        hub.admit()
    hub.dismiss()
    hub.admit()


async def test_a_line_is_encoded_once_for_all_followers(pipeline: Any, make: Any) -> None:
    """A thousand followers of one app share one segment, and what a format makes of it."""
    hub = make_hub(pipeline)
    subscriptions = [hub.subscribe("demo", hub.positions) for _ in range(1000)]
    pipeline.append([row_of(make, 1)])
    hub.pump()
    segments = {id(subscription.take()) for subscription in subscriptions}
    assert len(segments) == 1


async def test_a_full_buffer_is_let_go_and_the_follower_catches_up(pipeline: Any, make: Any) -> None:
    """Memory is bounded whatever arrives, and nothing is lost: the head has it."""
    hub = make_hub(pipeline, limit_lines=5)
    subscription = hub.subscribe("demo", hub.positions)
    for number in range(20):
        pipeline.append([row_of(make, number)])
        hub.pump()
    assert subscription.overflowed
    assert subscription.take() is None
    assert subscription.waiting == 20


async def test_what_the_head_let_go_before_the_hub_saw_it_comes_from_the_table(pipeline: Any, make: Any) -> None:
    """A small budget of the head may drop a batch as soon as it is committed."""
    hub = make_hub(pipeline)
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=0))
    async with running(hub), reading(reader):
        await until(lambda: hub._subscriptions)
        pipeline.append([row_of(make, 0)])
        pipeline.commit(evict=True)
        pipeline.append([row_of(make, 1)])
        await until(lambda: len(reader.lines) == 2)
    assert reader.offsets == [0, 1]


async def test_a_client_that_hangs_up_while_catching_up_two_shards_goes_on_in_both(pipeline: Any, make: Any) -> None:
    """The cursor of a line of one shard tells how far the other is, also within a record."""
    hub = make_hub(pipeline, limit_lines=0)
    reader = Reader(pipeline, hub, FollowRequest("demo", lines=0))
    async with running(hub), reading(reader):
        await until(lambda: hub._subscriptions)
        for number in range(0, 12, 2):
            pipeline.append([row_of(make, number)], shard=1)
            pipeline.append([row_of(make, number + 1)], shard=0)
        await until(lambda: len(reader.lines) == 12)
    for count, token in enumerate(reader.tokens, 1):
        again = await take(pipeline, hub, FollowRequest("demo", cursor=decode_cursor(token)), 12 - count)
        assert sorted(again.offsets) == sorted(set(range(12)) - set(reader.offsets[:count]))
