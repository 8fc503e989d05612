"""Chunks whose lines the agent dropped, some or all: their range counts, what is left has its own offsets."""

import struct
from typing import Any

import pytest

from pipeline.chunk import Flag

LINE = b"2026-11-24T12:00:00Z stdout %s %s\n"


def line(text: bytes, tag: bytes = b"F") -> bytes:
    return LINE % (tag, text)


FILE = b"".join(line(b"%d" % number) for number in range(6))
STARTS = [len(line(b"0")) * number for number in range(7)]


def left(run: Any, start: int, end: int, *numbers: int, **more: Any) -> Any:
    """The chunk of lines `start` to `end` of which only `numbers` are left."""
    whole = run.chunk(FILE, STARTS[start], STARTS[end], prev_end=STARTS[start], **more)
    data = b"".join(line(b"%d" % number) for number in numbers)
    offsets = struct.pack(f"<{len(numbers)}I", *(STARTS[number] - STARTS[start] for number in numbers))
    return type(whole)(
        whole.origin, whole.source, whole.ordinal, whole.start, whole.end, whole.prev_end, data, whole.flags, offsets
    )


def names(feed: Any) -> list[tuple[int, bytes]]:
    return [(STARTS.index(row.offset), row.message) for row in feed.rows()]


def test_a_chunk_of_which_nothing_is_left_leaves_no_gap(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, 0, STARTS[2]))
    assert feed.send(left(run, 2, 4)) == []
    feed.send(run.chunk(FILE, STARTS[4], STARTS[6]))
    assert names(feed) == [(number, b"%d" % number) for number in (0, 1, 4, 5)]
    assert feed.count("logger_gaps_total") == 0


@pytest.mark.parametrize("again", [(0, 6), (1, 5), (2, 6), (0, 3)])
def test_what_is_read_again_and_dropped_again_adds_nothing(feed: Any, run: Any, again: tuple[int, int]) -> None:
    feed.send(left(run, 0, 4, 1, 3))
    feed.restart()
    start, end = again
    feed.send(left(run, start, end, *(number for number in (1, 3, 4, 5) if start <= number < end)))
    feed.send(left(run, start, end))  # other rules now, all dropped: what came stays
    assert names(feed) == [(number, b"%d" % number) for number in (1, 3, *(n for n in (4, 5) if n < end))]
    assert feed.count("logger_gaps_total") == 0


def test_a_dropped_chunk_fills_a_gap(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, 0, STARTS[2]))
    feed.send(run.chunk(FILE, STARTS[4], STARTS[6]))
    assert feed.count("logger_gaps_total") == 1
    feed.send(left(run, 1, 5))
    assert feed.shard.gaps().count == 0
    assert names(feed) == [(number, b"%d" % number) for number in (0, 1, 4, 5)]


def test_a_line_in_pieces_goes_on_behind_dropped_lines(feed: Any, run: Any) -> None:
    first, dropped, last = line(b"begin ", b"P"), LINE.replace(b"stdout", b"stderr") % (b"F", b"x"), line(b"end")
    whole = first + dropped + last
    feed.send(run.chunk(whole, 0, len(first)))
    middle = run.chunk(whole, len(first), len(first + dropped))
    feed.send(type(middle)(middle.origin, middle.source, 0, middle.start, middle.end, middle.prev_end, b"", Flag.NONE))
    feed.send(run.chunk(whole, len(first + dropped), len(whole)))
    assert [row.message for row in feed.rows()] == [b"begin end"]


def test_the_rest_of_a_dropped_line_over_a_chunk_is_no_part_of_the_next(feed: Any, run: Any) -> None:
    long = line(b"y" * 100)
    whole = long + line(b"next")
    cut = 60
    begin = run.chunk(whole, 0, cut)
    feed.send(type(begin)(begin.origin, begin.source, 0, 0, cut, 0, b"", Flag.NONE))
    rest = run.chunk(whole, cut, len(whole))
    offsets = struct.pack("<I", len(long) - cut)
    feed.send(type(rest)(rest.origin, rest.source, 0, cut, len(whole), cut, line(b"next"), Flag.NONE, offsets))
    assert [(row.offset, row.message) for row in feed.rows()] == [(len(long), b"next")]
