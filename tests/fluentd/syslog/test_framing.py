"""Messages out of a connection's bytes: any framing, cut anywhere, bounded, and never lost without a count."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.syslog.framing import Framer

LIMIT = 20


def _frames(data: list[bytes], *, limit_bytes: int = LIMIT) -> list[bytes]:
    framer = Framer(limit_bytes=limit_bytes)
    return [message for part in data for message in framer.feed(part)]


_TEXT = st.binary(max_size=40).map(lambda text: b"<" + text.translate(None, b"\n\0"))


def _framed(text: bytes, framing: str) -> bytes:
    return b"%d %s" % (len(text), text) if framing == "length" else text + {"newline": b"\n", "nul": b"\0"}[framing]


@given(
    messages=st.lists(st.tuples(_TEXT, st.sampled_from(["length", "newline", "nul"])), max_size=6),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
def test_messages_come_out_whatever_their_framing_and_wherever_the_bytes_are_cut(
    messages: list[tuple[bytes, str]], cuts: list[int]
) -> None:
    """What is over the limit is cut, and every byte of it counted."""
    data = b"".join([_framed(text, framing) for text, framing in messages])
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    framer = Framer(limit_bytes=LIMIT)
    found = [message for start, stop in pairwise(bounds) for message in framer.feed(data[start:stop])]
    assert found == [text[:LIMIT] for text, _ in messages]
    assert framer.end() == b""
    assert framer.cut == sum(len(text) > LIMIT for text, _ in messages)
    assert framer.cut_bytes == sum(max(0, len(text) - LIMIT) for text, _ in messages)


@given(parts=st.lists(st.binary(max_size=60), max_size=10))
def test_any_bytes_are_messages_bounded_and_accounted_for(parts: list[bytes]) -> None:
    framer = Framer(limit_bytes=LIMIT)
    for part in parts:
        assert all(len(message) <= LIMIT for message in framer.feed(part))
    assert len(framer.end()) <= LIMIT + 10


def test_nothing_of_a_message_that_claims_to_be_long_is_held() -> None:
    framer = Framer(limit_bytes=LIMIT)
    assert framer.feed(b"999999999 " + b"x" * 30) == [b"x" * LIMIT]
    for _ in range(100):
        assert framer.feed(b"y" * 1000) == []
    assert framer.end() == b""
    assert (framer.cut, framer.cut_bytes) == (1, 999_999_999 - LIMIT)


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (b"12345678901 <1>x\n", [b"12345678901 <1>x"]),
        (b"012 <1>x\n", [b"012 <1>x"]),
        (b"12x <1>x\n", [b"12x <1>x"]),
        (b"\n\n<1>x\n", [b"", b"", b"<1>x"]),
        (b"4 <1>x\n4 <1>y", [b"<1>x", b"", b"<1>y"]),
    ],
)
def test_what_is_no_length_is_a_line(data: bytes, messages: list[bytes]) -> None:
    assert _frames([data]) == messages


def test_the_end_of_a_connection_leaves_what_has_no_end() -> None:
    framer = Framer(limit_bytes=LIMIT)
    assert framer.feed(b"<1>whole\n<1>torn") == [b"<1>whole"]
    assert framer.end() == b"<1>torn"
