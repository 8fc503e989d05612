"""Copies of all lines reach a Fluentd, and never hold the pipeline back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgpack
import pytest
from prometheus_client import CollectorRegistry

from fluentd.forward.copies import Copies
from fluentd.forward.whole import MOST_OPEN, OPEN_BYTES, WholeLines
from pipeline.chunk import Chunk, Origin
from pipeline.limits import MIB

ORIGIN = Origin("n1", "demo", "demo-web-1", "uid", "web", 0, "shop", "web")
HEAD = b"2026-11-24T12:00:00.000000005Z "


def chunk_of(*lines: bytes, origin: Origin = ORIGIN) -> Chunk:
    data = b"".join(HEAD + line + b"\n" for line in lines)
    return Chunk(origin, b"s" * 16, 0, 0, len(data), 0, data)


class Fluentd:
    """Takes records on a port, when it is up."""

    def __init__(self) -> None:
        self.port = 0
        self.records: list[Any] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away."""
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        unpacker = msgpack.Unpacker()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                unpacker.feed(data)
                self.records += unpacker
        self._writers.discard(writer)
        writer.close()


@pytest.fixture
async def fluentd() -> AsyncIterator[Fluentd]:
    one = Fluentd()
    await one.start()
    yield one
    await one.stop()


@contextlib.asynccontextmanager
async def copying(port: int, *, limit_bytes: int = MIB) -> AsyncIterator[tuple[Copies, CollectorRegistry]]:
    """Copy inside the block, then stop in order."""
    registry = CollectorRegistry()
    copies = Copies(f"127.0.0.1:{port}", tag="deis", limit_bytes=limit_bytes, registry=registry)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(copies.run())
        yield copies, registry
        await copies.stop()
        await asyncio.wait({running}, timeout=30)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - any condition, with a bound
            await asyncio.sleep(0.005)


def dropped(registry: CollectorRegistry, reason: str) -> float:
    """Lines that were not copied."""
    return registry.get_sample_value("fluentd_forward_out_dropped_lines_total", {"reason": reason}) or 0.0


async def test_every_line_is_copied_with_its_time_and_whose_it_is(fluentd: Fluentd) -> None:
    async with copying(fluentd.port) as (copies, registry):
        copies.offer(chunk_of(b"stdout F one", b"stderr F two", b"stdout F caf\xe9", b"stdout P lo", b"stdout F ng"))
    await until(lambda: len(fluentd.records) == 4)
    assert [(record["log"], record["stream"]) for _, _, record in fluentd.records] == [
        ("one", "stdout"),
        ("two", "stderr"),
        (b"caf\xe9", "stdout"),
        ("long", "stdout"),
    ]
    tag, time, record = fluentd.records[0]
    assert tag == "deis.shop.web"
    assert (time.code, int.from_bytes(time.data[:4]), int.from_bytes(time.data[4:])) == (0, 1795521600, 5)
    assert (record["app"], record["type"], record["kubernetes"]["pod_name"]) == ("shop", "web", "demo-web-1")
    assert registry.get_sample_value("fluentd_forward_out_lines_total") == 4


async def test_lines_wait_while_fluentd_is_away_and_those_without_room_are_counted(fluentd: Fluentd) -> None:
    await fluentd.stop()
    async with copying(fluentd.port, limit_bytes=10_000) as (copies, registry):
        for number in range(1000):
            copies.offer(chunk_of(b"stdout F %d" % number))
        full = dropped(registry, "full")
        assert 700 < full < 1000
        await fluentd.start()
        await until(lambda: len(fluentd.records) == 1000 - full)
    assert [record["log"] for _, _, record in fluentd.records] == [str(number) for number in range(1000 - int(full))]


async def test_what_the_library_gives_up_is_counted_line_by_line(fluentd: Fluentd) -> None:
    async with copying(fluentd.port) as (copies, registry):
        copies._given_up(msgpack.packb(["a", 1, {}]) * 7)
        assert dropped(registry, "away") == 7


async def test_what_is_left_when_it_is_ended_is_counted(fluentd: Fluentd) -> None:
    await fluentd.stop()
    registry = CollectorRegistry()
    copies = Copies(f"127.0.0.1:{fluentd.port}", tag="deis", limit_bytes=MIB, registry=registry)
    for _ in range(10):
        copies.offer(chunk_of(b"stdout F one", b"stdout F two"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(copies.run())
        await until(lambda: copies._sender.pendings is not None)
        running.cancel()
    assert dropped(registry, "stop") + dropped(registry, "away") == 20
    await fluentd.start()


def test_pieces_are_joined_by_run_and_stream_and_what_is_too_much_leaves_in_parts() -> None:
    whole = WholeLines()
    other = Origin("n1", "demo", "demo-web-2", "uid-2", "web", 0, "shop", "web")
    assert list(whole.of(chunk_of(b"stdout P a", b"stderr P x"))) == []
    assert list(whole.of(chunk_of(b"stdout P b", origin=other))) == []
    assert [line.content for line in whole.of(chunk_of(b"stdout F c", b"stderr F y"))] == [b"ac", b"xy"]
    assert [line.content for line in whole.of(chunk_of(b"stdout F d", origin=other))] == [b"bd"]
    large = b"z" * (OPEN_BYTES // 2 + 1)
    found = list(whole.of(chunk_of(b"stdout P " + large, b"stdout P " + large, b"stdout F end")))
    assert [len(line.content) for line in found] == [2 * len(large), 3]
    for number in range(MOST_OPEN + 5):
        uid = Origin("n1", "demo", "p", str(number), "web", 0, "shop")
        assert len(list(whole.of(chunk_of(b"stdout P a", origin=uid)))) == (number >= MOST_OPEN)


def test_what_is_no_line_of_a_runtime_is_copied_as_it_is() -> None:
    data = b"the rest of a line\n"
    (line,) = WholeLines().of(Chunk(ORIGIN, b"s" * 16, 0, 0, len(data), 0, data))
    assert line.content == b"the rest of a line"
    assert line.time_ns > 1_700_000_000 * 10**9
