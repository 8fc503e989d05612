"""Pages of lines against grep and sort over the same lines, however they are split over head and table."""

import asyncio
import itertools
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logger.reading import page as pages
from logger.reading.filter import EVERY_LINE, LineFilter
from logger.reading.page import Page, Selection
from logger.reading.search import AbandonedError

BASE = 1_795_478_400_000_000_000
WORDS = [
    b"",
    b"error",
    b"error error",
    b"warning \xc3\xa9",
    b"\xff\xfe not text",
    b"a\x00b\r",
    b"ERROR 42",
    b"errerror",
]

fields = st.fixed_dictionaries(
    {
        "app": st.sampled_from(["demo", "other"]),
        "order_ns": st.integers(0, 6).map(lambda step: BASE + step),
        "message": st.sampled_from(WORDS),
        "source": st.sampled_from([b"a" * 16, b"b" * 16, b"\xff" * 16]),
        "ordinal": st.integers(0, 1),
        "pod": st.sampled_from(["demo-web-1-a", "demo-web-1-b"]),
        "process": st.sampled_from(["web", "worker"]),
        "stream": st.integers(0, 1),
    }
)
filters = st.builds(
    LineFilter,
    exact=st.sampled_from([(), (("process", frozenset({"web"})),), (("pod", frozenset({"demo-web-1-b", "x"})),)]),
    text=st.sampled_from(["", "error", "rror", "\u00e9"]),
    regex=st.sampled_from(["", "^err", "[0-9]+$", "(a|e)rr"]),
)


def place(row: Any) -> Any:
    return (row.order_ns, row.ordinal, row.source, row.offset, row.continuation)


def wanted(row: Any, lines: Any) -> Any:
    text = row.text()
    return (
        all(getattr(row, name) in values for name, values in lines.exact)
        and lines.text in text
        and (not lines.regex or re.search(lines.regex, text) is not None)
    )


def ids(table: Any) -> Any:
    return table["offset"].to_pylist()


def run_through(pipeline: Any, selection: Any) -> Any:
    """All pages, one after the other."""

    async def go() -> Any:
        found, beyond = [], None
        while True:
            page = await pipeline.reader.page(
                Selection(**{**{f: getattr(selection, f) for f in selection.__dataclass_fields__}, "beyond": beyond})
            )
            assert page.table.num_rows <= selection.limit
            found.extend(ids(page.table))
            beyond = page.following
            if beyond is None:
                return found

    return asyncio.run(go())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(fields, max_size=40),
    cuts=st.lists(st.sampled_from(["record", "batch", "commit", "evict", "shard"]), max_size=40),
    lines=filters,
    descending=st.booleans(),
    limit=st.integers(1, 7),
    since=st.none() | st.integers(0, 7),
    until=st.none() | st.integers(0, 7),
    deleted_at=st.none() | st.integers(0, 8),
)
def test_pages_are_what_grep_and_sort_find(
    make: Any,
    *,
    rows: Any,
    cuts: Any,
    lines: Any,
    descending: bool,
    limit: int,
    since: Any,
    until: Any,
    deleted_at: Any,
) -> None:
    """Offsets number the rows, so that equal lists mean the same rows in the same order."""
    with TemporaryDirectory() as folder:
        pipeline = make.pipeline(Path(folder))
        made = [make.row(**row, offset=number) for number, row in enumerate(rows)]
        kept, record, batch, shard = [], [], [], 0
        for number, (row, cut) in enumerate(itertools.zip_longest(made, cuts)):
            if row is None:
                break
            if number == deleted_at:
                flush(pipeline, batch, record, shard)
                record, batch = [], []
                asyncio.run(pipeline.reader.delete("demo"))
                kept = [other for other in kept if other.app != "demo"]
            record.append(row)
            kept.append(row)
            if cut is not None:
                batch, record = [*batch, record], []
            if cut not in (None, "record"):
                flush(pipeline, batch, record, shard)
                batch = []
            if cut in ("commit", "evict"):
                pipeline.commit(evict=cut == "evict")
            if cut == "shard":
                shard = 1 - shard
        flush(pipeline, batch, record, shard)
        low, high = (None if step is None else BASE + step for step in (since, until))
        expected = [
            row.offset
            for row in sorted(kept, key=place, reverse=descending)
            if row.app == "demo"
            and (low is None or row.order_ns >= low)
            and (high is None or row.order_ns < high)
            and wanted(row, lines)
        ]
        selection = Selection("demo", limit, descending, low, high, lines=lines)
        assert run_through(pipeline, selection) == expected


