"""The input on a socket: acknowledgements, doubles, keys, TLS, bounds, and an orderly stop."""

import asyncio
import contextlib
import gzip
import hashlib
import socket
from typing import Any

import msgpack
import pytest

from pipeline.chunk import Flag
from pipeline.limits import KIB, MIB

T = 1_700_000_000


def message(text: str, *, tag: str = "shop.web", chunk: str | None = None) -> list[Any]:
    return [tag, T, {"log": text}, {"chunk": chunk} if chunk else {}]


async def test_an_acknowledgement_comes_when_the_queue_has_the_lines_and_not_before(serve: Any) -> None:
    async with serve() as served:
        served.lanes.holding = True
        client = await served.connect()
        await client.send(message("one"), message("two", chunk="c1"))
        await served.until(lambda: served.lanes.messages() == [b"one", b"two"])
        answer = asyncio.ensure_future(client.receive())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer), 0.05)
        served.lanes.acknowledge()
        assert await answer == {"ack": "c1"}
        assert served.value("fluentd_forward_acks_total") == 1
        assert served.value("fluentd_input_messages_total", input="forward") == 2


async def test_a_double_is_acknowledged_and_not_taken_again_even_while_the_first_is_on_its_way(serve: Any) -> None:
    async with serve() as served:
        served.lanes.holding = True
        first, second = await served.connect(), await served.connect()
        await first.send(message("once", chunk="c1"))
        await served.until(lambda: served.lanes.messages() == [b"once"])
        await second.send(message("once", chunk="c1"))
        await served.until(lambda: served.value("fluentd_forward_doubles_total") == 1)
        served.lanes.acknowledge()
        assert await first.receive() == await second.receive() == {"ack": "c1"}
        await second.send(message("once", chunk="c1"), message("twice", chunk="c1"))
        await served.until(lambda: len(served.lanes.messages()) == 2)
        served.lanes.acknowledge()
        assert [await second.receive() for _ in range(2)] == [{"ack": "c1"}] * 2
        assert served.lanes.messages() == [b"once", b"twice"]


async def test_acknowledgements_of_many_frames_come_in_their_order(serve: Any) -> None:
    async with serve() as served:
        client = await served.connect()
        await client.send(*[message(str(number), chunk=f"c{number}") for number in range(300)])
        assert [await client.receive() for _ in range(300)] == [{"ack": f"c{number}"} for number in range(300)]
        assert served.lanes.messages() == [b"%d" % number for number in range(300)]


async def test_a_client_that_leaves_without_waiting_has_its_lines_taken(serve: Any) -> None:
    async with serve() as served:
        client = await served.connect()
        await client.send(*[message(str(number), chunk=f"c{number}") for number in range(200)])
        await client.close()
        await served.until(lambda: len(served.lanes.messages()) == 200)
        await served.until(lambda: served.server.connections == 0)


async def test_a_bad_frame_closes_its_connection_and_what_was_before_it_is_kept_and_acknowledged(serve: Any) -> None:
    async with serve() as served:
        bad, good = await served.connect(), await served.connect()
        await bad.send(message("before", chunk="c1"), ["shop", b"\xc1", {"chunk": "c2"}], message("after", chunk="c3"))
        assert await bad.receive() == {"ack": "c1"}
        assert await bad.receive() is None
        await good.send(message("other", chunk="c4"))
        assert await good.receive() == {"ack": "c4"}
        assert served.lanes.messages() == [b"before", b"other"]
        assert served.value("fluentd_forward_closed_total", reason="format") == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x91" * 100_000, "nesting"),
        (b"\xdd\xff\xff\xff\xff" + b"\x00" * (MIB + 70_000), "size"),
        (msgpack.packb(["shop", gzip.compress(b"\0" * 20 * MIB), {"compressed": "gzip"}]), "inflated"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "format"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "format"),
    ],
)
async def test_hostile_bytes_are_refused_with_a_reason(serve: Any, data: bytes, reason: str) -> None:
    async with serve() as served:
        client = await served.connect()
        with contextlib.suppress(ConnectionError):  # closed while it was writing
            await client.send_bytes(data)
        assert await client.receive() is None
        assert served.value("fluentd_forward_closed_total", reason=reason) == 1
        assert served.lanes.chunks == []


async def test_a_frame_that_is_cut_off_is_counted_and_not_taken(serve: Any) -> None:
    async with serve() as served:
        client = await served.connect()
        await client.send_bytes(msgpack.packb(message("whole")) + msgpack.packb(message("half"))[:-3])
        await client.close()
        await served.until(lambda: served.value("fluentd_forward_closed_total", reason="cut") == 1)
        assert served.lanes.messages() == [b"whole"]


