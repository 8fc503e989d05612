"""The loop, over the real queue and the real table."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from logger.table.writer import IngestTable
from pipeline.cri import format_line, format_time
from pipeline.errors import FencedError, FormatError, OffsetOutOfRangeError, StoreUnavailableError
from pipeline.lines.resume import ShardState, encode_state
from pipeline.queue import GroupConsumer, Record

T0 = 1_790_000_000_000_000_000


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - conditions are metrics, which signal nothing
            await asyncio.sleep(0.005)


LINES = [b"line %d" % number for number in range(20)]
FILE = b"".join(format_line(format_time(T0 + i), 0, line) for i, line in enumerate(LINES))
ENDS = [0, *(index + 1 for index, byte in enumerate(FILE) if byte == 10)]
MESSAGES = sorted(line.decode() for line in LINES)


async def test_lines_are_in_the_head_at_once_and_in_the_table_after_a_stop(rig: Any, run: Any) -> None:
    async with rig.logger():
        await rig.send([run.chunk(FILE, 0, len(FILE))])
        await until(lambda: rig.in_head() == 20)
        assert rig.health.problems() == {}
        assert await rig.stored() == []
        await rig.stop()
        assert await rig.stored() == MESSAGES
    assert rig.count("logger_rows_total") == 20


async def test_a_crash_before_the_commit_repeats_and_after_it_does_not(rig: Any, run: Any) -> None:
    async with rig.logger():
        await rig.send([run.chunk(FILE, 0, ENDS[7])])
        await until(lambda: rig.in_head() == 7)
    assert await rig.stored() == []
    async with rig.logger(flush_seconds=0.05):
        await until(lambda: rig.count("logger_commits_total") == 1)
        await rig.send([run.chunk(FILE, ENDS[7], ENDS[9])])
        await until(lambda: rig.in_head() == 9)
    async with rig.logger():
        await rig.send([run.chunk(FILE, ENDS[5], len(FILE))])
        await until(lambda: rig.count("logger_duplicate_bytes_total") > 0)
        await rig.stop()
    assert await rig.stored() == MESSAGES


class Failing:
    """A table whose storage fails for some calls: there is no other way to make a real one do so at will."""

    def __init__(self, table: IngestTable, failures: int) -> None:
        self.table = table
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)

    def commit(
        self, *, parts: Mapping[str, pa.Table], positions: Mapping[int, int], states: Mapping[int, bytes]
    ) -> Any:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("no room")
        return self.table.commit(parts=parts, positions=positions, states=states)


async def test_a_store_that_fails_pauses_ingest_at_the_budget_and_recovers(rig: Any, run: Any) -> None:
    tables: list[Failing] = []

    def wrap(table: IngestTable) -> Failing:
        tables.append(Failing(table, 10**6))
        return tables[0]

    async with rig.logger(flush_seconds=0.05, head_bytes=100, wrap=wrap):
        await rig.send([run.chunk(FILE, 0, ENDS[5])])
        await until(lambda: rig.count("logger_commit_failures_total") > 0)
        await rig.send([run.chunk(FILE, ENDS[5], len(FILE))])
        await until(lambda: {"store", "ingest"} <= rig.health.problems().keys())
        assert rig.in_head() == 5
        tables[0].failures = 0
        await until(lambda: rig.count("logger_rows_total") == 20)
        await until(lambda: rig.health.problems() == {})
        await rig.stop()
    assert await rig.stored() == MESSAGES


class Trimmed:
    """A queue that has dropped partition 0's records before `start`: what its retention does beyond its budget."""

    def __init__(self, consumer: GroupConsumer, start: int) -> None:
        self._consumer = consumer
        self.start = start

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def starts(self) -> dict[int, int]:
        return {**await self._consumer.starts(), 0: self.start}

    async def fetch(self, positions: Mapping[int, int], *, max_bytes: int, wait_seconds: float) -> list[Record]:
        if positions.get(0, self.start) < self.start:
            raise OffsetOutOfRangeError(0, positions[0], self.start, 100)
        return await self._consumer.fetch(positions, max_bytes=max_bytes, wait_seconds=wait_seconds)


async def test_records_dropped_by_the_queue_are_counted_and_ingest_goes_on(rig: Any, run: Any) -> None:
    for low, high in pairwise(range(0, 21, 5)):
        await rig.send([run.chunk(FILE, ENDS[low], ENDS[high])])
    async with rig.logger(wrap_queue=lambda consumer: Trimmed(consumer, 2)):
        await until(lambda: rig.in_head() == 10)
        await rig.stop()
    assert rig.count("logger_lost_records_total") == 2
    assert rig.count("logger_gap_bytes_total") == ENDS[10]
    for _ in range(3):
        await rig.send([run.chunk(FILE, ENDS[18], len(FILE))])
    async with rig.logger(wrap_queue=lambda consumer: Trimmed(consumer, 6)):
        await until(lambda: rig.count("logger_records_total") == 1)
        await rig.stop()
    assert rig.count("logger_lost_records_total") == 2
    assert await rig.stored() == sorted(line.decode() for line in LINES[10:])


