"""Tokens: what goes in comes out, and nothing else gets in."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.reading.cursor import (
    TOKEN_BYTES,
    ArrivalKey,
    BacklogCursor,
    CursorError,
    LiveCursor,
    PageCursor,
    ReadingKey,
    decode_cursor,
    encode_cursor,
    queue_mark,
)
from logger.reading.merge import key_value, reading_key

count = st.integers(0, 2**62)
small = st.integers(0, 2**31 - 1)
sources = st.binary(min_size=16, max_size=16)
reading = st.builds(ReadingKey, st.integers(-(2**63), 2**63 - 1), small, sources, count, small)
arrival = st.builds(ArrivalKey, count, small, sources, count, small)
positions = st.dictionaries(small, count, max_size=8)
queues = st.binary(min_size=8, max_size=8)
cursors = (
    st.builds(PageCursor, reading)
    | st.builds(BacklogCursor, positions, reading, queues)
    | st.builds(LiveCursor, positions, st.dictionaries(small, arrival, max_size=2), queues)
)


@settings(max_examples=100)
@given(cursor=cursors)
def test_a_token_gives_its_cursor_back(cursor: Any) -> None:
    """And fits into a URL as it is."""
    token = encode_cursor(cursor)
    assert decode_cursor(token) == cursor
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()


@settings(max_examples=300)
@given(token=st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_anything_else_is_a_cursor_error_or_a_cursor(token: str) -> None:
    """No other error, whatever comes."""
    try:
        cursor = decode_cursor(token)
    except CursorError:
        return
    assert decode_cursor(encode_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "content",
    [
        ["p2", [0, 0, b"", 0, 0]],
        ["p1", [2**63, 0, b"", 0, 0]],
        ["p1", [0, -1, b"", 0, 0]],
        ["p1", [0, 0, b"x" * 17, 0, 0]],
        ["l2", {-1: 0}, {}, b""],
        ["l2", {0: -1}, {}, b""],
        ["l2", {0: 2**63}, {}, b""],
        ["l2", {0: 1}, {0: [-1, 0, b"", 0, 0]}, b""],
        ["l2", {0: 1}, {}, b"x" * 9],
        ["l1", {0: 1}, {}],
        ["b2", {}, None, b""],
    ],
)
def test_values_out_of_their_range_are_refused(content: Any) -> None:
    """Before numpy gets to see them."""
    token = base64.urlsafe_b64encode(msgspec.msgpack.encode(content)).decode().rstrip("=")
    with pytest.raises(CursorError):
        decode_cursor(token)


def test_a_token_is_bounded() -> None:
    """Before it is decoded."""
    with pytest.raises(CursorError):
        decode_cursor("A" * (TOKEN_BYTES + 1))


def test_old_tokens_stay_readable() -> None:
    """Clients keep them across an upgrade of the logger."""
    key = ReadingKey(5, 1, b"s" * 16, 7, 0)
    assert encode_cursor(PageCursor(key)) == "kqJwMZUFAcQQc3Nzc3Nzc3Nzc3Nzc3NzcwcA"
    queue = queue_mark("q")
    assert encode_cursor(BacklogCursor({0: 3}, key, queue)) == "lKJiMoEAA5UFAcQQc3Nzc3Nzc3Nzc3Nzc3NzcwcAxAgrNXD7Kb0UNQ"
    assert (
        encode_cursor(LiveCursor({0: 3}, {0: ArrivalKey(*key)}, queue))
        == "lKJsMoEAA4EAlQUBxBBzc3Nzc3Nzc3Nzc3Nzc3NzBwDECCs1cPspvRQ1"
    )


@settings(max_examples=100)
@given(key=reading, descending=st.booleans())
def test_keys_survive_their_numeric_form(key: Any, descending: bool) -> None:
    """Both ways of reading."""
    assert reading_key(key_value(key, descending=descending), descending=descending) == key


@settings(max_examples=100)
@given(left=reading, right=reading, descending=st.booleans())
def test_numeric_keys_order_as_keys_do(left: Any, right: Any, descending: bool) -> None:
    """And the other way round when reading backward."""
    values = key_value(left, descending=descending), key_value(right, descending=descending)
    assert (values[0] < values[1]) == ((left > right) if descending else (left < right))
