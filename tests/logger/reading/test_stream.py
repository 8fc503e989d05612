"""A follow over a real socket: both formats, reconnects, clients that do not read."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import aiohttp
import pytest

from logger.api import stream as streams
from pipeline.errors import StoreUnavailableError

BASE = 1_795_478_400_000_000_000
FOLLOW = "/v1/apps/demo/logs/follow"


def rows(make: Any, start: int, stop: int, size: int = 0) -> Any:
    return [
        make.row(order_ns=BASE + number, offset=number, message=b"line %d" % number + b"x" * size)
        for number in range(start, stop)
    ]


async def ndjson(answer: Any, count: int) -> Any:
    found = []
    while len(found) < count:
        event = json.loads(await answer.content.readline())
        if event["type"] == "line":
            found.append(event)
    return found


async def sse(answer: Any, count: int) -> Any:
    """The id and data of some line events, read as the standard says."""
    found, fields = [], {}
    while len(found) < count:
        line = (await answer.content.readline()).decode().removesuffix("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if fields["event"] == "line":
                found.append((fields["id"], json.loads(fields["data"])))
            fields = {}
    return found


async def test_ndjson_goes_on_where_the_cursor_says(pipeline: Any, make: Any, serve: Any) -> None:
    """Old lines, then new ones, then a reconnect."""
    pipeline.append(rows(make, 0, 20))
    async with serve(pipeline) as served:
        async with served.client.get(f"{FOLLOW}?format=ndjson") as answer:
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            assert [line["offset"] for line in await ndjson(answer, 10)] == list(range(10, 20))
            pipeline.append(rows(make, 20, 25))
            last = (await ndjson(answer, 3))[-1]
        assert last["offset"] == 22
        async with served.client.get(FOLLOW, params={"format": "ndjson", "cursor": last["cursor"]}) as answer:
            assert [line["offset"] for line in await ndjson(answer, 2)] == [23, 24]


async def test_server_sent_events_resume_by_last_event_id(pipeline: Any, make: Any, serve: Any) -> None:
    """The default, and what `Accept: text/event-stream` asks for."""
    pipeline.append(rows(make, 0, 5))
    async with serve(pipeline) as served:
        for headers in ({}, {"Accept": "text/event-stream"}):
            async with served.client.get(f"{FOLLOW}?lines=3", headers=headers) as answer:
                assert answer.headers["Content-Type"] == "text/event-stream"
                events = await sse(answer, 3)
        assert [data["offset"] for _, data in events] == [2, 3, 4]
        assert all(data["cursor"] == cursor and data["type"] == "line" for cursor, data in events)
        async with served.client.get(FOLLOW, headers={"Last-Event-ID": events[0][0]}) as answer:
            assert [data["offset"] for _, data in await sse(answer, 2)] == [3, 4]


async def test_one_follow_more_than_allowed_is_429(pipeline: Any, serve: Any) -> None:
    """And the place is free again when a client goes."""
    async with serve(pipeline, followers=1) as served, served.client.get(FOLLOW) as first:
        assert first.status == 200
        assert served.registry.get_sample_value("logger_followers") == 1
        status, error = await served.error(FOLLOW)
        assert status == 429
        assert "follows are open" in error


async def never_reading(port: int) -> Any:
    """A client that asks and takes nothing; its small window fills soon."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)  # noqa: FBT003 - the standard library's own
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    request = f"GET {FOLLOW}?format=ndjson&lines=0 HTTP/1.1\r\nHost: x\r\n\r\n"
    await loop.sock_sendall(connection, request.encode())
    return connection


