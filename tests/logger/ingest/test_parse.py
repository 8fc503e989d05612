"""The parser of whole buffers against the plain one, line by line."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cri import format_line, format_time, parse_header
from pipeline.lines.parse import parse_lines

_MANY = 70
"""So many lines of a kind are parsed as arrays, fewer one by one."""

_TIMES = st.one_of(
    st.integers(0, 2**62),
    st.integers(1_790_000_000_000_000_000, 1_790_000_001_000_000_000),
    st.integers(0, 2**31).map(lambda seconds: seconds * 10**9),
    st.integers(0, 2**40).map(lambda ms: ms * 10**6),
)
_ZONES = st.sampled_from([b"Z", b"+00:00", b"-07:30", b"+23:59", b"+24:00", b"+05:99", b"z", b""])
_CONTENT = st.binary(max_size=60).map(lambda content: content.replace(b"\n", b"\t"))


@st.composite
def _usual(draw: st.DrawFn) -> bytes:
    time = format_time(draw(_TIMES)).removesuffix(b"Z") + draw(_ZONES)
    line = format_line(time, draw(st.integers(0, 1)), draw(_CONTENT), partial=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        line = line.replace(b" F ", draw(st.sampled_from([b" F:x ", b" F", b" X ", b"  F ", b" P:a:b "])), 1)
    return line


@st.composite
def _broken(draw: st.DrawFn) -> bytes:
    line = bytearray(draw(_usual()))
    at = draw(st.integers(0, min(len(line) - 2, 45)))
    line[at] = draw(st.sampled_from(b"0123456789:;/.-+TZ XPFst\x00\xb0\xff"))
    return bytes(line)


_LINES = st.lists(st.one_of(_usual(), _broken(), _CONTENT.map(lambda content: content + b"\n")), max_size=6)


@settings(max_examples=120, deadline=None)
@given(_LINES)
def test_every_line_is_parsed_as_the_plain_parser_does(lines: list[bytes]) -> None:
    for times in (1, _MANY):
        _check([line for line in lines for _ in range(times)])


def _check(lines: list[bytes]) -> None:
    parsed = parse_lines(b"".join(lines))
    expected = [parse_header(line[:-1]) for line in lines]
    starts = list(accumulate((len(line) for line in lines), initial=0))
    assert parsed.starts.tolist() == starts[:-1]
    assert parsed.stops.tolist() == [start - 1 for start in starts[1:]]
    assert parsed.parsed.tolist() == [header is not None for header in expected]
    assert parsed.time_ns.tolist() == [header.time_ns if header else 0 for header in expected]
    assert parsed.stream.tolist() == [header.stream if header else 0 for header in expected]
    assert parsed.partial.tolist() == [header is not None and header.partial for header in expected]
    contents = parsed.contents - parsed.starts
    assert contents.tolist() == [header.content_start if header else 0 for header in expected]


@pytest.mark.parametrize("digits", range(10))
@pytest.mark.parametrize("zone", [b"Z", b"+02:00", b"-11:45"], ids=["utc", "east", "west"])
def test_each_width_is_read(digits: int, zone: bytes) -> None:
    fraction = b"." + b"987654321"[:digits] if digits else b""
    line = format_line(b"2024-02-29T23:59:59" + fraction + zone, 1, b"x")
    assert parse_header(line[:-1]) is not None
    _check([line] * 2 * _MANY + [b"\n"] * _MANY)


@pytest.mark.parametrize(
    "date", ["2023-02-29", "2024-13-01", "2024-00-10", "2024-04-31", "2024-01-00", "1677-01-01", "2262-12-31"]
)
def test_days_that_are_none_or_out_of_range_are_no_header(date: str) -> None:
    line = format_line(date.encode() + b"T00:00:00.5Z", 0, b"x")
    assert parse_header(line[:-1]) is None
    _check([line] * 2 * _MANY)


def test_an_empty_buffer_has_no_lines() -> None:
    assert len(parse_lines(b"").starts) == 0


@pytest.mark.parametrize("zone", [b"Z", b"+02:30"], ids=["utc", "east"])
@pytest.mark.parametrize("digits", [9, 4, 0])
def test_any_one_byte_that_is_wrong_is_seen(zone: bytes, digits: int) -> None:
    fraction = b"." + b"123456789"[:digits] if digits else b""
    line = format_line(b"2024-03-15T12:34:56" + fraction + zone, 0, b"content that is long enough")
    lines = [
        line[:at] + bytes([byte]) + line[at + 1 :]
        for at in range(line.index(b"F") + 3)
        for byte in b"/0:;<=>?@13569AFPTZ \x10\xb0\xb3"
    ]
    _check(lines + [line] * _MANY)
