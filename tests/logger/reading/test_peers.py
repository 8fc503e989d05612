"""Any logger answers for all shards: as one logger that has everything would, or it says what is missing."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.parts import flush_parts
from logger.reading.filter import EVERY_LINE, LineFilter
from logger.reading.page import Selection
from logger.reading.peerswire import (
    APPS,
    ARRIVALS,
    ROWS,
    AppsQuestion,
    ArrivalsQuestion,
    PeerFormatError,
    RowsFacts,
    RowsQuestion,
    Standing,
    decode,
    decode_rows,
    encode,
)
from pipeline import members

BASE = 1_795_478_400_000_000_000
SECRET = "a secret of loggers"  # noqa: S105 - of this test

rows_of_a_record = st.lists(
    st.tuples(st.sampled_from(["demo", "other"]), st.integers(0, 8), st.sampled_from([b"error", b"fine", b"\xff\xfe"])),
    min_size=1,
    max_size=4,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3), rows_of_a_record),
        st.tuples(st.just("append"), st.integers(0, 3), rows_of_a_record),
        st.tuples(st.sampled_from(["fetch", "commit", "evict"]), st.integers(0, 3), st.none()),
        st.tuples(st.just("give"), st.integers(0, 3), st.integers(0, 2)),
    ),
    min_size=4,
    max_size=25,
)
filters = st.sampled_from(
    [
        (EVERY_LINE, 0, 0),
        (LineFilter((("pod", frozenset(["demo-web-1-a"])),)), 0, 0),
        (LineFilter(text="err"), 0, 0),
        (LineFilter(regex="^e.*r$"), 0, 0),
        (LineFilter(text="err"), 1, 2),
    ]
)


class World:
    """A cluster, and one logger that has everything."""

    def __init__(self, make: Any, folder: Path) -> None:
        self.make = make
        self.cluster = make.cluster(folder / "cluster")
        self.alone = make.pipeline(folder / "alone", shards=4)
        self.written = 0

    def append(self, shard: int, rows: Any) -> None:
        record = []
        for app, step, message in rows:
            self.written += 1
            record.append(
                self.make.row(
                    app=app,
                    order_ns=BASE + step,
                    message=message,
                    source=bytes([shard]) * 16,
                    offset=self.written,
                    pod=f"demo-web-1-{'ab'[self.written % 2]}",
                )
            )
        self.cluster.append(shard, record)
        self.alone.append(record, shard=shard)

    async def act(self, step: Any) -> None:
        action, shard, argument = step
        if action == "append":
            self.append(shard, argument)
        elif action == "fetch":
            self.cluster.fetch(shard)
        elif action == "give":
            self.cluster.take(shard)
            await asyncio.sleep(0)  # a shard that comes back is loaded from the table, in a thread
            await asyncio.sleep(0)
            self.cluster.give(shard, argument)
        else:
            self.cluster.commit(shard, evict=action == "evict")


def names(table: Any) -> Any:
    return list(zip(table["shard"].to_pylist(), table["offset"].to_pylist(), table["message"].to_pylist(), strict=True))


async def pages_of(reader: Any, selection: Any) -> Any:
    found = []
    while True:
        page = await reader.page(selection)
        context = [False] * page.table.num_rows if page.context is None else page.context.tolist()
        found.append((list(zip(names(page.table), context, strict=True)), page.following, page.partial))
        if page.following is None:
            return found
        changes = {**{name: getattr(selection, name) for name in selection.__dataclass_fields__}}
        selection = Selection(**{**changes, "beyond": page.following})


@settings(max_examples=20, deadline=None)
@given(
    steps=steps,
    wanted=filters,
    limit=st.integers(1, 9),
    descending=st.booleans(),
    since=st.none() | st.integers(BASE, BASE + 8),
    until=st.none() | st.integers(BASE, BASE + 9),
)
def test_the_answer_of_any_logger_is_that_of_one_that_has_everything(  # noqa: PLR0917 - as hypothesis gives them
    make: Any, steps: Any, wanted: Any, limit: int, descending: bool, since: Any, until: Any
) -> None:
    """However shards moved, and whatever is committed or let go; page by page, with context."""
    lines, before, after = wanted
    selection = Selection(
        "demo", limit, descending=descending, since_ns=since, until_ns=until, lines=lines, before=before, after=after
    )

    async def run(folder: Path) -> None:
        world = World(make, folder)
        async with world.cluster.running():
            for step in steps:
                await world.act(step)
            await world.cluster.settled()
            expected = await pages_of(world.alone.reader, selection)
            expected_apps = (await world.alone.reader.apps(lambda _: True), frozenset())
            for member in world.cluster.members:
                assert await pages_of(member.reader, selection) == expected
                assert await member.reader.apps(lambda _: True) == expected_apps[0]
                last, partial = await member.reader.last_lines("demo", limit)
                assert (names(last), partial) == (
                    names((await world.alone.reader.last_lines("demo", limit))[0]),
                    frozenset(),
                )

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@settings(max_examples=20, deadline=None)
@given(steps=steps, asked=st.integers(0, 2))
def test_an_answer_has_everything_of_each_shard_that_it_does_not_call_missing(
    make: Any, steps: Any, asked: int
) -> None:
    """In the middle of moves, too: what was in the queue at a take-over is there, or the shard is named."""

    async def run(folder: Path) -> None:
        world = World(make, folder)
        must: dict[int, int] = {}
        async with world.cluster.running():
            for step in steps:
                await world.act(step)
                if step[0] == "give":
                    must[step[1]] = len(world.cluster.records[step[1]])
                page = await world.cluster.members[asked].reader.page(Selection("demo", 1000))
                found = {offset for _, offset, _ in names(page.table)}
                for shard in set(range(4)) - page.partial:
                    records = world.cluster.records[shard][: must.get(shard, 0)]
                    due = {row.offset for record in records for row in record if row.app == "demo"}
                    assert due <= found
                assert len(found) == page.table.num_rows

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@pytest.fixture
async def world(make: Any, tmp_path: Path) -> Any:
    """A cluster of three with a few rows in each of four shards; shard n belongs to logger n modulo 3."""
    world = World(make, tmp_path)
    async with world.cluster.running():
        for number in range(12):
            world.append(number % 4, [("demo", number, b"line %d" % number)])
        await world.cluster.settled()
        yield world


async def logs(member: Any, query: str = "") -> Any:
    async with member.client.get(f"/v1/apps/demo/logs{query}") as answer:
        assert answer.status == 200
        return [json.loads(line)["message"] for line in (await answer.read()).splitlines()], answer.headers


async def test_a_whole_answer_says_up_to_when_it_is_complete(world: Any) -> None:
    """The least of all shards' watermarks, wherever they are; unknown as long as one is."""
    cluster = world.cluster
    lines, headers = await logs(cluster.members[0])
    assert len(lines) == 12
    assert "Complete-Up-To" not in headers
    for shard in range(4):
        cluster.owner[shard].head.resume(shard, 3, {"n1": BASE + shard})
        cluster.commit(shard)
    lines, headers = await logs(cluster.members[1])
    assert headers["Complete-Up-To"] == "2026-11-24T00:00:00.000000000Z"
    assert "Partial" not in headers


