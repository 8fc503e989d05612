"""What the table needs of a store, held against a folder and a real bucket alike."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import FormatError, SettingsError, StoreUnavailableError
from pipeline.store import GoneError, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(params=["folder", "bucket", "bucket with a cache"])
def store(request: pytest.FixtureRequest, tmp_path: Path, place: str) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path))
    request.getfixturevalue("gateway")
    cached = request.param == "bucket with a cache"
    return open_store(f"s3://logs/{place}", cache=tmp_path / "cache" if cached else None, cache_bytes=1 << 20)


def test_an_object_is_put_once_and_never_changed(store: Store) -> None:
    store.put("_state/a", b"first")
    with pytest.raises(FileExistsError):
        store.put("_state/a", b"second")
    assert store.get("_state/a") == b"first"


def test_of_many_that_put_at_once_one_succeeds(store: Store) -> None:
    outcomes: list[bool] = []

    def put(number: int) -> None:
        try:
            store.put("_delta_log/1", str(number).encode())
        except FileExistsError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 15 + [True]


def test_what_is_not_there_is_told_from_what_is_empty(store: Store) -> None:
    store.put("_state/empty", b"")
    assert store.get("_state/empty") == b""
    assert store.get("_state/other") is None
    calls: list[Callable[[], Any]] = [
        lambda: store.reading("date=2026-11-24/x", [(0, 1)]),
        lambda: store.reading("date=2026-11-24/x"),
        lambda: store.tail("date=2026-11-24/x", size_bytes=5, count=2),
    ]
    for call in calls:
        with pytest.raises(GoneError, match="x"):
            call()


def test_a_listing_shows_the_objects_right_below_a_folder_in_order(store: Store) -> None:
    names = ["_state/b", "_state/a", "_state/tombstones/c", "date=2026-11-24/d", "date=2026-11-23/e"]
    for name in names:
        store.put(name, b"x")
    assert [fact.name for fact in store.objects("_state")] == ["_state/a", "_state/b"]
    assert store.objects("nothing") == []
    assert store.folders("date=") == ["date=2026-11-23", "date=2026-11-24"]
    assert all(fact.modified_ms > 1_700_000_000_000 for fact in store.objects("_state"))


def test_a_listing_of_thousands_is_whole(store: Store) -> None:
    """A bucket gives them by the thousand."""
    for number in range(1100):
        store.put(f"_state/{number:04}", b"")
    assert [fact.name for fact in store.objects("_state")] == [f"_state/{number:04}" for number in range(1100)]


def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(store: Store) -> None:
    store.put("_state/a", b"x")
    store.delete("_state/a")
    store.delete("_state/a")
    assert store.get("_state/a") is None


def test_parts_of_a_stream_read_as_they_were_written(store: Store) -> None:
    """Far apart, next to each other, and twice."""
    data = bytes(number * 7 % 251 for number in range(300_000))
    with store.writing("date=2026-11-24/a") as sink:
        sink.write(data[:1000])
        sink.write(data[1000:])
    spans = [(5, 10), (10, 3000), (299_000, 300_000)]
    for _ in range(2):
        with store.reading("date=2026-11-24/a", spans) as source:
            for start, stop in spans:
                source.seek(start)
                assert source.read(stop - start) == data[start:stop]
        assert store.tail("date=2026-11-24/a", size_bytes=len(data), count=100) == data[-100:]
    assert store.tail("date=2026-11-24/a", size_bytes=len(data), count=10**6) == data
    with store.reading("date=2026-11-24/a") as source:
        assert source.read() == data


def test_a_stream_that_fails_leaves_nothing(store: Store) -> None:
    def write() -> None:
        with store.writing("date=2026-11-24/a") as sink:
            sink.write(b"half")
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write()
    assert store.get("date=2026-11-24/a") is None


def test_what_cannot_be_read_is_set_aside(store: Store) -> None:
    store.put("_delta_log/1.json", b"{")
    store.set_aside("_delta_log/1.json", ".torn")
    assert [fact.name for fact in store.objects("_delta_log")] == ["_delta_log/1.json.torn"]


def test_an_object_that_is_cut_short_is_damaged_not_away(gateway: Any, place: str, tmp_path: Path) -> None:
    store = open_store(f"s3://logs/{place}")
    store.put("date=2026-11-24/a", b"12345")
    with pytest.raises(FormatError, match="5 bytes are left of 100"):
        store.tail("date=2026-11-24/a", size_bytes=100, count=10)


def test_what_the_cache_has_is_not_asked_for_again(meddler: Any, place: str, tmp_path: Path) -> None:
    store = open_store(f"s3://logs/{place}", cache=tmp_path / "cache", cache_bytes=1 << 20)
    store.put("date=2026-11-24/a", b"0123456789" * 100)
    for _ in range(3):
        assert store.tail("date=2026-11-24/a", size_bytes=1000, count=10) == b"0123456789"
    assert meddler.seen["GET", "pass"] == 1


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match="LOGGER_CACHE"):
        open_store("s3://logs/x", cache=tmp_path / "file" / "cache", cache_bytes=1)


def test_a_bucket_that_does_not_answer_or_refuses_is_unavailable(
    gateway: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens; the secret is wrong; there is no such bucket."""
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(StoreUnavailableError, match="_state/a"):
            open_store(f"s3://logs/{place}").get("_state/a")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StoreUnavailableError, match="_state/a") as raised:
            open_store(f"s3://logs/{place}").put("_state/a", b"")
        assert "wrong" not in str(raised.value)
    nobody = open_store(f"s3://nobody/{place}")
    for call in (lambda: nobody.put("_state/a", b""), lambda: nobody.get("_state/a"), lambda: nobody.objects("_state")):
        with pytest.raises(StoreUnavailableError, match="bucket"):
            call()


@pytest.mark.parametrize(("fate", "requests"), [("refuse", 5), ("lose", 5)], ids=["refused", "unanswered"])
def test_a_put_is_tried_a_bounded_number_of_times_and_then_the_caller_is_asked(
    meddler: Any, place: str, fate: str, requests: int
) -> None:
    """The answers are lost, or there are none; a repetition finds what an attempt before it put there."""
    store = open_store(f"s3://logs/{place}")
    meddler.rates = {fate: 1.0}
    with pytest.raises(StoreUnavailableError):
        store.put("_state/a", b"mine")
    assert 1 <= meddler.harmed(fate) <= requests
    meddler.rates = {}
    store.put("_state/a", b"mine")
    with pytest.raises(FileExistsError):
        store.put("_state/a", b"yours")
