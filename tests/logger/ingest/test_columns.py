"""Columns: sorted parts of a commit, rows for readers, text that is no text."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.columns import batch_table
from logger.parts import SortedRows, flush_parts
from logger.rows import SCHEMA
from pipeline.cri import format_line, format_time

T0 = 1_790_000_000_000_000_000
SORT = ("app", "order_ns", "ordinal", "source", "offset", "continuation")


def _whole(rows: SortedRows) -> pa.Table:
    return pa.concat_tables(rows.tables())


def _fill(feed: Any, make_run: Any, seed: int, *, spread_ns: int = 50, runs: int = 6) -> None:
    """Several runs of few apps, with equal times, clocks that step back, gaps filled late, and rotations."""
    rng = random.Random(seed)
    made = [make_run(uid=f"u{i}", app=f"app{i % 3}") for i in range(runs)]
    for ordinal in range(2):
        files = [_file(rng, spread_ns) for _ in made]
        ends = [[0, *(i + 1 for i, byte in enumerate(file) if byte == 10)] for file in files]
        for low, high in [(0, 3), (5, 9), (3, 5), (9, 10)]:
            for run, file, cuts in zip(made, files, ends, strict=True):
                feed.send(run.chunk(file, cuts[low], cuts[high], ordinal=ordinal))


def _file(rng: random.Random, spread_ns: int) -> bytes:
    times = [T0 + rng.randrange(spread_ns) for _ in range(10)]
    return b"".join(
        format_line(
            format_time(time), rng.randrange(2), b"%d" % i + rng.choice([b"", b"\xff", b"\r\0\x1b[1m", "ä€".encode()])
        )
        for i, time in enumerate(times)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 50, 10**12, 2**60]), st.sampled_from([1, 6]))
def test_parts_hold_every_row_once_in_the_order_of_files(
    make_feed: Any, make_run: Any, seed: int, spread: int, runs: int
) -> None:
    feed = make_feed()
    _fill(feed, make_run, seed, spread_ns=spread, runs=runs)
    ((date, rows),) = flush_parts(feed.batches).items()
    table = _whole(rows)
    assert date == "2026-09-21"
    assert table.schema.equals(SCHEMA)
    table.validate(full=True)
    keys = list(zip(*(table.column(name).to_pylist() for name in SORT), strict=True))
    assert keys == sorted(keys)
    expected = [record for batch in feed.batches for record in batch_table(batch, np.arange(batch.rows)).to_pylist()]
    assert sorted(table.to_pylist(), key=repr) == sorted(expected, key=repr)
    assert table.num_rows == 20 * runs


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 300, 10**9]))
def test_rows_are_the_same_whichever_batches_are_put_together(
    make_feed: Any, make_run: Any, seed: int, group_bytes: int
) -> None:
    """Every batch by itself, a few of them, or all: lines come out of the buffers in which they came."""
    feed = make_feed()
    _fill(feed, make_run, seed)
    (rows,) = flush_parts(feed.batches).values()
    expected = _whole(rows).to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logger.columns._GROUP_BYTES", group_bytes)
        assert pa.concat_tables(rows.tables(40)).to_pylist() == expected
        assert _whole(rows).to_pylist() == expected
    by_name = {(row["source"], row["offset"], row["continuation"]): row for row in expected}
    for batch in feed.batches:
        for row in batch_table(batch, np.arange(batch.rows)).to_pylist():
            assert by_name[row["source"], row["offset"], row["continuation"]] == row


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 40, 10**9]))
def test_tables_built_bit_by_bit_are_the_same_rows_in_the_same_order(
    make_feed: Any, make_run: Any, seed: int, piece_bytes: int
) -> None:
    feed = make_feed()
    _fill(feed, make_run, seed)
    (rows,) = flush_parts(feed.batches).values()
    tables = list(rows.tables(piece_bytes))
    assert pa.concat_tables(tables).to_pylist() == _whole(rows).to_pylist()
    assert all(table.num_rows for table in tables)
    sizes = [sum(len(line) for line in table.column("message").to_pylist()) for table in tables]
    assert all(size < piece_bytes + 40 for size in sizes), "about so many bytes, by one line more or less"
    assert len(tables) == 1 if piece_bytes == 10**9 else len(tables) > 1
    assert rows.num_rows == sum(table.num_rows for table in tables)


def test_columns_say_what_the_chunk_says(feed: Any, make_run: Any) -> None:
    run = make_run(uid="u9", app="demo", node="n7", release="v12")
    file = format_line(b"2026-09-21T10:00:00.123456789Z", 1, b"caf\xc3\xa9")
    feed.send(run.chunk(file, 0, len(file), ordinal=4))
    (record,) = _whole(flush_parts(feed.batches)["2026-09-21"]).to_pylist()
    time_ns = 1_789_984_800_123_456_789
    assert record.pop("time").isoformat() == "2026-09-21T10:00:00.123456+00:00"
    assert record == {
        "app": "demo",
        "time_ns": time_ns,
        "order_ns": time_ns,
        "process": "web",
        "release": "v12",
        "pod": "demo-web",
        "container": "web",
        "node": "n7",
        "stream": "stderr",
        "message": "café",
        "raw": None,
        "source": run.source(4),
        "ordinal": 4,
        "offset": 0,
        "continuation": 0,
        "shard": 3,
        "queue_offset": 0,
    }


HARD = [
    b"",
    b"\r",
    b"\0",
    b"\x1b[31mred\x1b[0m",
    b"\xff\xfe",
    b"a\xc3",
    b"\xa9b",
    b"\xed\xa0\x80",
    "ä€😀".encode(),
    b"  x ",
]


@pytest.mark.parametrize("lines", [1, 5000], ids=["few", "many"])
def test_any_bytes_come_back_as_written(feed: Any, run: Any, lines: int) -> None:
    contents = HARD + [b"plain"] * lines
    file = b"".join(format_line(format_time(T0 + i), 0, content) for i, content in enumerate(contents))
    feed.send(run.chunk(file, 0, len(file)))
    (table,) = map(_whole, flush_parts(feed.batches).values())
    rows = table.select(["message", "raw"]).to_pylist()
    assert [row["raw"] if row["raw"] is not None else row["message"].encode() for row in rows] == contents
    assert [row["raw"] is None for row in rows[: len(HARD)]] == [_is_text(content) for content in HARD]
    assert rows[4]["message"] == "\ufffd\ufffd"


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_order_is_the_running_maximum_within_a_run(feed: Any, run: Any) -> None:
    file = b"".join(format_line(format_time(T0 + at), 0, b"%d" % at) for at in (5, 3, 9, 1))
    next_file = format_line(format_time(T0 + 2), 0, b"2")
    feed.send(run.chunk(file, 0, len(file)))
    feed.restart()
    feed.send(run.chunk(next_file, 0, len(next_file), ordinal=1))
    (table,) = map(_whole, flush_parts(feed.batches).values())
    assert [value - T0 for value in table.column("order_ns").to_pylist()] == [5, 5, 9, 9, 9]
    assert [value - T0 for value in table.column("time_ns").to_pylist()] == [5, 3, 9, 1, 2]
    assert table.column("message").to_pylist() == ["5", "3", "9", "1", "2"]


def test_some_columns_of_some_rows_come_in_the_order_asked(feed: Any, run: Any) -> None:
    file = b"".join(format_line(format_time(T0 + at), 0, b"%d" % at) for at in range(5))
    feed.send(run.chunk(file, 0, len(file)))
    table = batch_table(feed.batches[0], np.array([3, 0]), ["message", "time_ns"])
    assert table.column_names == ["time_ns", "message"]
    assert table.column("message").to_pylist() == ["3", "0"]


def test_rows_are_found_by_app(feed: Any, make_run: Any) -> None:
    _fill(feed, make_run, 1)
    batch = feed.batches[0]
    assert batch.of_app("nobody").tolist() == []
    for batch in feed.batches:
        for app in ("app0", "app1", "app2"):
            expected = [i for i in range(batch.rows) if batch.facts[batch.facts_index[i]].app == app]
            assert batch.of_app(app).tolist() == expected


def test_batches_without_rows_have_no_part(feed: Any) -> None:
    feed.send(heartbeat_ns=T0)
    assert flush_parts(feed.batches) == {}
    assert batch_table(feed.batches[0], np.zeros(0, np.int64)).schema.equals(SCHEMA)


def test_each_day_of_arrival_is_a_part(feed: Any, run: Any) -> None:
    file = b"".join(format_line(format_time(T0 + at), 0, b"%d" % at) for at in range(2))
    half = len(file) // 2
    feed.send(run.chunk(file, 0, half))
    feed.send(run.chunk(file, half, len(file)))
    feed.batches[1].arrived_ns += 86_400 * 10**9
    parts = {date: _whole(rows) for date, rows in flush_parts(feed.batches).items()}
    assert {date: table.column("message").to_pylist() for date, table in parts.items()} == {
        "2026-09-21": ["0"],
        "2026-09-22": ["1"],
    }
