"""Any logger answers any question, and a follow through any of them goes on whoever dies."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from demo.numbered import Seen, find_faults
from demo.stack import pause, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.slow]


async def read_all(port: int, app: str) -> tuple[list[Seen], str]:
    """Everything that there is of an app through one logger, and what is said to be missing."""
    seen: list[Seen] = []
    cursor, partial = "", ""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        while True:
            parameters = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
            async with client.get(f"/v1/apps/{app}/logs", params=parameters) as answer:
                assert answer.status == 200, await answer.read()
                seen.extend(seen_of(json.loads(line)) for line in (await answer.read()).splitlines())
                cursor, partial = answer.headers.get("Next-Cursor", ""), answer.headers.get("Partial", partial)
            if not cursor:
                return seen, partial


def seen_of(line: dict[str, Any]) -> Seen:
    return Seen(line["message"], f"{line['source']}+{line['offset']}")


class Client:
    """Follows an app through one logger after the other, as long as it is let."""

    def __init__(self, ports: list[int], app: str) -> None:
        self.seen: list[Seen] = []
        self.connects = 0
        self._ports = ports
        self._app = app
        self._cursor = ""

    async def run(self) -> None:
        while True:
            port = self._ports[self.connects % len(self._ports)]
            self.connects += 1
            try:
                await self._follow(port)
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(0.2)

    async def _follow(self, port: int) -> None:
        parameters = {"format": "ndjson", **({"cursor": self._cursor} if self._cursor else {"since": "1h"})}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=15)
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=limits) as client,
            client.get(f"/v1/apps/{self._app}/logs/follow", params=parameters) as answer,
        ):
            while line := await answer.content.readline():
                event = json.loads(line)
                if event["type"] == "line":
                    self.seen.append(seen_of(event))
                self._cursor = event.get("cursor", self._cursor)


async def test_every_logger_has_every_line_that_was_written_five_seconds_before(pair: Any) -> None:
    """Of each app, whoever owns its shard; most of it is in a head."""
    cluster, writers = pair.cluster, pair.writers
    ports = [cluster.ports[name] for name in cluster.loggers]
    await asyncio.to_thread(settle, cluster)
    for _ in range(3):
        written = {app: dict(writers.written(app)) for app in writers.apps}
        await asyncio.sleep(5)
        for app, due in written.items():
            for port in ports:
                seen, partial = await read_all(port, app)
                assert not partial
                # More was written since.
                faults = [fault for fault in find_faults(seen, due) if not fault.startswith("never written")]
                assert not faults, faults[:10]
    async with aiohttp.ClientSession() as client:
        for port in ports:
            async with client.get(f"http://127.0.0.1:{port}/v1/apps") as answer:
                assert [app["app"] for app in (await answer.json())["apps"]] == sorted(writers.apps)


async def test_a_follow_has_each_line_once_when_an_owner_is_killed_and_comes_back(pair: Any) -> None:
    """Through the survivor, and through one that is killed itself; questions say what is missing until the takeover."""
    cluster, writers = pair.cluster, pair.writers
    two = cluster.loggers[1]
    ports = [cluster.ports[name] for name in cluster.loggers]
    await asyncio.to_thread(settle, cluster)
    app = writers.apps[0]
    clients = [Client([ports[0]], app), Client(ports[::-1], app), *(Client([ports[0]], each) for each in writers.apps)]
    async with asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(client.run()) for client in clients]
        await asyncio.sleep(5)
        await asyncio.to_thread(cluster.kill, two)
        _, partial = await read_all(ports[0], app)
        assert partial.startswith("shards ")
        begun = time.monotonic()
        while (await read_all(ports[0], app))[1]:
            assert time.monotonic() - begun < 60
            await asyncio.sleep(0.5)
        cluster.start(two)
        await asyncio.to_thread(cluster.wait_ready, two)
        await asyncio.sleep(5)
        await asyncio.to_thread(writers.stop)
        counts = {client: sum(writers.written(client._app).values()) for client in clients}
        async with asyncio.timeout(60):
            while any(len(client.seen) < counts[client] for client in clients):  # noqa: ASYNC110 - they have no event
                await asyncio.sleep(0.2)
        await asyncio.sleep(2)  # for doubles to come
        for task in following:
            task.cancel()
    for client in clients:
        faults = find_faults(client.seen, writers.written(client._app))
        assert not faults, faults[:10]
    assert clients[1].connects > 1


def settle(cluster: Any) -> None:
    """Wait until both loggers own shards and every shard is answered for."""
    wait_until(
        lambda: all(cluster.metric(name, "logger_head_bytes") > 0 for name in cluster.loggers),
        seconds=60,
        what="rows in both heads",
    )
    pause(2)
