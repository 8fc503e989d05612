"""Chunks are cut at line ends, whatever the bytes."""

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.chunk import cut_chunk


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\n")), st.integers(1, 40))
@example(b"", 1)
@example(b"\n", 1)
@example(b"ab\ncd", 3)
@example(b"abc\n", 3)
def test_a_cut_is_after_the_last_full_line_within_the_limit(data: bytes, limit: int) -> None:
    length = cut_chunk(data, limit_bytes=limit)
    assert 0 <= length <= min(limit, len(data))
    if b"\n" in data[:limit]:
        assert data[length - 1 : length] == b"\n"
        assert b"\n" not in data[length:limit]
    else:
        assert length == (limit if len(data) >= limit else 0)
    assert cut_chunk(memoryview(data), limit_bytes=limit) == length


@given(st.binary(max_size=200).map(lambda data: data.replace(b"\x00", b"\n")), st.integers(1, 20))
def test_cuts_follow_each_other_and_leave_only_a_line_that_has_not_ended(data: bytes, limit: int) -> None:
    pieces, rest = [], data
    while length := cut_chunk(rest, limit_bytes=limit):
        pieces.append(rest[:length])
        rest = rest[length:]
    assert b"".join(pieces) + rest == data
    assert len(rest) < limit
    assert b"\n" not in rest
