"""Follows through any logger: no gap and no double, while shards move and loggers come and go."""

import asyncio
import contextlib
import itertools
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.reading.peersfeed import Feed
from logger.reading.peerswire import BatchForm, PeerFormatError, batch_form, batch_of

BASE = 1_795_478_400_000_000_000


@pytest.fixture(autouse=True, scope="module")
def soon() -> Any:
    """Try again after a moment rather than a third of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logger.reading.peersfeed._AGAIN_SECONDS", 0.02)
        patch.setattr("logger.reading.follow._AGAIN_SECONDS", 0.02)
        patch.setattr("logger.reading.backlog._AGAIN_SECONDS", 0.02)
        yield


class Client:
    """Follows an app, and goes on at another logger where it stopped."""

    def __init__(self, *, lines: int = 0) -> None:
        self.numbers: list[int] = []
        self.watermarks: list[Any] = []
        self.cursor = ""
        self.start = {"lines": str(lines)}
        self.events = 0

    async def follow(self, member: Any) -> None:
        parameters = {"format": "ndjson", **({"cursor": self.cursor} if self.cursor else self.start)}
        async with member.client.get("/v1/apps/demo/logs/follow", params=parameters) as answer:
            assert answer.status == 200, await answer.read()
            while line := await answer.content.readline():
                event = json.loads(line)
                if event["type"] == "line":
                    self.numbers.append(event["offset"])
                elif event["type"] == "watermark":
                    self.watermarks.append(event["complete_up_to"])
                else:
                    return
                self.cursor = event.get("cursor", self.cursor)
                self.events += 1

    @contextlib.asynccontextmanager
    async def following(self, member: Any) -> Any:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.follow(member))
            try:
                yield
            finally:
                task.cancel()


class Story:
    """What happens in a cluster, and what a client must have seen."""

    def __init__(self, make: Any, folder: Path) -> None:
        self.make = make
        self.cluster = make.cluster(folder)
        self.shard_of: list[int] = []
        self.expected: list[int] = []
        self.shards = itertools.cycle([0, 1, 1, 2, 3])

    def append(self, count: int = 1, *, app: str = "demo") -> None:
        for _ in range(count):
            shard, number = next(self.shards), len(self.shard_of)
            self.shard_of.append(shard)
            self.expected.extend([number] if app == "demo" else [])
            row = self.make.row(app=app, order_ns=BASE + number, offset=number, message=b"line %d" % number)
            self.cluster.append(shard, [row])
            self.cluster.fetch(shard)

    async def move(self, shard: int, name: int, *, fetch: bool = True) -> None:
        self.cluster.take(shard)
        await asyncio.sleep(0.001)
        self.cluster.give(shard, name)
        if fetch:
            self.cluster.fetch(shard)

    def in_order(self, numbers: Any) -> bool:
        of_shards = ([number for number in numbers if self.shard_of[number] == shard] for shard in range(4))
        return all(part == sorted(part) for part in of_shards)


actions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["append", "append", "burst"]), st.just(0), st.just(0)),
        st.tuples(st.sampled_from(["commit", "evict", "other", "turns", "soon"]), st.integers(0, 3), st.just(0)),
        st.tuples(st.sampled_from(["gone", "soon", "soon"]), st.just(0), st.just(0)),
        st.tuples(st.sampled_from(["move", "move late"]), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("reconnect"), st.integers(0, 2), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None)
@given(actions=actions, before=st.integers(1, 8), first=st.integers(0, 2))
def test_a_follow_through_any_logger_has_no_gap_and_no_double(make: Any, actions: Any, before: int, first: int) -> None:
    """The client hangs up and comes back at any logger; shards move under it, are committed and let go."""

    async def run(folder: Path) -> None:
        story = Story(make, folder)
        client = Client(lines=1000)
        async with story.cluster.running(), contextlib.AsyncExitStack() as stack:
            story.append(before)
            await stack.enter_async_context(client.following(story.cluster.members[first]))
            await make.until(lambda: len(client.numbers) == before)
            for action, number, other in actions:
                if action in ("append", "burst"):
                    story.append(1 if action == "append" else 7)
                elif action == "other":
                    story.append(1, app="other")
                elif action in ("commit", "evict"):
                    story.cluster.commit(number, evict=action == "evict")
                elif action == "gone":  # before any stream has had a turn
                    story.append(5)
                    for shard in range(4):
                        story.cluster.commit(shard, evict=True)
                elif action in ("move", "move late"):
                    await story.move(number, other, fetch=action == "move")
                elif action == "reconnect" and client.cursor:
                    await stack.aclose()
                    await stack.enter_async_context(client.following(story.cluster.members[number]))
                else:
                    await asyncio.sleep(0.01 if action == "soon" else 0.001)
            await story.cluster.settled()
            await make.until(lambda: len(client.numbers) >= len(story.expected))
            await asyncio.sleep(0.01)  # for a double to come, if there is one
        assert sorted(client.numbers) == story.expected
        assert story.in_order(client.numbers)

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@pytest.fixture
async def story(make: Any, tmp_path: Path) -> Any:
    """Three loggers; shard n belongs to logger n modulo 3; ten lines are there."""
    story = Story(make, tmp_path)
    async with story.cluster.running():
        story.append(10)
        await story.cluster.settled()
        yield story


async def test_lines_of_other_loggers_come_at_once(story: Any, make: Any) -> None:
    """Not at the next look; 50 lines one by one take less than one keep-alive."""
    client = Client(lines=3)
    async with client.following(story.cluster.members[0]):
        await make.until(lambda: client.numbers == [7, 8, 9])
        async with asyncio.timeout(1.5):
            for number in range(10, 60):
                story.append()
                await make.until(lambda wanted=number: client.numbers[-1] == wanted)


async def test_many_followers_of_an_app_share_one_stream_from_each_owner(
    story: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are; the last one that goes ends it."""
    monkeypatch.setattr("logger.reading.follow.WATERMARK_SECONDS", 0.05)
    monkeypatch.setattr("logger.api.peer.KEEP_ALIVE_SECONDS", 0.05)
    clients = [Client(lines=1) for _ in range(5)]
    member = story.cluster.members[0]
    async with contextlib.AsyncExitStack() as stack:
        for client in clients:
            await stack.enter_async_context(client.following(member))
        await make.until(lambda: all(client.numbers for client in clients))
        story.append(20)
        await make.until(lambda: all(len(client.numbers) == 21 for client in clients))
        opened = [other.registry.get_sample_value("logger_peer_streams") for other in story.cluster.members]
        assert opened == [0, 1, 1]
    await make.until(
        lambda: all(not other.registry.get_sample_value("logger_peer_streams") for other in story.cluster.members)
    )


