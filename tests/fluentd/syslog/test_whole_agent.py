"""Syslog through a whole agent: what the settings ask for listens, and what comes is in the queue, also at a stop."""

import asyncio
from typing import Any

import pytest


@pytest.mark.parametrize("away", [False, True])
async def test_what_an_agent_took_before_its_stop_is_in_the_queue(
    live: Any, queue: Any, wait_until: Any, away: bool
) -> None:
    """Also when the queue was away until then."""
    agent = live(syslog_listen="127.0.0.1:0", syslog_apps="name:etcd=etcd")
    async with agent.running() as running:
        server = running._inputs._inputs[0]
        await wait_until(lambda: bool(server.port))
        queue.away = away
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"".join(b"<13>1 - h etcd - - - line %d\n" % number for number in range(1000)))
        await writer.drain()
        writer.close()
        await wait_until(lambda: agent.value("fluentd_input_messages_total", input="syslog") == 1000)
        queue.away = False
    chunks = [chunk for chunk in queue.logger().chunks if chunk.data]
    assert {(chunk.origin.app, chunk.origin.process) for chunk in chunks} == {("etcd", "etcd")}
    lines = b"".join(chunk.data for chunk in chunks).split(b"\n")[:-1]
    assert [line.rpartition(b" ")[2] for line in lines] == [b"%d" % number for number in range(1000)]


async def test_an_agent_that_is_not_asked_to_does_not_load_it(live: Any) -> None:
    async with live().running() as running:
        assert running._inputs._inputs == ()
