"""Row groups, the app index in the footer, and rewriting: small forms held against plain ones."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logger.table.rewrite
from logger.table.catalog import INDEX_KEY, AppIndex, decode_entry, encode_index
from logger.table.datafile import row_group_ends, write_data_file
from logger.table.readfile import FileReader, read_entry
from logger.table.rewrite import rewrite
from logger.table.snapshot import FileEntry, Snapshot, change_catalog
from logger.table.tombstones import EVERYWHERE
from pipeline.errors import FormatError
from pipeline.store import Store

DATE = "2026-11-24"
OLD_INDEX = b"KLUv/SBltQEAlAKWAaVxdWV1ZWOSoWGhYsRQAgABAAoABQAUAAUACQAFABUABQCRkwEABAoUAAMYY4wxxlgY"
Name = tuple[int, int, int]


def app_of(name: Name) -> str:
    """A few apps of very different size."""
    return f"app-{min(name[1] % 17, 5)}"


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    sizes=st.integers(1, 50),
    target=st.integers(1, 500),
)
def test_row_groups_cover_all_rows_and_stay_small(counts: list[int], sizes: int, target: int) -> None:
    """Over the target only by one row that is larger itself; no group of less than half unless it is the last."""
    rows = sum(counts)
    ends = row_group_ends(np.cumsum(counts), np.cumsum(np.full(rows, sizes)), target_bytes=target)
    starts = [0, *ends[:-1]]
    assert ends[-1] == rows
    for start, end in zip(starts, ends, strict=True):
        assert end - start == 1 or (end - start) * sizes <= target
        assert end == rows or (end - start + 1) * sizes > target or (end - start) * sizes >= target // 2


def test_a_row_group_starts_at_an_app_where_that_is_cheap() -> None:
    """The end of an app in the second half of a group is taken."""
    assert row_group_ends(np.array([8, 30]), np.arange(1, 31), target_bytes=10)[0] == 8
    assert row_group_ends(np.array([3, 30]), np.arange(1, 31), target_bytes=10)[0] == 10


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.tuples(*[st.integers(-(2**62), 2**62)] * 4), max_size=20))
def test_the_app_index_survives_the_footer(apps: dict[str, tuple[int, int, int, int]]) -> None:
    """Any name, any time."""
    names = sorted(apps)
    numbers = np.array([[place, 1, *apps[name]] for place, name in enumerate(names)], np.int64).reshape(-1, 6)
    index = AppIndex(tuple(names), numbers)
    encoded = encode_index(index, shards={3: (5, 9)}, queue_id="q", created_ms=7)
    entry = decode_entry(encoded, path="p", date=DATE, size_bytes=1)
    assert dict(entry.apps) == dict(index)
    assert (entry.shards, entry.queue_id, entry.created_ms, entry.rows) == ({3: (5, 9)}, "q", 7, len(names))
    assert encoded.isascii()
    assert all(absent not in entry.apps for absent in ("", "zz", "\U0010ffff") if absent not in apps)


def test_an_index_written_today_is_read_for_ever() -> None:
    """Bytes of version 1: a change of the format needs a new version."""
    index = AppIndex(("a", "b"), np.array([[0, 2, 10, 20, 9, 21], [2, 1, 5, 5, 5, 5]], np.int64))
    entry = decode_entry(OLD_INDEX, path="p", date=DATE, size_bytes=1)
    assert dict(entry.apps) == dict(index)
    assert (entry.shards, entry.queue_id, entry.created_ms) == ({1: (0, 4)}, "queue", 99)


@pytest.mark.parametrize("encoded", [None, b"", b"!", b"AAAA", b"KLUv/SABBQAAkAE="], ids=str)
def test_a_footer_without_an_index_names_the_file(encoded: bytes | None) -> None:
    """A foreign file in the table is told, not guessed at."""
    with pytest.raises(FormatError, match="some/path"):
        decode_entry(encoded, path="some/path", date=DATE, size_bytes=1)


def test_rows_of_an_app_that_do_not_lie_together_are_refused(store: Store, kit: Any) -> None:
    """The index could not name them; nothing is left of the file."""
    rows = kit.make_rows([(0, number, 0) for number in range(12)], app_of=app_of)
    with pytest.raises(ValueError, match="come after"):
        write_data_file(store, f"date={DATE}/a.parquet", rows.take([11, 0, 10]), queue_id="q", created_ms=1)
    assert store.objects(f"date={DATE}") == []


def test_a_file_describes_itself_as_its_writer_did(store: Store, kit: Any) -> None:
    """From rows in several batches with dictionaries of their own, of shards that alternate."""
    names = [(number % 3, number // 3, 0) for number in range(600)]
    rows = kit.make_rows(names, app_of=app_of)
    mixed = pa.concat_tables(
        [rows.slice(0, 100), pa.Table.from_batches([*rows.slice(100).to_batches(max_chunksize=37)])]
    )
    entry = write_data_file(store, f"date={DATE}/a.parquet", mixed, queue_id="q", created_ms=1)
    again = read_entry(store, entry.path, size_bytes=entry.size_bytes)
    assert (again.rows, again.shards, dict(again.apps)) == (entry.rows, entry.shards, dict(entry.apps))
    assert entry.shards == dict.fromkeys(range(3), (0, 199))
    assert entry.size_bytes == (Path(store.uri) / entry.path).stat().st_size
    reader = FileReader(store)
    for app, span in entry.apps.items():
        found = reader.read(entry, start=span.start, count=span.count, columns=["app", "order_ns", "time_ns"])
        assert set(found.column("app").to_pylist()) == {app}
        order = found.column("order_ns").to_pylist()
        assert (min(order), max(order)) == (span.order_min, span.order_max) == (span.time_min, span.time_max)


def test_other_engines_read_the_columns(store: Store, kit: Any) -> None:
    """Footers are text, and the types are plain."""
    rows = kit.make_rows([(0, 1, 0)], app_of=app_of)
    entry = write_data_file(store, f"date={DATE}/a.parquet", rows, queue_id="q", created_ms=1)
    metadata = pq.read_metadata(Path(store.uri) / entry.path)
    assert all(value.isascii() for value in metadata.metadata.values())
    assert INDEX_KEY in metadata.metadata


@pytest.mark.parametrize("window_bytes", [1, 3000, 16 << 20])
@pytest.mark.parametrize("seed", range(4))
def test_a_rewrite_is_the_sorted_union_less_what_has_to_go(
    store: Store, kit: Any, seed: int, window_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fits the window: all, an app, or less than an app; over many row groups, with equal times."""
    monkeypatch.setattr(logger.table.rewrite, "WINDOW_BYTES", window_bytes)
    monkeypatch.setattr("logger.table.datafile.ROW_GROUP_BYTES", 1500)
    chance = random.Random(seed)
    names = [(shard, offset // 4, offset % 4) for shard in range(3) for offset in range(chance.randint(1, 200))]
    chance.shuffle(names)
    cuts = sorted(chance.sample(range(1, len(names)), 3)) if len(names) > 3 else []
    parts = [names[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(names)], strict=True)]
    inputs = [
        write_data_file(
            store,
            f"date={DATE}/{number}.parquet",
            kit.make_rows(part, app_of=app_of),
            queue_id="q",
            created_ms=number,
        )
        for number, part in enumerate(parts)
    ]
    below = {0: 10, 1: 20}

    def doomed(entry: FileEntry) -> dict[str, Any]:
        return {app: rule for app, rule in (("app-1", EVERYWHERE), ("app-5", below)) if app in entry.apps}

    def stays(name: Name) -> bool:
        return app_of(name) != "app-1" and not (app_of(name) == "app-5" and name[1] < below.get(name[0], 0))

    done = rewrite(store, FileReader(store), inputs, path=f"date={DATE}/new.parquet", doomed=doomed)
    expected = kit.make_rows(list(filter(stays, names)), app_of=app_of)
    assert done.dropped_rows == len(names) - expected.num_rows
    if done.entry is None:
        assert expected.num_rows == 0
        return
    assert done.entry.created_ms == len(parts) - 1
    found = pq.ParquetFile(Path(store.uri) / done.entry.path).read(use_threads=False)
    assert found.to_pydict() == expected.to_pydict()


def test_a_rewrite_that_leaves_no_row_leaves_no_file(store: Store, kit: Any) -> None:
    """The inputs go without a successor."""
    rows = kit.make_rows([(0, number, 0) for number in range(5)], app_of=app_of)
    entry = write_data_file(store, f"date={DATE}/a.parquet", rows, queue_id="q", created_ms=1)
    done = rewrite(
        store,
        FileReader(store),
        [entry],
        path=f"date={DATE}/b.parquet",
        doomed=lambda entry: dict.fromkeys(entry.apps, EVERYWHERE),
    )
    assert (done.entry, done.dropped_rows) == (None, 5)
    assert [fact.name for fact in store.objects(f"date={DATE}")] == [entry.path]


def test_a_changed_catalog_is_the_one_made_anew() -> None:
    """Step by step, or all at once."""
    chance = random.Random(1)
    files: dict[str, FileEntry] = {}
    catalog: Any = {}
    for number in range(60):
        index = AppIndex(names := tuple(sorted(chance.sample("abcdef", 3))), np.ones((len(names), 6), np.int64))
        new = FileEntry(f"f{number}", DATE, 1, 1, index, {})
        gone = [files.pop(path) for path in chance.sample(sorted(files), min(len(files), chance.choice([0, 0, 1, 3])))]
        files[new.path] = new
        catalog = change_catalog(catalog, added=[new], removed=gone)
    anew = Snapshot(1, {}, files)
    assert {app: {entry.path for entry in entries} for app, entries in catalog.items()} == {
        app: {entry.path for entry in anew.of_app(app)} for app in anew.apps()
    }