def flush(pipeline: Any, batch: Any, record: Any, shard: Any) -> None:
    records = [*batch, record] if record else batch
    if records:
        pipeline.append(*records, shard=shard)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(fields, min_size=1, max_size=30),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    limit=st.integers(1, 4),
    descending=st.booleans(),
    commit_at=st.integers(0, 30),
)
def test_context_gives_each_line_once_whatever_the_pages(
    make: Any, *, rows: Any, before: int, after: int, limit: int, descending: bool, commit_at: Any
) -> None:
    """The oracle walks each container alone, as `grep -B -A` does."""
    with TemporaryDirectory() as folder:
        pipeline = make.pipeline(Path(folder))
        made = [make.row(**{**row, "app": "demo"}, offset=number) for number, row in enumerate(rows)]
        for number, row in enumerate(made):
            pipeline.append([row])
            if number == commit_at:
                pipeline.commit(evict=True)
        lines = LineFilter(text="error")
        expected = set()
        for pod in {row.pod for row in made}:
            own = sorted((row for row in made if row.pod == pod), key=place)
            for index, row in enumerate(own):
                if "error" in row.text():
                    expected.update(other.offset for other in own[max(0, index - before) : index + after + 1])
        selection = Selection("demo", limit, descending, lines=lines, before=before, after=after)
        found = through_with_context(pipeline, selection)
        assert sorted(number for number, _ in found) == sorted(expected)
        flagged = {number for number, is_context in found if is_context}
        assert flagged == {number for number in expected if "error" not in made[number].text()}


def through_with_context(pipeline: Any, selection: Any) -> Any:
    async def go() -> Any:
        found, beyond = [], None
        while True:
            page = await pipeline.reader.page(
                Selection(**{**{f: getattr(selection, f) for f in selection.__dataclass_fields__}, "beyond": beyond})
            )
            flags = [False] * page.table.num_rows if page.context is None else page.context.tolist()
            found.extend(zip(ids(page.table), flags, strict=True))
            beyond = page.following
            if beyond is None:
                return found

    return asyncio.run(go())


def test_context_stands_around_its_match_in_the_direction_of_reading(pipeline: Any, make: Any) -> None:
    """Lines of another container in between do not come apart from their own group."""
    rows = [
        make.row(order_ns=BASE + number, offset=number, message=text, source=pod * 16, pod=f"p{pod.decode()}")
        for number, (text, pod) in enumerate(
            [(b"one", b"a"), (b"noise", b"b"), (b"two", b"a"), (b"error", b"a"), (b"noise", b"b"), (b"three", b"a")]
        )
    ]
    pipeline.append(rows)
    lines = LineFilter(text="error")
    for descending, expected in ((False, [2, 3, 5]), (True, [5, 3, 2])):
        page = asyncio.run(pipeline.reader.page(Selection("demo", 5, descending, lines=lines, before=1, after=1)))
        assert ids(page.table) == expected
        assert page.context.tolist() == [True, False, True]


async def test_a_page_that_ran_out_of_time_goes_on_where_it_stopped(pipeline: Any, make: Any) -> None:
    """Even when it found nothing: the next one must not begin at the start again."""
    for part in range(4):
        pipeline.append(make.numbered("demo", 50, start=part * 50))
        pipeline.commit(evict=True)
    found, beyond, rounds = [], None, 0
    while True:
        selection = Selection("demo", 10, lines=LineFilter(text="line 199 "), beyond=beyond, seconds=0.0)
        page = await pipeline.reader.page(selection)
        found.extend(ids(page.table))
        beyond, rounds = page.following, rounds + 1
        if beyond is None:
            break
    assert found == [19900]
    assert 2 <= rounds <= 10


async def test_a_search_stops_when_nobody_waits_for_it(pipeline: Any, make: Any) -> None:
    """A search whose client is gone gives its thread back."""
    pipeline.append(make.numbered("demo", 50))
    with pytest.raises(AbandonedError):
        await pipeline.reader.page(Selection("demo", 10, lines=LineFilter(text="x")), gone=lambda: True)


