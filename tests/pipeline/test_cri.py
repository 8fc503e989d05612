"""The runtime's line format: what is written is read back, what is no such line is told from it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.cri import STDERR, STDOUT, CriLine, format_line, format_time, parse_header

NOON = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()) * 10**9

times = st.integers(-(2**63), 2**63 - 1)
contents = st.binary(max_size=50).map(lambda content: content.replace(b"\n", b""))


@given(times, st.sampled_from([STDOUT, STDERR]), contents, st.sampled_from("PF"), st.sampled_from([b"\n", b""]))
@example(2**63 - 1, STDOUT, b"", "F", b"\n")
@example(-(2**63), STDERR, b" ", "P", b"")
@example(0, STDOUT, b"P F stdout", "P", b"\n")
def test_a_line_comes_back_as_it_was_written(
    time_ns: int, stream: int, content: bytes, tag: str, newline: bytes
) -> None:
    line = format_line(format_time(time_ns), stream, content, partial=tag == "P")
    assert line.count(b"\n") == 1
    given_line = line[:-1] + newline
    parsed = parse_header(given_line)
    assert parsed == CriLine(time_ns, stream, tag == "P", len(line) - 1 - len(content))
    assert parse_header(memoryview(given_line)) == parsed


@given(st.integers(0, 10**9 - 1), st.integers(0, 9))
def test_a_fraction_of_any_width_is_read(fraction: int, width: int) -> None:
    digits = str(fraction).zfill(9)[:width]
    time = b"2026-11-24T12:00:00" + (b"." + digits.encode() if width else b"") + b"Z"
    parsed = parse_header(format_line(time, STDOUT, b"text"))
    assert parsed is not None
    assert parsed.time_ns == NOON + int(digits.ljust(9, "0"))


@given(st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_a_zone_is_taken_off(minutes: int) -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    parsed = parse_header(format_line(moment.isoformat().encode(), STDOUT, b""))
    assert parsed is not None
    assert parsed.time_ns == NOON


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (NOON, b"2026-11-24T12:00:00Z"),
        (NOON + 500_000_000, b"2026-11-24T12:00:00.5Z"),
        (NOON + 1, b"2026-11-24T12:00:00.000000001Z"),
        (-1, b"1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_are_written_as_runtimes_do(time_ns: int, text: bytes) -> None:
    assert format_time(time_ns) == text


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"plain text\n",
        b"2026-11-24T12:00:00Z\n",
        b"2026-11-24T12:00:00Z stdout\n",
        b"2026-11-24T12:00:00Z stdout \n",
        b"2026-11-24T12:00:00Z stdin F text\n",
        b"2026-11-24T12:00:00Z stdout X text\n",
        b"2026-11-24T12:00:00Z stdout Full text\n",
        b"2026-11-24T12:00:00Z stdout FP text\n",
        b"2026-11-24 12:00:00Z stdout F text\n",
        b"2026-11-24T12:00:00 stdout F text\n",
        b"2026-11-24T12:00:00.Z stdout F text\n",
        b"2026-11-24T12:00:00.1234567890Z stdout F text\n",
        b"2026-13-24T12:00:00Z stdout F text\n",
        b"2026-02-30T12:00:00Z stdout F text\n",
        b"2026-11-24T24:00:00Z stdout F text\n",
        b"2026-11-24T12:00:60Z stdout F text\n",
        b"2026-11-24T12:00:00+24:00 stdout F text\n",
        b"0000-01-01T00:00:00Z stdout F text\n",
        b"9999-01-01T00:00:00Z stdout F text\n",
        b"0001-01-01T00:00:00+01:00 stdout F text\n",
        " ٢٠٢٦-11-24T12:00:00Z stdout F text\n".encode(),
        b" 2026-11-24T12:00:00Z stdout F text\n",
        b"2026-11-24T12:00:00Z  stdout F text\n",
    ],
)
def test_what_is_no_such_line_is_told_from_it(line: bytes) -> None:
    assert parse_header(line) is None


@pytest.mark.parametrize(
    ("line", "content"),
    [
        (b"2026-11-24T12:00:00Z stdout F text\n", b"text\n"),
        (b"2026-11-24T12:00:00Z stdout F  text\n", b" text\n"),
        (b"2026-11-24T12:00:00Z stdout F \n", b"\n"),
        (b"2026-11-24T12:00:00Z stdout F\n", b"\n"),
        (b"2026-11-24T12:00:00Z stdout F", b""),
        (b"2026-11-24T12:00:00Z stdout F:other:tags text\n", b"text\n"),
        (b"2026-11-24T12:00:00Z stdout F:other\n", b"\n"),
        (b"2026-11-24T12:00:00Z stdout F \x00\xff\r\n", b"\x00\xff\r\n"),
    ],
)
def test_content_begins_after_one_space(line: bytes, content: bytes) -> None:
    parsed = parse_header(line)
    assert parsed is not None
    assert line[parsed.content_start :] == content


@given(st.binary(max_size=80))
def test_no_bytes_make_the_parser_fail(line: bytes) -> None:
    for candidate in (line, b"2026-11-24T12:00:00" + line, b"2026-11-24T12:00:00Z stdout " + line):
        parsed = parse_header(candidate)
        assert parsed is None or parsed.content_start <= len(candidate)