async def test_a_follow_goes_on_when_an_owner_dies_and_another_takes_over(story: Any, make: Any) -> None:
    """Rows that the dead one had sent, and not committed, are not sent again; what came meanwhile is."""
    client = Client(lines=1000)
    async with client.following(story.cluster.members[0]):
        await make.until(lambda: len(client.numbers) == 10)
        story.append(10)
        await make.until(lambda: len(client.numbers) == 20)
        await story.cluster.members[1].stop()
        story.append(10)
        await make.until(lambda: len(client.numbers) == 26)  # four of ten are in the shard that nobody can be asked of
        await story.move(1, 2)
        await make.until(lambda: len(client.numbers) == 30)
    assert sorted(client.numbers) == story.expected
    assert story.in_order(client.numbers)


async def test_a_shard_may_leave_and_come_back_to_the_logger_that_is_followed(story: Any, make: Any) -> None:
    """It goes on from where it was, not from where the table ends."""
    client = Client(lines=1000)
    async with client.following(story.cluster.members[0]):
        await make.until(lambda: len(client.numbers) == 10)
        for name in (1, 0, 2, 0):
            story.append(5)
            await make.until(lambda: len(client.numbers) == len(story.expected))
            await story.move(0, name, fetch=False)
            await asyncio.sleep(0.1)  # for the loggers to notice
            story.cluster.fetch(0)
            await asyncio.sleep(0.05)  # for doubles to come
    assert sorted(client.numbers) == story.expected