async def test_nothing_is_read_while_there_is_no_room_and_all_comes_when_there_is(serve: Any) -> None:
    async with serve(limit_bytes=MIB) as served:
        served.lanes.holding = True
        client = await served.connect()
        texts = [f"{number} ".ljust(100_000, "x") for number in range(100)]
        sending = asyncio.ensure_future(client.send(*[message(text) for text in texts]))
        await served.until(lambda: not served.intake.has_room())
        held_ns = served.inputs.complete_ns
        assert served.intake.used_bytes <= 2 * MIB
        await asyncio.sleep(0.05)
        assert served.intake.used_bytes <= 2 * MIB
        assert served.inputs.complete_ns == held_ns, "a frame that waits for room holds the heartbeat back"
        served.lanes.holding = False
        served.lanes.acknowledge()
        await sending
        await served.until(lambda: len(served.lanes.messages()) == 100)
        assert served.lanes.messages() == [text.encode() for text in texts]
        assert served.inputs.complete_ns > held_ns + 10**18, "an idle client does not"


async def test_more_large_frames_than_may_be_in_memory_at_once_all_get_through(serve: Any) -> None:
    async with serve() as served:
        clients = [await served.connect() for _ in range(6)]
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                body = b"".join(msgpack.packb([T, {"log": f"{number} ".ljust(1000, "x")}]) for _ in range(300))
                group.create_task(client.send(["shop", body, {"chunk": f"c{number}"}]))
        assert [await client.receive() for client in clients] == [{"ack": f"c{number}"} for number in range(6)]
        assert len(served.lanes.messages()) == 1800


async def test_no_more_than_two_large_frames_are_on_their_way_and_small_ones_pass(serve: Any) -> None:
    async with serve(forward_frame_seconds=30) as served:
        large = msgpack.packb(["shop", msgpack.packb([T, {"log": "x" * 400_000}]), {"chunk": "large"}])
        holders = [await served.connect() for _ in range(2)]
        for holder in holders:
            await holder.send_bytes(large[:300_000])
        await served.until(served.server.parts.large.locked)
        waiting = await served.connect()
        sending = asyncio.ensure_future(waiting.send_bytes(large))
        await served.until(lambda: served.server.connections == 3)
        await holders[1].send_bytes(large[300_000:320_000])
        small = await served.connect()
        entries = gzip.compress(msgpack.packb([T, {"log": "small"}]))
        for number in range(3):
            await small.send(["shop", entries, {"chunk": f"c{number}", "compressed": "gzip"}])
            assert await small.receive() == {"ack": f"c{number}"}
        assert served.server.parts.large.locked(), "who holds half a frame keeps its place"
        assert len(served.lanes.messages()) == 3
        await holders[0].close()
        await sending
        assert await waiting.receive() == {"ack": "large"}
        await holders[1].send_bytes(large[320_000:])
        assert await holders[1].receive() == {"ack": "large"}


async def test_clients_over_the_limit_are_closed_at_once_and_counted(serve: Any) -> None:
    async with serve(forward_connections=2) as served:
        first, second = await served.connect(), await served.connect()
        await served.until(lambda: served.server.connections == 2)
        third = await served.connect()
        assert await third.receive() is None
        assert served.value("fluentd_forward_closed_total", reason="connections") == 1
        await first.close()
        await served.until(lambda: served.server.connections == 1)
        fourth = await served.connect()
        for client in (second, fourth):
            await client.send(message("a", chunk="c"))
            assert await client.receive() == {"ack": "c"}


async def test_a_client_that_sends_nothing_or_half_a_frame_is_closed(serve: Any) -> None:
    async with serve(forward_idle_seconds=0.5, forward_frame_seconds=0.3) as served:
        idle, slow = await served.connect(), await served.connect()
        await slow.send_bytes(msgpack.packb(message("half"))[:-3])
        assert await idle.receive() is None
        assert await slow.receive() is None
        assert served.value("fluentd_forward_closed_total", reason="idle") == 1
        assert served.value("fluentd_forward_closed_total", reason="slow") == 1


async def test_a_frame_that_trickles_in_is_refused_though_its_client_never_pauses_for_long(serve: Any) -> None:
    async with serve(forward_idle_seconds=60, forward_frame_seconds=0.3) as served:
        client = await served.connect()
        data = msgpack.packb(message("x" * 100_000))
        closed = asyncio.ensure_future(client.receive())
        async with asyncio.timeout(30):
            for byte in data:
                if closed.done():
                    break
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
        assert await closed is None
        assert served.value("fluentd_forward_closed_total", reason="slow") == 1


