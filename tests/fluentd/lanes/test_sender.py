"""Lanes: chunks into packs, packs into the queue, in order, within the budget."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fluentd.chunks.outgoing import Outgoing, send_on
from fluentd.files.source import Source
from fluentd.lanes.sender import Budget, Lane, Packer, QueueTrouble
from fluentd.lanes.statements import RIDE_BYTES, Statements
from fluentd.metrics import AgentMetrics
from pipeline.chunk import Origin, SourceId
from pipeline.limits import CHUNK_BYTES, PACK_BYTES, POD_RULES_BYTES
from pipeline.podstatement import PodStatement
from pipeline.service import Health

_ORIGIN = Origin("n", "ns", "p", "u", "c", 0, "app")


def _source() -> Source:
    return Source(b"b" * 16, 0, SourceId(b"s" * 16), 0)


def _next(source: Source, data: bytes) -> Outgoing:
    return send_on(source, data, origin=_ORIGIN, converter=None)[0]


class _Lane:
    def __init__(self, queue: Any) -> None:
        self.health = Health()
        self.budget = Budget(1 << 30)
        self.acknowledged = 0
        self.statements = Statements(registry=CollectorRegistry())
        self.statements.attend(lambda: 7)
        self.lane = Lane(
            0,
            producer=queue,
            packer=Packer(node="n", level=1),
            budget=self.budget,
            metrics=AgentMetrics(CollectorRegistry()),
            trouble=QueueTrouble(self.health),
            acknowledged=self._count,
            voice=self.statements.voice(),
        )

    def _count(self) -> None:
        self.acknowledged += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Lane]:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.lane.run())
            yield self.lane
            self.lane.close()


@pytest.fixture
def lane(queue: Any) -> _Lane:
    return _Lane(queue)


async def test_chunks_that_come_together_share_a_pack(lane: _Lane, queue: Any) -> None:
    source = _source()
    async with lane.running() as running:
        for number in range(5):
            running.put(_next(source, b"%d\n" % number))
    (pack,) = queue.packs()[0]
    assert pack.data == b"0\n1\n2\n3\n4\n"
    assert source.acknowledged == source.position
    assert lane.budget.used_bytes == 0


async def test_a_pack_that_is_not_full_is_sent_after_the_linger(
    lane: _Lane, queue: Any, wait_until: Callable[..., Any]
) -> None:
    async with lane.running() as running:
        running.put(_next(_source(), b"a\n"))
        assert not queue.records[0]
        await wait_until(lambda: bool(queue.records[0]), 2.0)


async def test_no_pack_is_over_the_queues_limit_whatever_the_bytes(lane: _Lane, queue: Any) -> None:
    import random  # noqa: PLC0415 - only here

    source, noise = _source(), random.Random(1)
    async with lane.running() as running:
        for size in (CHUNK_BYTES, 1, CHUNK_BYTES, CHUNK_BYTES, 2 * CHUNK_BYTES, 100, CHUNK_BYTES):
            running.put(_next(source, noise.randbytes(size - 1) + b"\n"))
    assert all(len(record) <= PACK_BYTES for record in queue.records[0])
    ends = [header.end for pack in queue.packs()[0] for header in pack.headers]
    assert ends == sorted(ends)


async def test_a_heartbeat_goes_behind_the_data_and_needs_no_record_of_its_own(
    lane: _Lane, queue: Any, wait_until: Callable[..., Any]
) -> None:
    async with lane.running() as running:
        running.put(_next(_source(), b"a\n"))
        running.heartbeat(7)
        await wait_until(lambda: lane.acknowledged == 1)
        running.heartbeat(8)
        await wait_until(lambda: lane.acknowledged == 2)
    assert [(pack.heartbeat_ns, pack.data) for pack in queue.packs()[0]] == [(7, b"a\n"), (8, b"")]


async def test_nothing_overtakes_what_the_queue_refused(
    lane: _Lane, queue: Any, wait_until: Callable[..., Any]
) -> None:
    source = _source()
    queue.away = True
    async with lane.running() as running:
        running.put(_next(source, b"1\n"))
        await wait_until(lambda: queue.sends >= 2)
        running.put(_next(source, b"2\n"))
        assert source.acknowledged.offset == 0
        assert lane.health.problems() == {"queue": "away"}
        queue.away = False
    assert b"".join(pack.data for pack in queue.packs()[0]) == b"1\n2\n"
    assert lane.health.problems() == {}


def _pod(number: int, *, rules: str = "") -> PodStatement:
    return PodStatement("ns", f"p-{number}", f"u-{number}", "app", "web", "v1", ("10.0.0.1",), (), 5, rules=rules)


async def test_what_is_said_of_pods_rides_along_and_comes_again_with_what_was_refused(
    lane: _Lane, queue: Any, wait_until: Callable[..., Any]
) -> None:
    queue.away = True
    async with lane.running() as running:
        lane.statements.say(_pod(1))
        running.put(_next(_source(), b"a\n"))
        await wait_until(lambda: queue.sends >= 2)
        lane.statements.say(_pod(2))
        running.heartbeat(9)
        queue.away = False
    told = [([one.uid for one in pack.pods], pack.pods_complete, pack.data) for pack in queue.packs()[0]]
    assert told == [(["u-1"], False, b"a\n"), (["u-1", "u-2"], True, b"")]
    assert [pack.pods_ns for pack in queue.packs()[0]] == [7, 7]


async def test_much_that_is_said_of_pods_goes_before_the_lines_in_records_of_its_own(lane: _Lane, queue: Any) -> None:
    import random  # noqa: PLC0415 - only here

    source, noise = _source(), random.Random(1)
    pods = 3 * RIDE_BYTES // POD_RULES_BYTES
    async with lane.running() as running:
        for number in range(pods):
            lane.statements.say(_pod(number, rules=f"{noise.getrandbits(4 * POD_RULES_BYTES):x}"[:POD_RULES_BYTES]))
        for _ in range(3):
            running.put(_next(source, noise.randbytes(CHUNK_BYTES - 1) + b"\n"))
    first, *others = queue.packs()[0]
    assert (len(first.pods), first.data) == (pods, b"")
    assert [pack.pods for pack in others] == [()] * len(others)
    assert all(len(record) <= PACK_BYTES for record in queue.records[0])
    assert lane.budget.used_bytes == 0


async def test_a_pack_that_is_full_has_room_for_what_rides_along(lane: _Lane, queue: Any) -> None:
    import random  # noqa: PLC0415 - only here

    source, noise = _source(), random.Random(1)
    async with lane.running() as running:
        for number in range(RIDE_BYTES // (POD_RULES_BYTES + 100)):
            lane.statements.say(_pod(number, rules="".join(noise.choices("abcdefghijklmnop", k=POD_RULES_BYTES))))
        for size in (CHUNK_BYTES, 2 * CHUNK_BYTES - 4096):
            running.put(_next(source, noise.randbytes(size - 1) + b"\n"))
    assert any(pack.pods and pack.data for pack in queue.packs()[0])
    assert all(len(record) <= PACK_BYTES for record in queue.records[0])
