"""Recorded counts tried over HTTP: the same looks as `replay` gives, and bounds."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from monitor.canary import trying
from monitor.canary.counts import MINUTE_NS, MetricCounts, MetricPolicy, Minute, Observation, Policy
from monitor.canary.simulate import replay
from monitor.canary.trying import MINUTES, PICTURE, SIMULATE, Tried, Trying

POLICY = Policy((MetricPolicy("errors", phi=1.0, warm_up_minutes=1),), min_minutes=3)
CSV = "metric,minute,stable_n,stable_e,canary_n,canary_e\n" + "".join(
    f"errors,{minute},3000,15,300,15\n" for minute in range(8)
)


def observed(minutes: int) -> Observation:
    counts = tuple(Minute(number * MINUTE_NS, 3000, 15, 300, 15) for number in range(minutes))
    return Observation(0, minutes * MINUTE_NS, (MetricCounts("errors", counts),))


async def answered(path: str, body: object) -> tuple[int, bytes]:
    app = web.Application()
    app.add_routes(Trying().routes())
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    async with TestClient(TestServer(app)) as client:
        answer = await client.post(path, data=data)
        return answer.status, await answer.read()


async def test_json_and_csv_are_judged_minute_by_minute_as_replay_does() -> None:
    expected = [msgspec.json.decode(msgspec.json.encode(look.verdict)) for look in replay(POLICY, observed(8))]
    for body in ({"policy": POLICY, "observation": observed(8)}, {"policy": POLICY, "csv": CSV}):
        status, answer = await answered(SIMULATE, body)
        assert status == 200
        verdicts = [look["verdict"] for look in msgspec.json.decode(answer)["looks"]]
        assert verdicts == expected
        assert verdicts[-1]["decision"] == "rollback"


async def test_a_picture_of_them_is_drawn() -> None:
    status, answer = await answered(PICTURE, {"policy": POLICY, "observation": observed(8)})
    assert status == 200
    assert answer.startswith(b"<svg")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[1]",
        {"policy": {"metrics": []}, "csv": CSV},
        {"policy": POLICY, "csv": "metric,minute\n"},
        {"policy": POLICY, "observation": {"start_ns": 0, "until_ns": 2**62, "metrics": []}},
        {"policy": POLICY, "observation": observed(MINUTES + 1)},
        {"policy": {"metrics": [{"name": f"m{number}"} for number in range(100)]}, "observation": observed(8)},
    ],
)
async def test_what_makes_no_sense_or_too_much_work_is_refused(body: object) -> None:
    status, said = await answered(SIMULATE, body)
    assert status == 400
    assert len(said) <= 500


async def test_one_is_tried_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def held(tried: Tried) -> list[Any]:
        del tried
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        return []

    monkeypatch.setattr(trying, "_looks", held)
    app = web.Application()
    app.add_routes(Trying().routes())
    body = msgspec.json.encode({"policy": POLICY, "csv": CSV})
    async with TestClient(TestServer(app)) as client, asyncio.TaskGroup() as group:
        first = group.create_task(client.post(SIMULATE, data=body))
        await begun.wait()
        assert (await client.post(SIMULATE, data=body)).status == 503
        go_on.set()
        assert (await first).status == 200