async def test_a_client_that_does_not_read_is_cut_off_and_slows_nobody(
    pipeline: Any, make: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, and another client gets every line at once."""
    monkeypatch.setattr(streams.Streams.__init__, "__kwdefaults__", {"stall_seconds": 0.2})
    monkeypatch.setattr(streams, "GOODBYE_SECONDS", 0.1)
    async with serve(pipeline, follower_lines=16) as served:
        idle = await never_reading(served.port)
        async with served.client.get(f"{FOLLOW}?format=ndjson&lines=0") as answer, asyncio.timeout(20):
            await make.until(lambda: served.registry.get_sample_value("logger_followers") == 2)
            start = 0
            while not served.registry.get_sample_value("logger_followers_cut_off_total"):
                pipeline.append(rows(make, start, start + 20, size=50_000))
                assert [line["offset"] for line in await ndjson(answer, 20)] == list(range(start, start + 20))
                start += 20
                await asyncio.sleep(0.02)
            await make.until(lambda: served.registry.get_sample_value("logger_followers") == 1)
        idle.close()


async def test_a_client_that_is_cut_off_and_reads_after_all_is_told_why(
    pipeline: Any, make: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last event it gets is the end, with the number of lines."""
    monkeypatch.setattr(streams.Streams.__init__, "__kwdefaults__", {"stall_seconds": 0.1})
    monkeypatch.setattr(streams, "GOODBYE_SECONDS", 10.0)
    async with serve(pipeline, follower_lines=16) as served:
        connection = await never_reading(served.port)
        async with asyncio.timeout(20):
            start = 0
            while not served.registry.get_sample_value("logger_followers_cut_off_total"):
                pipeline.append(rows(make, start, start + 20, size=50_000))
                start += 20
                await asyncio.sleep(0.02)
            loop, content = asyncio.get_running_loop(), b""
            while b'"type":"end"' not in content[-1000:]:
                part = await loop.sock_recv(connection, 1 << 20)
                assert part, content[-1000:]
                content += part
        connection.close()
    assert b"slow client: " in content[-1000:]
    assert b" lines waiting" in content[-1000:]


async def test_storage_trouble_ends_a_follow_with_a_word(pipeline: Any, serve: Any) -> None:
    """The client has its cursor, and comes back."""
    async with serve(pipeline) as served:

        def fail() -> None:
            raise StoreUnavailableError("gone")

        pipeline.reader_table.refresh = fail
        async with served.client.get(f"{FOLLOW}?format=ndjson") as answer:
            assert json.loads(await answer.content.readline()) == {"type": "end", "reason": "not available: gone"}
            assert await answer.content.readline() == b""


async def test_follows_end_when_the_logger_stops(pipeline: Any, serve: Any) -> None:
    """With a word, and without holding up the stop."""
    async with contextlib.AsyncExitStack() as stack:
        stopping = contextlib.AsyncExitStack()
        served = await stopping.enter_async_context(serve(pipeline))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        answer = await client.get(f"http://127.0.0.1:{served.port}{FOLLOW}?format=ndjson")
        async with asyncio.timeout(1.5):
            await stopping.aclose()
        content = await answer.content.read()
        assert json.loads(content.splitlines()[-1]) == {"type": "end", "reason": "the logger stops"}


@pytest.mark.parametrize("searching", [True, False])
async def test_too_many_queries_at_once_are_429(pipeline: Any, make: Any, serve: Any, searching: bool) -> None:
    """Some run, some wait, the rest is refused; later all is well again."""
    pipeline.append(rows(make, 0, 5))
    reader = pipeline.reader
    gate = reader._scans_gate if searching else reader._reads_gate
    async with serve(pipeline) as served:
        places, gate._places = gate._places, 0
        status, error = await served.error("/v1/apps/demo/logs" + ("?text=x" if searching else ""))
        assert (status, error) == (429, "too many queries at once")
        gate._places = places
        assert (await served.get("/v1/apps/demo/logs"))[0] == 200


@pytest.mark.parametrize("form", ["sse", "ndjson"])
async def test_a_client_without_lines_goes_on_from_a_watermark(
    pipeline: Any, serve: Any, make: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """What arrived while it was away is sent, filters and all."""
    monkeypatch.setattr("logger.reading.follow.WATERMARK_SECONDS", 0.02)
    pipeline.append(make.numbered("demo", 3))
    async with serve(pipeline) as served:
        query = f"{FOLLOW}?format={form}&lines=0&text=late"
        async with served.client.get(query) as answer:
            token = ""
            while not token:
                line = await answer.content.readline()
                if form == "sse" and line.startswith(b"id: "):
                    token = line[4:].decode().strip()
                elif form == "ndjson":
                    token = json.loads(line).get("cursor", "")
        pipeline.append([make.row(message=b"late one", offset=9999), make.row(message=b"other", offset=10000)])
        headers = {"Last-Event-ID": token} if form == "sse" else {}
        resumed = query if form == "sse" else f"{query}&cursor={token}"
        async with served.client.get(resumed, headers=headers) as answer:
            while b"line" not in (line := await answer.content.readline()):
                pass
            line = line if form == "ndjson" else await answer.content.readline() + await answer.content.readline()
        assert b"late one" in line


async def test_a_cursor_of_a_queue_that_was_replaced_is_gone(pipeline: Any, serve: Any, make: Any) -> None:
    """Its offsets may be those of other records: neither waited for nor matched. A page's cursor has none."""
    pipeline.append(make.numbered("demo", 3))
    async with serve(pipeline) as served:
        async with served.client.get(f"{FOLLOW}?format=ndjson&lines=1") as answer:
            token = json.loads(await answer.content.readline())["cursor"]
        _, headers, _ = await served.get("/v1/apps/demo/logs?limit=1")
    pipeline.commit()
    replaced = make.pipeline(pipeline.store, queue_id="another")
    async with serve(replaced) as served:
        status, said = await served.error(f"{FOLLOW}?cursor={token}")
        assert status == 410
        assert "begin anew" in said
        assert len(await served.lines(f"/v1/apps/demo/logs?cursor={headers['Next-Cursor']}")) == 2


async def test_context_is_marked_over_http(pipeline: Any, serve: Any, make: Any) -> None:
    """In pages of every format that has fields, and in a follow."""
    pipeline.append([make.row(message=text, offset=number) for number, text in enumerate([b"a", b"hit", b"b"])])
    async with serve(pipeline) as served:
        query = "text=hit&before=1&after=1"
        lines = await served.lines(f"/v1/apps/demo/logs?{query}")
        assert [(line["message"], line.get("context", False)) for line in lines] == [
            ("a", True),
            ("hit", False),
            ("b", True),
        ]
        _, _, body = await served.get(f"/v1/apps/demo/logs?{query}&format=csv")
        assert [row.rsplit(b",", 1)[1] for row in body.splitlines()[1:]] == [b"true", b"false", b"true"]
        async with served.client.get(f"{FOLLOW}?format=ndjson&{query}") as answer:
            events = [json.loads(await answer.content.readline()) for _ in range(3)]
        assert [event.get("context", False) for event in events] == [True, False, True]