async def test_an_owner_that_is_gone_is_named_and_counted(world: Any) -> None:
    """Its rows that are committed are there all the same."""
    cluster = world.cluster
    cluster.commit(1)
    world.append(1, [("demo", 20, b"late")])
    cluster.fetch(1)
    gone = cluster.owner[1]
    await gone.stop()
    lines, headers = await logs(cluster.members[0])
    assert len(lines) == 12
    assert headers["Partial"] == "shards 1"
    assert "Complete-Up-To" not in headers
    assert cluster.members[0].registry.get_sample_value("logger_partial_answers_total") == 1
    assert cluster.members[0].registry.get_sample_value("logger_peer_misses_total", {"reason": "away"}) == 1
    async with cluster.members[0].client.get("/logs/demo") as answer:
        assert answer.headers["Partial"] == "shards 1"
    async with cluster.members[0].client.get("/v1/apps") as answer:
        assert answer.headers["Partial"] == "shards 1"
        assert (await answer.json())["apps"][0]["lines"] == 12
    cluster.give(1, 2)
    await cluster.settled()
    lines, headers = await logs(cluster.members[0])
    assert len(lines) == 13
    assert "Partial" not in headers


async def test_a_new_owner_is_partial_until_it_has_read_what_was_there_when_it_took_over(world: Any) -> None:
    """Asked through itself as through another."""
    cluster = world.cluster
    cluster.give(1, 0)
    for member in cluster.members:
        assert (await logs(member))[1]["Partial"] == "shards 1"
    cluster.fetch(1, most=2)
    lines, headers = await logs(cluster.members[2])
    assert (len(lines), headers["Partial"]) == (9, "shards 1")
    await cluster.settled()
    for member in cluster.members:
        lines, headers = await logs(member)
        assert len(lines) == 12
        assert "Partial" not in headers


async def test_a_commit_of_the_owner_before_that_comes_late_doubles_nothing(world: Any) -> None:
    """The new owner began before that commit, and fetched what it covers together with what came after."""
    cluster = world.cluster
    before = cluster.owner[1].head.waiting()[1]
    cluster.give(1, 2)
    for number in range(3):
        world.append(1, [("demo", 100 + number, b"new %d" % number)])
    cluster.fetch(1)
    cluster.ingest.commit(parts=flush_parts(before), positions={1: before[-1].next_offset}, states={1: b"state"})
    await cluster.settled()
    for member in cluster.members:
        lines, headers = await logs(member)
        assert "Partial" not in headers
        assert len(lines) == len(set(lines)) == 15