async def test_a_client_with_the_key_writes_and_one_without_does_not(serve: Any) -> None:
    async with serve(forward_shared_key="secret") as served:
        assert (await greet(await served.connect(), "wrong"))[:3] == ["PONG", False, "shared key mismatch"]
        client = await served.connect()
        assert (await greet(client, "secret"))[:2] == ["PONG", True]
        await client.send(message("x" * 20_000, chunk="c1"))
        assert await client.receive() == {"ack": "c1"}
        eager = await served.connect()
        await eager.send(message("not greeted"))
        assert (await eager.receive())[0] == "HELO"
        assert await eager.receive() is None
        assert served.value("fluentd_forward_closed_total", reason="auth") == 2
        assert served.lanes.messages() == [b"x" * 20_000]


async def test_who_is_not_known_gets_no_memory(serve: Any) -> None:
    async with serve(forward_shared_key="secret") as served:
        client = await served.connect()
        await client.send_bytes(b"\xc6\x00\x10\x00\x00" + b"x" * 40 * KIB)
        assert (await client.receive())[0] == "HELO"
        assert await client.receive() is None
        assert served.value("fluentd_forward_closed_total", reason="size") == 1


async def test_lines_of_an_app_that_a_key_does_not_open_are_dropped_and_counted(serve: Any, tmp_path: Any) -> None:
    path = tmp_path / "access.json"
    path.write_text('{"keys": {"shop": {"key": "secret", "apps": ["shop"]}}}')
    async with serve(forward_access=path) as served:
        client = await served.connect()
        assert (await greet(client, "secret"))[1]
        entries = [[T, {"log": "mine"}], [T, {"log": "theirs", "app": "blog"}], [T, {"log": "mine", "app": "shop"}]]
        await client.send(["shop", entries, {"chunk": "c1"}], ["blog", entries[:1], {"chunk": "c2"}])
        assert [await client.receive() for _ in range(2)] == [{"ack": "c1"}, {"ack": "c2"}]
        assert {(one.app, one.message) for one in served.lanes.lines()} == {("shop", b"mine")}
        assert served.value("fluentd_input_dropped_messages_total", input="forward", reason="app") == 2


async def test_a_udp_heartbeat_is_answered_and_nothing_longer(serve: Any) -> None:
    async with serve() as served:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)  # noqa: FBT003 - its only argument
            client.connect(("127.0.0.1", served.server.port))
            await loop.sock_sendall(client, b"x" * 1000)
            await loop.sock_sendall(client, b"\0")
            async with asyncio.timeout(30):
                assert await loop.sock_recv(client, 100) == b"\0"
        assert served.value("fluentd_forward_heartbeats_total") == 1


async def test_a_stop_takes_what_is_there_ends_the_sources_and_answers(serve: Any) -> None:
    async with serve() as served:
        served.lanes.holding = True
        waiting, idle = await served.connect(), await served.connect()
        await idle.send(message("from idle"))
        await waiting.send(*[message(str(number), chunk=f"c{number}") for number in range(20)])
        stopping = asyncio.ensure_future(served.inputs.stop(seconds=30))
        await stopping
        assert len(served.lanes.messages()) == 21
        assert served.lanes.chunks[-1].chunk.flags & Flag.FINAL
        assert served.inputs.complete_ns > T * 10**9 * 2, "nothing waits any more"
        served.lanes.acknowledge()
        assert [await waiting.receive() for _ in range(20)] == [{"ack": f"c{number}"} for number in range(20)]
        assert await waiting.receive() is None
        assert await idle.receive() is None
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset
            await served.connect()


async def test_a_stop_is_not_held_up_by_a_client_that_finds_no_room(serve: Any) -> None:
    async with serve(limit_bytes=MIB) as served:
        served.lanes.holding = True
        client = await served.connect()
        client.writer.write(b"".join(msgpack.packb(message("x" * 100_000)) for _ in range(100)))
        await served.until(lambda: not served.intake.has_room())
        await served.inputs.stop(seconds=0.1)
        assert served.server.connections == 0
        assert await client.receive() is None


async def greet(client: Any, key: str) -> Any:
    """The client's side of the handshake."""
    _, options = await client.receive()
    digest = hashlib.sha512(b"salt" + b"host" + options["nonce"] + key.encode()).hexdigest()
    await client.send(["PING", "host", b"salt", digest, "", ""])
    return await client.receive()
