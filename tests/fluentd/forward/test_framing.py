"""Frames are found wherever the connection's bytes are cut, and what a header claims costs nothing."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluentd.forward.errors import RefusedError
from fluentd.forward.frame import entry_ends, parse_frame
from fluentd.forward.framing import Framer
from fluentd.forward.inflate import inflate
from fluentd.forward.walk import Walk, has_more_values
from pipeline.limits import KIB, MIB

FRAMES = [
    msgpack.packb(["tag", 1, {"log": "x" * 40}, {"chunk": "abc"}]),
    msgpack.packb(None),
    msgpack.packb(["tag", [[1, {"a": [1, 2, {"b": None}]}]] * 3]),
    msgpack.packb(["tag", b"y" * 300, {"size": 3}]),
]


def take_all(framer: Framer) -> list[bytes]:
    found = []
    while (frame := framer.take()) is not None:
        found.append(bytes(frame))
    return found


@given(st.lists(st.integers(1, 200)))
def test_frames_are_the_same_wherever_the_bytes_are_cut(sizes: list[int]) -> None:
    data, framer, found = b"".join(FRAMES) * 2, Framer(limit_bytes=MIB), []
    for size in [*sizes, len(data)]:
        framer.feed(data[:size])
        data = data[size:]
        found += take_all(framer)
    assert found == FRAMES * 2
    assert framer.buffered_bytes == 0


def test_frames_after_a_large_one_are_found() -> None:
    large = msgpack.packb(["tag", b"z" * 300_000])
    data, framer, found = b"".join((FRAMES[0], large, *FRAMES, large, large, FRAMES[3])), Framer(limit_bytes=MIB), []
    for start in range(0, len(data), 7000):
        framer.feed(data[start : start + 7000])
        found += take_all(framer)
    assert found == [FRAMES[0], large, *FRAMES, large, large, FRAMES[3]]


def feed_on(framer: Framer, hostile: bytes, filler: bytes) -> None:
    framer.feed(hostile)
    for _ in range(2 * framer.limit_bytes // len(filler)):
        framer.feed(filler)
        assert framer.take() is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
        max_leaves=40,
    ),
    st.sampled_from([msgpack.ExtType(1, b"x" * size) for size in (1, 2, 3, 4, 8, 16, 17, 300, 70_000)]),
    st.integers(20, 300),
)
@settings(deadline=None)
def test_a_walk_finds_the_end_of_any_value_that_comes_little_by_little(value: object, ext: object, step: int) -> None:
    data = msgpack.packb([value, ext, "x" * step, ["y"] * 70])
    walk, ends = Walk(), set()
    for size in range(0, len(data) + step, step):
        ends.add(walk.end((data + b"\xc1" * 10)[:size]))
        if None not in ends or len(ends) > 1:
            break
    assert ends <= {None, len(data)}
    assert Walk().end(data) == len(data)
    assert Walk().end(data[:-1]) is None
    values = sum(1 for _ in _all_values(msgpack.unpackb(data, strict_map_key=False, timestamp=0)))
    assert not has_more_values(memoryview(data), values)
    assert has_more_values(memoryview(data), values - 1)


def _all_values(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, list):
        for one in value:
            yield from _all_values(one)
    elif isinstance(value, dict):
        for pair in value.items():
            for one in pair:
                yield from _all_values(one)


def run_inflate(data: bytes, *, limit_bytes: int) -> bytearray:
    return asyncio.run(inflate(data, limit_bytes=limit_bytes))


HUGE = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "hostile",
    [
        b"\xdd" + HUGE,
        b"\xdf" + HUGE,
        b"\xdb" + HUGE,
        b"\xc6" + HUGE,
        b"\xc9\xff\xff\xff\xfe\x00",
        (b"\xdd" + HUGE) * 200,
        (b"\xdd\x00\x7f\xff\xff") * 200,
        b"\x93\xa3tag\xdd" + HUGE,
    ],
    ids=["array", "map", "str", "bin", "ext", "arrays in arrays", "smaller arrays in arrays", "entries"],
)
def test_headers_of_4_gib_cost_no_memory_and_are_refused_at_the_limit(hostile: bytes) -> None:
    limit_bytes = 256 * KIB
    filler = msgpack.packb("x" * 250) * 64
    tracemalloc.start()
    try:
        framer = Framer(limit_bytes=limit_bytes)
        with pytest.raises(RefusedError) as refused:
            feed_on(framer, hostile, filler)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason == "size"
    assert peak_bytes < 2 * limit_bytes


def test_a_frame_over_the_limit_is_refused_even_if_it_comes_at_once() -> None:
    framer = Framer(limit_bytes=100)
    framer.feed(msgpack.packb("x" * 200))
    with pytest.raises(RefusedError):
        framer.take()


def test_entries_that_claim_more_than_they_are_cost_no_memory() -> None:
    frame = parse_frame(msgpack.packb(["tag", b"\x92\x00\x81\xa1a" + b"\xdd\x00\x0f\xff\xff" * 1000]))
    assert frame is not None
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError):
            entry_ends(frame)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < MIB


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_gzip_members_are_joined(parts: list[bytes]) -> None:
    assert run_inflate(b"".join(map(gzip.compress, parts)), limit_bytes=MIB) == b"".join(parts)


def test_a_bomb_is_refused_at_the_limit_and_takes_no_more_than_twice_that() -> None:
    limit_bytes = MIB
    bomb = gzip.compress(b"\0" * 64 * MIB)
    assert 900 * len(bomb) < 64 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError) as refused:
            run_inflate(bomb, limit_bytes=limit_bytes)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason == "inflated"
    assert peak_bytes <= 2 * limit_bytes + 256 * KIB


def test_as_many_bytes_as_the_limit_are_taken_and_not_one_more() -> None:
    assert len(run_inflate(gzip.compress(b"x" * 1000), limit_bytes=1000)) == 1000
    with pytest.raises(RefusedError):
        run_inflate(gzip.compress(b"x" * 1001), limit_bytes=1000)
    with pytest.raises(RefusedError):
        run_inflate(gzip.compress(b"x" * 600) * 2, limit_bytes=1000)


def test_what_a_few_bytes_become_comes_out_whole_whatever_the_steps_are() -> None:
    for size in (2**18 - 1, 2**18, 2**18 + 1, 3 * 2**18, 10**6):
        assert run_inflate(gzip.compress(b"x" * size) + gzip.compress(b"y"), limit_bytes=MIB) == b"x" * size + b"y"


def test_members_without_end_are_refused() -> None:
    with pytest.raises(RefusedError, match="members"):
        run_inflate(gzip.compress(b"", compresslevel=0) * 100_001, limit_bytes=MIB)
