"""The cache of a bucket's objects: bounded, gone with the process, and never wrong."""

import os
import random
import threading
from pathlib import Path

import pytest

from pipeline.store.diskcache import DiskCache


def test_a_ring_keeps_what_is_newest_within_its_bound(tmp_path: Path) -> None:
    """Whatever it gives is what was kept; the file does not grow."""
    cache = DiskCache(tmp_path, limit_bytes=1000)
    kept = {number: bytes([number % 256]) * (1 + number * 37 % 300) for number in range(400)}
    for number, data in kept.items():
        cache.keep(number, data)
        assert cache.get(number) == data
        found = [older for older in range(number + 1) if cache.get(older) is not None]
        assert all(cache.get(older) == kept[older] for older in found)
        assert sum(len(kept[older]) for older in found) <= 1000
        assert found == list(range(found[0], number + 1)), "the newest are kept, without a hole"
    assert len(found) > 2
    assert list(tmp_path.iterdir()) == []
    cache.close()


def test_what_cannot_fit_is_not_kept(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, limit_bytes=1000)
    cache.keep("large", bytes(501))
    cache.keep("empty", b"")
    cache.keep("half", bytes(500))
    assert [cache.get(key) for key in ("large", "empty", "half")] == [None, None, bytes(500)]


def test_a_full_disk_ends_the_cache_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path, limit_bytes=1000)
    cache.keep("before", b"x")

    def fail(*_: object) -> int:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        cache.keep("now", b"y")
    cache.keep("later", b"z")
    assert [cache.get(key) for key in ("before", "now", "later")] == [None, None, None]


def test_readers_beside_a_writer_get_what_was_kept_or_nothing(tmp_path: Path) -> None:
    """The writer overwrites what they are about to read."""
    cache = DiskCache(tmp_path, limit_bytes=4096)
    content = {number: bytes([number % 251]) * (100 + number % 900) for number in range(3000)}
    wrong: list[int] = []
    hits: list[int] = []
    done = threading.Event()

    def read(seed: int) -> None:
        chance = random.Random(seed)
        while not done.is_set():
            number = chance.randrange(3000)
            data = cache.get(number)
            if data is not None:
                (hits if data == content[number] else wrong).append(number)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for number, data in content.items():
        cache.keep(number, data)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert hits