async def test_a_queue_that_ends_before_the_position_is_not_read(rig: Any, run: Any) -> None:
    other = await asyncio.to_thread(IngestTable.open, rig.store_url, queue_id=rig.producer.queue_id)
    await asyncio.to_thread(other.load_states)
    await asyncio.to_thread(lambda: other.commit(parts={}, positions={0: 9}, states={0: encode_state(ShardState(9))}))
    await rig.send([run.chunk(FILE, 0, len(FILE))])
    with pytest.raises(ExceptionGroup) as caught:
        await _run_to_its_end(rig)
    assert caught.value.subgroup(OffsetOutOfRangeError) is not None


async def _run_to_its_end(rig: Any) -> None:
    async with rig.logger():
        await asyncio.wait({rig.task}, timeout=10)


async def test_a_logger_that_was_taken_over_ends(rig: Any, run: Any) -> None:
    await rig.send([run.chunk(FILE, 0, ENDS[5])])
    with pytest.raises(ExceptionGroup) as caught:
        await _run_and_be_taken_over(rig, run)
    assert caught.value.subgroup(FencedError) is not None


async def _run_and_be_taken_over(rig: Any, run: Any) -> None:
    async with rig.logger(flush_seconds=0.05):
        await until(lambda: rig.count("logger_commits_total") == 1)
        await asyncio.to_thread(_take_over, rig)
        await rig.send([run.chunk(FILE, ENDS[5], len(FILE))])
        await asyncio.wait({rig.task}, timeout=10)


def _take_over(rig: Any) -> None:
    other = IngestTable.open(rig.store_url, queue_id=rig.producer.queue_id)
    states = other.load_states()
    other.commit(parts={}, positions={0: 9}, states={0: states[0]})


async def test_a_record_that_is_no_pack_is_kept_aside_and_the_rest_goes_on(rig: Any, run: Any) -> None:
    await rig.producer.send(0, [b"rubbish"])
    await rig.send([run.chunk(FILE, 0, len(FILE))])
    async with rig.logger():
        await until(lambda: rig.in_head() == 20)
        await rig.stop()
    assert rig.count("logger_bad_records_total", reason="format") == 1
    assert (rig.folder / "dead" / "0-0.record").read_bytes() == b"rubbish"


@pytest.mark.parametrize("state", [b"\x09", encode_state(ShardState(7))], ids=["version", "position"])
async def test_a_state_that_does_not_belong_to_the_position_is_refused(rig: Any, state: bytes) -> None:
    await rig.send([], heartbeat_ns=T0)
    other = await asyncio.to_thread(IngestTable.open, rig.store_url, queue_id=rig.producer.queue_id)
    await asyncio.to_thread(other.load_states)
    await asyncio.to_thread(lambda: other.commit(parts={}, positions={0: 1}, states={0: state}))
    with pytest.raises(ExceptionGroup) as caught:
        await _run_to_its_end(rig)
    assert caught.value.subgroup(FormatError) is not None


async def test_heartbeats_move_watermarks_over_a_restart(rig: Any) -> None:
    async with rig.logger():
        assert rig.head.watermark() is None
        for partition in range(rig.producer.partitions):
            await rig.send([], partition=partition, heartbeat_ns=T0 + partition)
        await until(lambda: rig.head.watermark() == T0)
        assert rig.count("logger_watermark_behind_seconds") > 0
        assert rig.count("logger_node_behind_seconds", node="n1") > 0
        await rig.stop()
    async with rig.logger():
        await until(lambda: "shards" not in rig.health.problems())
        assert rig.head.watermark() == T0


async def test_the_loop_is_never_held_up_while_a_large_flush_runs(rig: Any, run: Any) -> None:
    file = b"".join(format_line(format_time(T0 + i), 0, b"x" * 100) for i in range(100_000))
    for chunk in run.chunks(file, _line_ends(file, 200_000)):
        await rig.send([chunk])
    async with rig.logger(flush_seconds=0.1):
        worst = 0.0
        loop = asyncio.get_running_loop()
        while rig.count("logger_rows_total") < 100_000 or rig.head.waiting_bytes:
            before = loop.time()
            await asyncio.sleep(0.002)
            worst = max(worst, loop.time() - before)
            assert rig.count("logger_rows_total") <= 100_000
        await rig.stop()
    assert worst < 0.25


def _line_ends(file: bytes, step: int) -> list[int]:
    return [file.rindex(b"\n", 0, at) + 1 for at in range(step, len(file), step)]