async def test_a_follow_begins_with_what_is_committed_while_an_owner_is_away(story: Any, make: Any) -> None:
    """And has the rest as soon as there is an owner."""
    story.cluster.commit(1)
    story.append(5)
    await story.cluster.members[1].stop()
    client = Client(lines=1000)
    async with client.following(story.cluster.members[0]):
        await make.until(lambda: len(client.numbers) == 13)
        await story.move(1, 2)
        await make.until(lambda: len(client.numbers) == 15)
    assert sorted(client.numbers) == story.expected


async def test_a_slow_start_reads_in_the_table_what_an_owner_has_let_go(story: Any, make: Any) -> None:
    """A client that was away comes back after rows were committed and forgotten."""
    client = Client(lines=1000)
    async with client.following(story.cluster.members[0]):
        await make.until(lambda: len(client.numbers) == 10)
    story.append(20)
    for shard in range(4):
        story.cluster.commit(shard, evict=True)
    story.append(5)
    async with client.following(story.cluster.members[2]):
        await make.until(lambda: len(client.numbers) == 35)
    assert sorted(client.numbers) == story.expected


async def test_watermarks_are_the_least_of_all_loggers(story: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And carry a cursor with which a client without lines goes on."""
    monkeypatch.setattr("logger.reading.follow.WATERMARK_SECONDS", 0.05)
    monkeypatch.setattr("logger.api.peer.KEEP_ALIVE_SECONDS", 0.05)
    for shard in range(4):
        head, end = story.cluster.owner[shard].head, len(story.cluster.records[shard])
        story.cluster.commit(shard)
        head.resume(shard, end, {"n1": BASE + 7 - shard})
    client = Client()
    async with client.following(story.cluster.members[0]):
        await make.until(lambda: client.watermarks and client.watermarks[-1])
    assert client.watermarks[-1] == "2026-11-24T00:00:00.000000004Z"
    story.append(4)
    async with client.following(story.cluster.members[1]):
        await make.until(lambda: len(client.numbers) == 4)
    assert sorted(client.numbers) == [10, 11, 12, 13]


async def test_a_client_waits_for_the_table_where_the_feed_has_let_rows_go(
    story: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in their owner's head only, until it commits them: never passed over."""
    monkeypatch.setattr("logger.reading.peersfeed.FEEDS_BYTES", 1)
    monkeypatch.setattr("logger.reading.peersfeed._LEAST_BYTES", 1)
    member, early, late = story.cluster.members[0], Client(lines=1000), Client(lines=1000)
    async with early.following(member):
        await make.until(lambda: len(early.numbers) == 10)
    async with late.following(member):
        await make.until(lambda: len(late.numbers) == 10)
        for _ in range(20):
            story.append()
            await make.until(lambda: len(late.numbers) == len(story.expected))
        async with early.following(member):
            await make.until(lambda: len(early.numbers) > 10)
            await asyncio.sleep(0.1)  # for rows to be passed over
            for shard in range(4):
                story.cluster.commit(shard)
            await make.until(lambda: len(early.numbers) == 30)
    assert sorted(early.numbers) == sorted(late.numbers) == story.expected


async def test_a_shard_that_comes_here_while_the_table_is_read_for_it_is_not_passed_over(
    story: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed has let its rows go, the table does not have them yet, and who owns it now has not read them yet."""
    monkeypatch.setattr("logger.reading.peersfeed.FEEDS_BYTES", 1)
    monkeypatch.setattr("logger.reading.peersfeed._LEAST_BYTES", 1)
    member, early, late = story.cluster.members[0], Client(lines=1000), Client(lines=1000)
    async with early.following(member):
        await make.until(lambda: len(early.numbers) == 10)
    async with late.following(member):
        await make.until(lambda: len(late.numbers) == 10)
        for _ in range(20):
            story.append()
            await make.until(lambda: len(late.numbers) == len(story.expected))
        view, moved = member.reader.view, asyncio.Event()

        async def view_after_the_move() -> Any:
            if not moved.is_set():
                await story.move(1, 0, fetch=False)
                moved.set()
            return await view()

        monkeypatch.setattr(member.reader, "view", view_after_the_move)
        async with early.following(member):
            await make.until(moved.is_set)
            await asyncio.sleep(0.1)  # for rows to be passed over
            for shard in range(4):
                story.cluster.fetch(shard)
                story.cluster.commit(shard)
            await make.until(lambda: len(early.numbers) == 30)
    assert sorted(early.numbers) == story.expected


class Hub:
    """Takes what a feed brings."""

    def __init__(self) -> None:
        self.skips = 0

    def arrived(self, app: str, batch: Any) -> None:
        """Nothing to be done."""

    def skipped(self, app: str) -> None:
        """Count it."""
        self.skips += 1


def make_feed(*, limit_bytes: int = 1 << 20, pin: Any = None) -> Any:
    hub: Any = Hub()
    peers: Any = None
    feed = Feed("demo", peers=peers, here=frozenset, pin=pin, hub=hub, limit_bytes=lambda: limit_bytes)
    for shard in (0, 1):
        feed.positions[shard] = feed._begins[shard] = 0
    return feed


def test_a_feed_keeps_a_bounded_number_of_bytes(make: Any) -> None:
    """The oldest go first; what is left is whole from where it begins."""
    feed = make_feed(limit_bytes=3000)
    for number in range(50):
        row = make.row(offset=number, message=b"x" * 100)
        feed._append(make.batch(number % 2, number // 2 * 2, [[row]]))
    kept = [batch for shard in (0, 1) for batch in feed.batches(shard, feed.begins(shard))]
    assert 1000 < sum(batch.memory_bytes for batch in kept) <= 3000
    for shard in (0, 1):
        mine = feed.batches(shard, feed.begins(shard))
        assert mine[0].first_offset == feed.begins(shard)
        assert mine[-1].next_offset == feed.positions[shard] == 49
        assert all(left.next_offset == right.first_offset for left, right in itertools.pairwise(mine))


async def test_a_feed_that_skips_rows_has_a_gap_there(make: Any) -> None:
    """A follower before it must look in the table."""
    committed = {0: 8}

    async def pin() -> Any:
        return committed

    feed = make_feed(pin=pin)
    feed._append(make.batch(0, 2, [[make.row()]]))
    assert await feed._skip({0, 1}) == ({1}, {1})
    assert feed._hub.skips == 1
    feed._append(make.batch(0, 8, [[make.row()]]))
    assert [batch.first_offset for batch in feed.batches(0, 3)] == [8]
    assert (feed.begins(0), feed.positions[0]) == (8, 9)
    committed[0] = 9
    assert await feed._skip({0}) == ({0}, set())


@given(change=st.sampled_from(BatchForm.__struct_fields__), value=st.binary(max_size=40) | st.integers(-5, 2**40))
def test_a_batch_whose_parts_contradict_each_other_is_refused(make: Any, change: str, value: Any) -> None:
    """Or it is one whose lines can be read."""
    batch = make.batch(1, 5, [[make.row(offset=1), make.row(offset=2)], [make.row(offset=3)]])
    form = batch_form(batch, first_offset=5, next_offset=7)
    assert batch_of(form).rows == 3
    fields = {name: getattr(form, name) for name in BatchForm.__struct_fields__}
    if type(fields[change]) is not type(value):
        return
    changed = BatchForm(**{**fields, change: value})
    try:
        read = batch_of(changed)
    except PeerFormatError:
        return
    assert [read.buffer[start:stop] for start, stop in zip(read.starts, read.stops, strict=True)]