async def test_an_owner_that_hangs_costs_its_time_out_once(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The questions that follow are answered at once, without it."""
    monkeypatch.setattr(members, "PEER_SECONDS", 0.2)
    cluster = world.cluster

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        cluster.owner[1].url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        cluster.take(1)
        cluster.owner[1] = type("Hung", (), {"url": cluster.members[1].url, "head": cluster.members[1].head})()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert (await logs(cluster.members[0]))[1]["Partial"] == "shards 1"
        assert 0.2 <= loop.time() - begun < 1.0
        begun = loop.time()
        assert (await logs(cluster.members[0]))[1]["Partial"] == "shards 1"
        assert loop.time() - begun < 0.2


async def test_nothing_is_answered_without_the_secret(world: Any) -> None:
    """Whatever is asked, and also with a token of a reader."""
    member = world.cluster.members[0]
    async with aiohttp.ClientSession(member.url) as client:
        for path in (ROWS, APPS, ARRIVALS):
            for headers in (
                {},
                {"Authorization": "Bearer "},
                {"Authorization": f"Basic {SECRET}"},
                {"Authorization": f"Bearer {SECRET}x"},
            ):
                async with client.post(path, data=b"", headers=headers) as answer:
                    assert answer.status == 401
        async with client.get(ROWS, headers={"Authorization": f"Bearer {SECRET}"}) as answer:
            assert answer.status == 405


async def test_there_are_no_such_routes_without_a_secret(pipeline: Any, serve: Any) -> None:
    """A logger that is alone has none."""
    async with serve(pipeline) as served, served.client.post(ROWS, data=b"") as answer:
        assert answer.status == 404


async def test_questions_that_are_none_are_refused(world: Any) -> None:
    """By a status, never by a failure; one of another queue is refused as a whole."""
    member = world.cluster.members[0]
    rows = RowsQuestion("q", "demo", {0: 0}, {}, {}, 10, False, None, None, None, (), "", "", 1.0)  # noqa: FBT003
    cases = [
        (ROWS, b"", 400),
        (ROWS, b"\xff" * 100, 400),
        (ROWS, encode(AppsQuestion("q", {}, {})), 400),
        (ROWS, encode(rows), 200),
        (ROWS, encode(replaced(rows, queue_id="another")), 409),
        (ROWS, encode(replaced(rows, regex="(")), 400),
        (ROWS, encode(replaced(rows, exact=(("message", frozenset(["x"])),))), 400),
        (ROWS, encode(replaced(rows, limit=10**9)), 400),
        (APPS, encode(AppsQuestion("another", {}, {})), 409),
        (ARRIVALS, encode(ArrivalsQuestion("another", "demo", {})), 409),
        (ARRIVALS, encode(ArrivalsQuestion("q", "demo", {-1: 0})), 400),
    ]
    async with aiohttp.ClientSession(member.url, headers={"Authorization": f"Bearer {SECRET}"}) as client:
        for path, body, status in cases:
            async with client.post(path, data=body) as answer:
                assert answer.status == status, (path, body)


def replaced(question: Any, **changes: Any) -> Any:
    return type(question)(**{**{name: getattr(question, name) for name in question.__struct_fields__}, **changes})


async def test_an_answer_that_is_none_is_like_no_answer(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the logger, say."""

    async def nonsense(*_: object) -> bytes:
        return b"nonsense"

    monkeypatch.setattr(world.cluster.members[0].peers, "ask", nonsense)
    lines, headers = await logs(world.cluster.members[0])
    assert headers["Partial"] == "shards 1,2"
    assert len(lines) == 6


@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_answer_are_a_format_error(content: bytes) -> None:
    """No other error, whatever comes."""
    for read in (decode_rows, lambda part: decode(part, RowsFacts), lambda part: decode(part, Standing)):
        try:
            read(content)
        except PeerFormatError:
            continue


async def test_a_deletion_holds_at_once_where_it_was_asked_for_and_soon_everywhere(world: Any) -> None:
    """Also for rows in the heads of owners that have not heard of it."""
    cluster = world.cluster
    async with cluster.members[0].client.delete("/v1/apps/demo") as answer:
        assert answer.status == 204
    assert (await logs(cluster.members[0]))[0] == []
    async with cluster.members[0].client.get("/v1/apps") as answer:
        assert (await answer.json())["apps"] == []
    async with asyncio.timeout(2):
        while (await logs(cluster.members[2]))[0]:  # noqa: ASYNC110 - asked over HTTP, as a reader does
            await asyncio.sleep(0.05)


async def test_a_search_goes_on_where_an_owner_stopped_for_want_of_time(
    world: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner answers with what it has after each block of rows, and is asked again."""
    monkeypatch.setattr("logger.reading.peersview.SEARCH_SECONDS", 0.0)
    messages = [b"needle" if number % 9000 == 8999 else b"hay" for number in range(30_000)]
    for start in range(0, 30_000, 5000):
        record = [
            make.row(order_ns=BASE + number, offset=1000 + number, message=messages[number], pod="demo-web-1-c")
            for number in range(start, start + 5000)
        ]
        world.cluster.append(1, record)
        world.cluster.fetch(1)
    for order in ("asc", "desc"):
        lines, headers = await logs(world.cluster.members[0], f"?text=needle&order={order}")
        assert lines == ["needle"] * 3
        assert "Partial" not in headers
