"""Questions over shards of several monitors: a whole answer or none, whoever is asked, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.answers.answering import Answering
from monitor.answers.api import build_api
from monitor.answers.overview import overview_route
from monitor.answers.peers import GroupReader
from monitor.answers.peerswire import ASK, Asked, Said, decode, encode
from monitor.reading import SLOT_NS, IncompleteError, Question
from monitor.rules.ruleset import RuleSet
from monitor.selfmetrics import SelfMetrics
from monitor.series.limits import Limits
from monitor.settings import MonitorSettings
from monitor.shards.held import Held
from monitor.shards.shard import ShardMetrics
from pipeline.errors import FormatError
from pipeline.members import Members
from pipeline.queue import Record
from pipeline.service import Health, listening
from pipeline.threads import Threads

NOW = 1_700_000_000 * 1_000_000_000 // SLOT_NS * SLOT_NS
SECRET = "a secret of sixteen"  # noqa: S105 - of this test
LINES = Question("app_lines", NOW, NOW + SLOT_NS, by=("app",))


class Shards:
    """The shards that one monitor holds."""

    def __init__(self) -> None:
        self.shards: dict[int, Held] = {}


class Monitor:
    """One of two monitors, as far as it answers questions.

    Attributes:
        owners: What the group says, shared by both.
    """

    def __init__(self, owners: dict[int, str], url: str, threads: Threads, rules: str) -> None:
        self.owning, self.owners, self.url = Shards(), owners, url
        self.answering = Answering(
            owning=self.owning,  # type: ignore[arg-type] - what answering needs of it
            queue_id="queue.1",
            rules=rules,
            threads=threads,
        )
        self.members = Members(url=url, secret=SECRET, owners=self.ask_owners)
        self.gone: frozenset[str] = frozenset()
        self.reader = GroupReader(
            answering=self.answering,
            members=self.members,
            partitions=2,
            gone=lambda: self.gone,
            metrics=SelfMetrics(CollectorRegistry()),
        )

    async def ask_owners(self) -> Mapping[int, str]:
        return dict(self.owners)

    def take(self, shard: int, *records: bytes, end: int = 0) -> None:
        metrics = ShardMetrics(shard, None, rules=RuleSet(), limits=Limits())
        waiting = [Record(shard, offset, value, NOW) for offset, value in enumerate(records)]
        while waiting:
            waiting = waiting[metrics.take(waiting) :]
        self.owning.shards[shard] = Held(metrics, end, 0.0, len(records))
        self.owners[shard] = self.url


@pytest.fixture
async def two(unused_ports: Callable[[int], list[int]]) -> AsyncIterator[Callable[..., Any]]:
    """Starts two monitors that know of each other."""
    threads = Threads(2, "test")
    async with AsyncExitStack() as stack:

        async def start(*, rules: tuple[str, str] = ("aa", "aa"), tokens: str = "") -> list[Monitor]:
            owners: dict[int, str] = {}
            monitors = []
            for port, digest in zip(unused_ports(2), rules, strict=True):
                one = Monitor(owners, f"http://127.0.0.1:{port}", threads, digest)
                app = build_api(
                    settings=MonitorSettings(tokens=tokens, listen=f"127.0.0.1:{port}"),
                    answering=one.answering,
                    routes=[overview_route(one.reader, now_ns=lambda: NOW + 2 * SLOT_NS)],
                    health=Health(),
                    registry=CollectorRegistry(),
                    peer_secret=SECRET,
                )
                await stack.enter_async_context(listening(app, f"127.0.0.1:{port}"))
                await stack.enter_async_context(_running(one.members))
                monitors.append(one)
            return monitors

        yield start
    threads.close()


@asynccontextmanager
async def _running(members: Members) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(members.run())
        try:
            yield
        finally:
            task.cancel()


@pytest.fixture
def records(writer: Any) -> Callable[[str, int], list[bytes]]:
    """Records with so many lines of an app, complete up to the end of the slot."""

    def make(app: str, count: int) -> list[bytes]:
        one = writer(app, time_ns=NOW)
        first = one.pack(*[b"line"] * count)
        one.time_ns = NOW + SLOT_NS
        return [first, one.pack()]

    return make


async def test_any_monitor_answers_for_all_shards(two: Any, records: Any) -> None:
    one, other = await two()
    one.take(0, *records("shop", 3))
    other.take(1, *records("blog", 5))
    for asked in (one, other):
        answer = await asked.reader.ask(LINES)
        assert {key: amount.total for key, amount in answer.groups.items()} == {("shop",): 3, ("blog",): 5}
        assert answer.watermark_ns == await asked.reader.watermark_ns() >= NOW + SLOT_NS
        assert [known.metric.name for known in await asked.reader.known(app="blog")] == ["app_line_bytes", "app_lines"]
        totals = [answer.groups for answer in await asked.reader.ask_many([LINES, LINES])]
        assert totals == [answer.groups] * 2
        with pytest.raises(KeyError):
            await asked.reader.ask(Question("nothing", NOW, NOW + SLOT_NS))


async def test_a_shard_that_has_moved_is_found_at_its_new_owner(two: Any, records: Any) -> None:
    one, other = await two()
    one.take(0, *records("shop", 3))
    one.take(1, *records("blog", 5))
    await one.members.refresh(since=0.0)
    other.take(1, *records("blog", 5))
    del one.owning.shards[1]
    assert len((await one.reader.ask(LINES)).groups) == 2


@pytest.mark.parametrize("why", ["away", "loading", "moved", "other rules"])
async def test_a_shard_that_is_missing_makes_no_answer(two: Any, records: Any, why: str) -> None:
    one, other = await two(rules=("aa", "bb" if why == "other rules" else "aa"))
    one.take(0, *records("shop", 3))
    other.take(1, *records("blog", 5), end=9 if why == "loading" else 0)
    if why == "away":
        one.owners[1] = "http://127.0.0.1:1"
    if why == "moved":
        del other.owning.shards[1]
    with pytest.raises(IncompleteError, match=f"shard 1: {why}"):
        await one.reader.ask(LINES)
    with pytest.raises(IncompleteError):
        await one.reader.watermark_ns()
    with pytest.raises(IncompleteError):
        await one.reader.known()


async def test_a_node_that_is_gone_is_left_out_by_both(two: Any, records: Any, writer: Any) -> None:
    one, other = await two()
    old = writer("old", node="gone", time_ns=NOW - 3 * SLOT_NS)
    one.take(0, *records("shop", 3))
    other.take(1, old.pack(b"x"), *records("blog", 5))
    assert await one.reader.watermark_ns() < NOW
    one.gone = frozenset({"gone"})
    assert await one.reader.watermark_ns() >= NOW + SLOT_NS


async def test_only_who_knows_the_secret_is_answered(two: Any, records: Any) -> None:
    one, _ = await two()
    one.take(0, *records("shop", 3))
    body = encode(Asked("queue.1", "aa", (0,), (), (LINES,)))
    async with aiohttp.ClientSession() as session:
        for header, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": SECRET}, 401)):
            async with session.post(one.url + ASK, data=body, headers=header) as response:
                assert response.status == status
        right = {"Authorization": f"Bearer {SECRET}"}
        async with session.post(one.url + ASK, data=body, headers=right) as response:
            assert decode(await response.read(), Said).shards.keys() == {0}
        async with session.post(one.url + ASK, data=b"\xc1" + body, headers=right) as response:
            assert response.status == 400


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x90", encode(Said({}, {}))[:1], b"\x92\x81\xff"])
def test_what_is_no_answer_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        decode(content, Said)


async def test_an_owner_that_answers_for_less_than_was_asked_makes_no_answer(
    two: Any, records: Any, unused_ports: Callable[[int], list[int]]
) -> None:
    one, _ = await two()
    one.take(0, *records("shop", 3))

    async def nothing(_: web.Request) -> web.Response:
        return web.Response(body=encode(Said({}, {})))

    app, (port,) = web.Application(), unused_ports(1)
    app.add_routes([web.post(ASK, nothing)])
    one.owners[1] = f"http://127.0.0.1:{port}"
    async with listening(app, f"127.0.0.1:{port}"):
        with pytest.raises(IncompleteError, match="shard 1: away"):
            await one.reader.ask(LINES)


async def test_an_app_is_told_with_its_values_and_how_they_came_to_be(two: Any, records: Any) -> None:
    one, other = await two()
    one.take(0, *records("shop", 30))
    other.take(1, *records("shop", 20), *records("shop2", 1))
    async with aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, Any]:
            async with session.get(other.url + path) as response:
                return response.status, await response.json()

        status, told = await ask("/v1/metrics/shop?window=10&points=2&metric=app_lines&by=app,stream")
        assert status == 200
        assert (told["watermark_age_seconds"], told["step_seconds"]) == (pytest.approx(10.0, abs=0.1), 10)
        (metric,) = told["metrics"]
        assert (metric["name"], metric["kind"]) == ("app_lines", "counter")
        assert metric["series"] == [
            {"labels": {"app": "shop", "stream": "stdout"}, "value": 5.0, "points": [0.0, 5.0]},
        ]
        assert [one["name"] for one in (await ask("/v1/metrics/shop?points=0"))[1]["metrics"]] == [
            "app_line_bytes",
            "app_lines",
        ]
        assert (await ask("/v1/metrics/nobody"))[0] == 404
        assert (await ask("/v1/metrics/shop?namespace=other"))[0] == 404
        for query in ("window=15", "window=x", "points=91", "what=1", "window=9999999999"):
            assert (await ask(f"/v1/metrics/shop?{query}"))[0] == 400, query
        del other.owners[0]
        del one.owning.shards[0]
        assert (await ask("/v1/metrics/shop"))[0] == 503


async def test_a_token_opens_what_it_names(two: Any, records: Any, tmp_path: Any) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("abcdefghijklmnopqrst ann shop\n")
    one, other = await two(tokens=str(tokens))
    one.take(0, *records("shop", 3))
    other.take(1, *records("blog", 3))
    async with aiohttp.ClientSession() as session:
        for app, header, status in (
            ("shop", {"Authorization": "Bearer abcdefghijklmnopqrst"}, 200),
            ("blog", {"Authorization": "Bearer abcdefghijklmnopqrst"}, 403),
            ("shop", {}, 401),
            ("shop", {"Authorization": f"Bearer {SECRET}"}, 401),
        ):
            async with session.get(f"{one.url}/v1/metrics/{app}", headers=header) as response:
                assert response.status == status


async def test_without_tokens_an_open_address_answers_nobody(two: Any) -> None:
    one, _ = await two()
    app = build_api(
        settings=MonitorSettings(listen="0.0.0.0:0"),
        answering=one.answering,
        routes=[overview_route(one.reader)],
        health=Health(),
        registry=CollectorRegistry(),
    )
    async with listening(app, "127.0.0.1:0") as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/v1/metrics/shop") as response:
            assert response.status == 403
        async with session.post(f"http://127.0.0.1:{port}{ASK}") as response:
            assert response.status == 404
