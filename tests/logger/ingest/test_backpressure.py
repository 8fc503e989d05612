"""A full head: what bounds memory is no fault while a commit runs, and is one when nothing comes of it."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import logger.ingest.loop
from logger.ingest.loop import Ingest
from logger.parts import SortedRows
from logger.table.writer import IngestTable
from pipeline.cri import format_line, format_time

T0 = 1_790_000_000_000_000_000
FILE = b"".join(format_line(format_time(T0 + number), 0, b"line %02d" % number) for number in range(20))
ENDS = [0, *(index + 1 for index, byte in enumerate(FILE) if byte == 10)]
ROW = 100  # about what a row counts for in the head: its line, and 57 bytes


class Held:
    """A table whose commits wait until they are let go: a store that takes its time."""

    def __init__(self, table: IngestTable) -> None:
        self.table = table
        self.go_on = threading.Event()
        self.rows: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)

    def commit(
        self, *, parts: Mapping[str, SortedRows], positions: Mapping[int, int], states: Mapping[int, bytes]
    ) -> Any:
        self.rows.append(sum(part.num_rows for part in parts.values()))
        assert self.go_on.wait(60)
        return self.table.commit(parts=parts, positions=positions, states=states)


async def test_a_head_that_is_full_during_a_commit_is_no_fault_and_one_that_stays_full_is(
    rig: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A logger that is taken out of service at every commit at full load would serve nobody when it is needed most."""
    tables: list[Held] = []
    looks: list[bool] = []

    def wrap(table: IngestTable) -> Held:
        tables.append(Held(table))
        return tables[0]

    has_room = Ingest._has_room

    async def look(ingest: Ingest) -> bool:
        looks.append(await has_room(ingest))
        return looks[-1]

    monkeypatch.setattr(logger.ingest.loop, "_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(Ingest, "_has_room", look)
    async with rig.logger(head_bytes=100, flush_bytes=100, wrap=wrap):
        await rig.send([run.chunk(FILE, 0, ENDS[5])])
        await rig.until(lambda: looks.count(False) >= 3)
        assert rig.health.problems() == {}
        monkeypatch.setattr(logger.ingest.loop, "_FULL_SECONDS", 0.0)
        await rig.until(lambda: "ingest" in rig.health.problems())
        tables[0].go_on.set()
        await rig.until(lambda: rig.health.problems() == {})
        await rig.stop()


async def test_a_shard_that_has_filled_the_head_holds_back_itself_and_nobody_else(rig: Any, run: Any) -> None:
    """One app at full speed must not keep the others' followers waiting for as long as a commit takes."""
    tables: list[Held] = []
    quiet = replace(run, uid="quiet")

    def wrap(table: IngestTable) -> Held:
        tables.append(Held(table))
        return tables[0]

    async with rig.logger(head_bytes=100 * ROW, flush_bytes=10 * ROW, wrap=wrap):
        await rig.send([run.chunk(FILE * 10, 0, len(FILE) * 8)])
        await rig.until(lambda: tables and tables[0].rows == [160])
        assert rig.head.may_grow([0, 1]) == {1}
        await rig.send([run.chunk(FILE * 10, len(FILE) * 8, len(FILE) * 10)])
        for number in range(2):
            await rig.send([quiet.chunk(FILE, ENDS[number], ENDS[number + 1])], partition=1)
            await rig.until(lambda wanted=number + 1: rig.head.ends()[1] == wanted)
        assert rig.head.ends()[0] == 1
        tables[0].go_on.set()
        await rig.until(lambda: rig.head.ends()[0] == 2)
        await rig.stop()
    assert len(await rig.stored()) == 202


async def test_rows_that_are_being_committed_do_not_make_the_next_commit_due(rig: Any, run: Any) -> None:
    """What comes during a commit waits for its own share of bytes: every second file would be a small one."""
    tables: list[Held] = []

    def wrap(table: IngestTable) -> Held:
        tables.append(Held(table))
        return tables[0]

    async with rig.logger(flush_bytes=10 * ROW, wrap=wrap):
        await rig.send([run.chunk(FILE, 0, ENDS[12])])
        await rig.until(lambda: tables[0].rows == [12])
        await rig.send([run.chunk(FILE, ENDS[12], ENDS[14])])
        await rig.until(lambda: rig.in_head() == 14)
        tables[0].go_on.set()
        await rig.until(lambda: rig.count("logger_commits_total") == 1)
        await rig.until(lambda: rig.count("logger_head_bytes", age="waiting") < 3 * ROW)
        await rig.send([run.chunk(FILE, ENDS[14], ENDS[16])])
        await rig.until(lambda: rig.in_head() == 16)
        await rig.stop()
    assert tables[0].rows == [12, 4]
