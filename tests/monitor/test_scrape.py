"""A scrape shows what may be shown at its moment, waits a little for the group, and is refused at the start only."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from monitor.scraping import scrape as scraping
from monitor.scraping.scrape import Scrape
from monitor.shards.lag import Ends
from monitor.shards.owning import SETTLE_SECONDS
from monitor.shards.suspects import SILENT_NS, suspects

BACK = SETTLE_SECONDS + 0.1


class Scraped:
    """Scrapes of a bench, at the bench's time."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.scrape = Scrape(
            owning=bench.owning,
            ends=Ends(bench.group.ends),
            gone=frozenset,
            registry=bench.registry,
            metrics=bench.metrics,
            clock=lambda: bench.group.now,
        )

    async def get(self) -> tuple[int, str]:
        answer = await self.scrape.get(make_mocked_request("GET", "/metrics"))
        return answer.status, answer.text or ""

    async def shards(self) -> list[int]:
        """The shards of an answer."""
        status, text = await self.get()
        assert status == 200
        return [shard for shard in range(4) if f'monitor_records_total{{shard="{shard}"}}' in text]


@pytest.fixture
def scraped(bench: Any) -> Scraped:
    return Scraped(bench)


async def test_the_start_is_refused_with_the_reason_until_all_is_read(
    bench: Any, scraped: Scraped, writer: Any
) -> None:
    one = writer()
    assert await scraped.get() == (503, "waiting for the group to say which shards are owned here\n")
    bench.group.end[1] = 1
    await bench.assigned(0, 1)
    bench.group.now += BACK
    assert await scraped.get() == (503, "shard 1 is at 0 of 1\n")
    bench.take(1, one.pack(b"a"))
    assert await scraped.shards() == [0, 1]
    bench.group.end[2] = 5
    await bench.assigned(0, 1, 2, kept=frozenset({0, 1}))
    bench.group.now += BACK
    assert await scraped.shards() == [0, 1], "a shard that came later is no reason to refuse the others"


async def test_a_monitor_that_owns_nothing_is_scraped_for_itself(bench: Any, scraped: Scraped) -> None:
    await bench.assigned()
    assert await scraped.shards() == []


async def test_a_scrape_waits_for_the_group_and_then_goes_on(bench: Any, scraped: Scraped) -> None:
    await bench.assigned(0)
    bench.group.now += BACK
    assert await scraped.shards() == [0]
    bench.group.sure_until = float("-inf")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        waiting = group.create_task(scraped.shards())
        await asyncio.sleep(0)
        bench.group.sure_until = float("inf")
    assert waiting.result() == [0]


async def test_one_that_is_not_sure_for_long_shows_no_shard_and_counts_that(bench: Any, scraped: Scraped) -> None:
    await bench.assigned(0)
    bench.group.now += BACK
    assert await scraped.shards() == [0]
    bench.group.sure_until = bench.group.now - 20  # frozen, and awake again
    ticking = iter(range(1000))
    scraped.scrape._clock = lambda: bench.group.now + next(ticking)
    assert await scraped.shards() == []
    assert bench.registry.get_sample_value("monitor_hidden_scrapes_total") == 1


async def test_what_was_read_before_a_freeze_is_not_shown_after_it(
    bench: Any, scraped: Scraped, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.assigned(0)
    bench.group.now += BACK
    assert await scraped.shards() == [0]
    read = scraped.scrape._show

    def show_and_freeze(*shards: Any) -> Any:
        found = read(*shards)
        bench.group.sure_until = bench.group.now  # over by the time that it is read
        return found

    monkeypatch.setattr(scraped.scrape, "_show", show_and_freeze)
    monkeypatch.setattr(scraping, "WAIT_SECONDS", 0.0)
    assert await scraped.shards() == []


async def test_what_was_read_before_a_move_is_not_shown_after_it(
    bench: Any, scraped: Scraped, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.assigned(0, 1)
    bench.group.now += BACK
    read = scraped.scrape._show

    def show_and_lose(*shards: Any) -> Any:
        found = read(*shards)
        if 1 in bench.owning.shards:
            bench.group.assign(0, kept=frozenset({0}))
            bench.owning._generation = bench.group.assignment.generation
            del bench.owning.shards[1]
        return found

    monkeypatch.setattr(scraped.scrape, "_show", show_and_lose)
    assert await scraped.shards() == [0]


async def test_nodes_that_fall_silent_while_others_speak_are_suspected_if_they_are_a_clusters(
    bench: Any, writer: Any
) -> None:
    await bench.assigned(0)
    now_ns = writer().time_ns
    for node, behind_ns in (("spoke", 2 * SILENT_NS), ("never", 2 * SILENT_NS), ("here", 0)):
        one = writer(node, node=node, time_ns=now_ns - behind_ns)
        bench.take(0, one.pack(b"a", pods_ns=0 if node == "never" else one.time_ns))
    assert suspects(bench.owning) == {"spoke"}