async def test_a_page_is_bounded_in_bytes(pipeline: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of long lines ends early, and none is left out."""
    monkeypatch.setattr(pages, "PAGE_BYTES", 1000)
    rows = [make.row(order_ns=BASE + number, offset=number, message=b"x" * 300) for number in range(20)]
    pipeline.append(rows)
    page = await pipeline.reader.page(Selection("demo", 100))
    assert 1 <= page.table.num_rows <= 4
    assert await asyncio.to_thread(run_through, pipeline, Selection("demo", 100)) == list(range(20))


async def test_last_lines_counts_a_long_line_once_and_never_begins_in_the_middle(pipeline: Any, make: Any) -> None:
    """A line of several rows is one line of the contract."""
    rows = [
        make.row(order_ns=BASE + line, offset=line * 10, continuation=piece, message=b"%d.%d" % (line, piece))
        for line in range(5)
        for piece in range(1 + 3 * (line == 3))
    ]
    pipeline.append(rows[:4])
    pipeline.commit()
    pipeline.append(rows[4:])
    for count, expected in ((1, ["4.0"]), (2, ["3.0", "3.1", "3.2", "3.3", "4.0"]), (9, [r.text() for r in rows])):
        table, _ = await pipeline.reader.last_lines("demo", count)
        assert table["message"].to_pylist() == expected


async def test_summaries_count_what_is_not_deleted(pipeline: Any, make: Any) -> None:
    """Of an app deleted lately, rows are counted one by one; the table may still have them."""
    pipeline.append(make.numbered("demo", 10), make.numbered("other", 3))
    pipeline.commit()
    await pipeline.reader.delete("demo")
    pipeline.append(make.numbered("demo", 4, start=100))
    pipeline.commit()
    pipeline.append(make.numbered("demo", 2, start=200))
    found, _ = await pipeline.reader.apps(lambda app: app != "secret")
    assert [(app.app, app.lines) for app in found] == [("demo", 6), ("other", 3)]
    assert found[0].first_ns == BASE + 100_000_000
    assert found[0].last_ns == BASE + 201_000_000


async def test_rows_of_a_queue_that_was_replaced_are_seen_whatever_their_offsets(
    pipeline: Any, make: Any, tmp_path: Path
) -> None:
    """A follow's start at low offsets of the new queue says nothing about rows of the old one."""
    pipeline.append(*[make.numbered("demo", 1, start=number) for number in range(20)])
    pipeline.commit()
    newer = make.pipeline(pipeline.store, queue_id="another")
    newer.append(make.numbered("demo", 1, start=50))
    page = await newer.reader.page(Selection("demo", 100, ends={0: 1, 1: 0}))
    assert page.table.num_rows == 21
    await newer.reader.delete("demo")
    assert (await newer.reader.page(Selection("demo", 100))).table.num_rows == 0


async def test_a_view_that_the_head_outran_is_taken_again(
    pipeline: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit and eviction between the table's look and the head's: the rows are in a newer version."""
    pipeline.append(make.numbered("demo", 5))
    refresh, calls = pipeline.reader_table.refresh, []

    def late() -> Any:
        snapshot = refresh()
        if not calls:
            pipeline.commit(evict=True)
        calls.append(snapshot.version)
        return snapshot

    monkeypatch.setattr(pipeline.reader_table, "refresh", late)
    page = await pipeline.reader.page(Selection("demo", 100))
    assert page.table.num_rows == 5
    assert len(calls) == 2


def test_pages_hold_the_schema_even_when_empty(pipeline: Any) -> None:
    """An app that nobody knows is empty, and no error."""
    page = asyncio.run(pipeline.reader.page(Selection("nobody", 5, lines=EVERY_LINE)))
    assert isinstance(page, Page)
    assert page.following is None
    assert page.table.num_rows == 0
    assert isinstance(page.table, pa.Table)
    assert np.array_equal(ids(page.table), [])


@pytest.mark.parametrize("descending", [False, True])
async def test_pieces_that_touch_in_time_are_merged_by_the_whole_key(
    pipeline: Any, make: Any, descending: bool
) -> None:
    """The later file's first line comes before the earlier file's last, which has the same time."""
    pipeline.append([make.row(order_ns=BASE + step, ordinal=1, offset=step) for step in range(4)])
    pipeline.commit(evict=True)
    pipeline.append([make.row(order_ns=BASE + 3 + step, ordinal=0, offset=10 + step) for step in range(4)])
    pipeline.commit(evict=True)
    page = await pipeline.reader.page(Selection("demo", 100, descending))
    expected = [0, 1, 2, 10, 3, 11, 12, 13]
    assert ids(page.table) == (expected[::-1] if descending else expected)


@pytest.mark.parametrize("committed", [False, True], ids=["head", "table"])
async def test_of_a_piece_with_deleted_and_newer_rows_only_the_newer_are_seen(
    pipeline: Any, make: Any, committed: bool
) -> None:
    """As in a file that was written after the deletion, or merged."""
    pipeline.append(make.numbered("demo", 5))
    await pipeline.reader.delete("demo")
    pipeline.append(make.numbered("demo", 3, start=10))
    if committed:
        pipeline.commit(evict=True)
    assert ids((await pipeline.reader.page(Selection("demo", 100))).table) == [1000, 1100, 1200]
    assert (await pipeline.reader.last_lines("demo", 100))[0].num_rows == 3
    assert [app.lines for app in (await pipeline.reader.apps(lambda _: True))[0]] == [3]


async def test_the_last_lines_cost_one_read_of_the_newest_piece(
    pipeline: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No older file is opened, and no second block is read of the newest."""
    for part in range(4):
        pipeline.append(make.numbered("demo", 300, start=part * 300))
        pipeline.commit(evict=True)
    reads, read = [], pipeline.reader_table.read

    def counted(entry: Any, **asked: Any) -> Any:
        reads.append((entry.path, asked["count"]))
        return read(entry, **asked)

    monkeypatch.setattr(pipeline.reader_table, "read", counted)
    assert (await pipeline.reader.last_lines("demo", 100))[0].num_rows == 100
    assert [count for _, count in reads] == [101]
