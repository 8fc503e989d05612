"""The agent with inputs from the network beside its files."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest

from pipeline.chunk import Flag

T = 1_700_000_000


@contextlib.asynccontextmanager
async def forwarding(running: Any, wait_until: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the agent's Forward input."""
    (server,) = [one for one in running._inputs._inputs if hasattr(one, "port")]
    await wait_until(lambda: bool(server.port))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_lines_from_the_network_reach_the_queue_and_are_acknowledged_then(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Any
) -> None:
    agent = live(forward_listen="127.0.0.1:0")
    container = make_container(tmp_path / "pods")
    container.append(line := container.line("from a file"))
    queue.away = True
    async with agent.running() as running, forwarding(running, wait_until) as (reader, writer):
        writer.write(msgpack.packb(["shop.web", T, {"log": "from the network"}, {"chunk": "c1"}]))
        await wait_until(lambda: agent.value("fluentd_input_messages_total", input="forward") == 1)
        answer = asyncio.ensure_future(reader.read(100))
        await asyncio.sleep(0.05)
        assert not answer.done(), "the queue does not have it"
        queue.away = False
        async with asyncio.timeout(30):
            assert msgpack.unpackb(await answer) == {"ack": "c1"}
        network = b"2023-11-14T22:13:20.000000000Z stdout F from the network\n"
        await wait_until(lambda: queue.lines() == {line, network})
        (chunk,) = [one for one in queue.logger().chunks if one.data == network]
        origin = chunk.origin
        assert (origin.node, origin.namespace, origin.pod, origin.container) == ("n1", "", "forward", "forward")
        assert (origin.app, origin.process) == ("shop", "web")
    (final,) = [one for one in queue.logger().chunks if one.flags & Flag.FINAL]
    assert final.source == chunk.source
    assert final.start == chunk.end


async def test_a_line_that_is_accepted_and_finds_no_room_holds_the_heartbeat_back(
    live: Any, queue: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluentd.lanes.heartbeat.SLACK_NS", 100_000_000)
    agent = live(forward_listen="127.0.0.1:0")
    async with agent.running() as running, forwarding(running, wait_until) as (_, writer):
        await wait_until(lambda: agent.value("fluentd_complete_seconds") > 0)
        queue.away = True
        for number in range(80):
            writer.write(msgpack.packb(["shop.web", T, {"log": f"{number} ".ljust(100_000, "x")}]))
        inputs, intake = running._inputs, running._inputs._intake
        await wait_until(lambda: not intake.has_room() and inputs.complete_ns < time.time_ns(), 60.0)
        held_ns, put = inputs.complete_ns, int(agent.value("fluentd_input_messages_total", input="forward"))
        await wait_until(lambda: time.time_ns() > held_ns + 600_000_000)
        assert agent.value("fluentd_complete_seconds") * 1e9 <= held_ns
        queue.away = False
        await wait_until(lambda: agent.value("fluentd_complete_seconds") * 1e9 > held_ns, 60.0)
        await wait_until(lambda: agent.value("fluentd_input_messages_total", input="forward") == 80, 60.0)
        await wait_until(lambda: not agent.value("fluentd_inflight_bytes"), 60.0)
    waited = b" F %d x" % put  # the first one that found no room
    for bodies in queue.packs():
        beyond = [index for index, body in enumerate(bodies) if body.heartbeat_ns > held_ns]
        assert beyond, "it goes on afterwards"
        places = [index for index, body in enumerate(bodies) if waited in body.data]
        assert all(index <= beyond[0] for index in places), "no heartbeat passes a line that is behind it"
    assert sum(waited in body.data for bodies in queue.packs() for body in bodies) == 1


async def test_copies_of_lines_from_files_and_network_go_out(
    live: Any, make_container: Any, wait_until: Any, tmp_path: Any
) -> None:
    records: list[Any] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = msgpack.Unpacker()
        while data := await reader.read(65536):
            unpacker.feed(data)
            records.extend(unpacker)
        writer.close()

    container = make_container(tmp_path / "pods")
    container.append(container.line("from a file"))
    async with await asyncio.start_server(take, "127.0.0.1", 0) as other:
        out = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"
        agent = live(forward_listen="127.0.0.1:0", forward_out=out)
        async with agent.running() as running, forwarding(running, wait_until) as (_, writer):
            writer.write(msgpack.packb(["shop.web", T, {"log": "from the network"}]))
            await wait_until(lambda: len(records) == 2)
    assert {(tag, record["log"]) for tag, _, record in records} == {
        ("deis.demo.web", "from a file"),
        ("deis.shop.web", "from the network"),
    }


async def test_an_agent_without_inputs_loads_and_counts_nothing_of_them(live: Any) -> None:
    agent = live()
    async with agent.running() as running:
        assert running._inputs._inputs == ()
        assert agent.registry.get_sample_value("fluentd_forward_connections") is None
