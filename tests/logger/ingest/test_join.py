"""Lines that go on: pieces by the runtime, chunks cut anywhere, rotation, lines over the limit."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunk import Flag
from pipeline.cri import STDERR, STDOUT, format_line, format_time
from pipeline.limits import LINE_BYTES
from pipeline.lines.accept import Progress
from pipeline.lines.assemble import assemble
from pipeline.lines.resume import ShardState
from pipeline.pack import Header, PackBody

T0 = 1_790_000_000_000_000_000
SECOND = 10**9


def _line(content: bytes, *, at: int = 0, stream: int = STDOUT, partial: bool = False) -> bytes:
    return format_line(format_time(T0 + at), stream, content, partial=partial)


def _pieces(content: bytes, cut: int) -> bytes:
    return _line(content[:cut], at=1, partial=True) + _line(content[cut:], at=2)


def _check_cut(feed: Any, run: Any, content: bytes, cut: int) -> None:
    file = _line(b"before") + _pieces(content, cut) + _line(b"after", at=3)
    feed.send(run.chunk(file, 0, len(file)))
    assert [row.message for row in feed.rows()] == [b"before", content, b"after"]


_LONG = random.Random(5).randbytes(64 * 1024).replace(b"\n", b" ")


@pytest.mark.parametrize("cut", [0, 1, 2, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 40_000, 64 * 1024 - 1, 64 * 1024])
def test_a_long_line_in_two_pieces_is_one_row(feed: Any, run: Any, cut: int) -> None:
    _check_cut(feed, run, _LONG, cut)


@pytest.mark.slow
def test_a_line_of_64_kib_cut_into_pieces_at_every_byte_is_one_row(make_run: Any) -> None:
    before, after = _line(b"before"), _line(b"after", at=3)
    for cut in range(len(_LONG) + 1):
        file = before + _pieces(_LONG, cut) + after
        assert _messages([make_run().chunk(file, 0, len(file))]) == [b"before", _LONG, b"after"], cut


@pytest.mark.slow
def test_a_file_with_a_line_of_64_kib_cut_into_chunks_anywhere_gives_it_whole(make_run: Any) -> None:
    file = _line(b"before") + _pieces(_LONG, 16 * 1024) + _line(b"after", at=3)
    run = make_run()
    for cut in range(1, len(file), 7):
        assert _messages([run.chunk(file, 0, cut), run.chunk(file, cut, len(file))]) == [b"before", _LONG, b"after"], (
            cut
        )


def _messages(chunks: list[Any]) -> list[bytes]:
    """Lines of one record without its encoding, which would take ten times as long as what is tried here."""
    headers = [
        Header(0, chunk.source, 0, chunk.start, chunk.end, chunk.prev_end, len(chunk.data), int(chunk.flags))
        for chunk in chunks
    ]
    data = b"".join(chunk.data for chunk in chunks)
    progress = Progress(ShardState(0))
    accepted = progress.begin()
    progress.accept(PackBody("n1", 0, [chunks[0].origin], headers, data), 0, T0, accepted)
    batch = assemble(accepted, progress, shard=0, first_offset=0, arrived_ns=T0).batch
    return [batch.buffer[low:high] for low, high in zip(batch.starts.tolist(), batch.stops.tolist(), strict=True)]


def test_streams_are_joined_apart_from_each_other(feed: Any, run: Any, row: Any) -> None:
    file = (
        _line(b"o1", at=0, partial=True)
        + _line(b"e1", at=1, stream=STDERR, partial=True)
        + _line(b"o2", at=2)
        + _line(b"e2", at=3, stream=STDERR)
    )
    feed.send(run.chunk(file, 0, len(file)))
    first = len(_line(b"o1", partial=True))
    assert feed.rows() == [row(0, 0, 0, T0, STDOUT, b"o1o2"), row(0, first, 0, T0 + 1, STDERR, b"e1e2")]


def test_pieces_join_across_a_rotation_and_a_restart(feed: Any, run: Any) -> None:
    first = _line(b"a", partial=True)
    second = _line(b"b", at=1, partial=True)
    third = _line(b"c", at=2) + _line(b"d", at=3)
    feed.send(run.chunk(first, 0, len(first), flags=Flag.FINAL))
    feed.restart()
    feed.send(run.chunk(second, 0, len(second), ordinal=1))
    feed.restart()
    feed.send(run.chunk(third, 0, len(third), ordinal=2))
    assert [(row.ordinal, row.offset, row.message) for row in feed.rows()] == [
        (0, 0, b"abc"),
        (2, len(_line(b"c", at=2)), b"d"),
    ]


_ANY_LINE = st.builds(
    lambda content, at, stream, partial: _line(content, at=at, stream=stream, partial=partial),
    st.tuples(st.binary(max_size=30), st.sampled_from([b"", b"y" * 200])).map(
        lambda parts: b"".join(parts).replace(b"\n", b"\r")
    ),
    st.integers(0, 5),
    st.integers(0, 1),
    st.booleans(),
)
_ANY_FILE = st.lists(st.one_of(_ANY_LINE, st.just(b"no header\n"), st.just(b"\n")), min_size=1, max_size=8).map(
    b"".join
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_files_cut_anywhere_give_the_rows_of_the_whole(make_feed: Any, make_run: Any, model: Any, data: Any) -> None:
    end = _line(b"end", at=9) + _line(b"end", at=9, stream=STDERR)
    files = [*data.draw(st.lists(_ANY_FILE, min_size=1, max_size=3)), end]
    feed, run = make_feed(), make_run()
    for ordinal, file in enumerate(files):
        cuts = data.draw(st.lists(st.integers(1, len(file)), max_size=4))
        for chunk in run.chunks(file, cuts, ordinal=ordinal):
            feed.send(chunk)
            if data.draw(st.booleans()):
                feed.restart()
    got = [row._replace(time_ns=0) for row in feed.rows()]
    assert got == [row._replace(time_ns=0) for row in model(files)]
    assert feed.orders() == sorted(feed.orders())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_chunks_cut_at_line_ends_give_the_times_of_the_whole(
    make_feed: Any, make_run: Any, model: Any, data: Any
) -> None:
    end = _line(b"end", at=9) + _line(b"end", at=9, stream=STDERR)
    files = [_line(b"start") + data.draw(_ANY_FILE), end]
    feed, run = make_feed(), make_run()
    for ordinal, file in enumerate(files):
        ends = [index + 1 for index, byte in enumerate(file) if byte == ord("\n")]
        for chunk in run.chunks(file, data.draw(st.lists(st.sampled_from(ends), max_size=3)), ordinal=ordinal):
            feed.send(chunk)
    assert feed.rows() == model(files)
    assert feed.orders() == sorted(feed.orders())


def test_a_line_over_the_limit_goes_on_in_continuation_rows(feed: Any, run: Any) -> None:
    content = random.Random(6).randbytes(2 * LINE_BYTES + 5).replace(b"\n", b" ")
    file = _line(b"before") + _line(content, at=1) + _line(b"after", at=2)
    for chunk in run.chunks(file, range(0, len(file), 256 * 1024)):
        feed.send(chunk)
    rows = feed.rows()
    assert rows[0].message == b"before"
    assert rows[-1].message == b"after"
    middle = rows[1:-1]
    assert [row.continuation for row in middle] == [0, 1, 2]
    assert {(row.offset, row.time_ns) for row in middle} == {(len(_line(b"before")), T0 + 1)}
    assert b"".join(row.message for row in middle) == content


def test_a_line_of_exactly_the_limit_is_one_row(feed: Any, run: Any) -> None:
    file = _line(b"x" * LINE_BYTES)
    for chunk in run.chunks(file, range(0, len(file), 256 * 1024)):
        feed.send(chunk)
    assert [(row.continuation, len(row.message)) for row in feed.rows()] == [(0, LINE_BYTES)]


def test_a_long_line_is_not_cut_inside_a_character(feed: Any, run: Any) -> None:
    content = ("x" + "€" * (LINE_BYTES // 2)).encode()
    file = _line(content)
    for chunk in run.chunks(file, range(0, len(file), 256 * 1024)):
        feed.send(chunk)
    messages = [row.message for row in feed.rows()]
    assert b"".join(messages) == content
    assert "".join(message.decode() for message in messages) == content.decode()


def test_a_line_without_an_end_becomes_a_row_after_a_minute_and_goes_on(feed: Any, run: Any) -> None:
    file = _line(b"first ", partial=True) + _line(b"second", at=90 * SECOND) + _line(b"next", at=91 * SECOND)
    cut = len(_line(b"first ", partial=True))
    assert feed.send(run.chunk(file, 0, cut), heartbeat_ns=T0 + 59 * SECOND) == []
    feed.restart()
    assert feed.send(heartbeat_ns=T0 + 600 * SECOND, node="another") == []
    assert [row.message for row in feed.send(heartbeat_ns=T0 + 60 * SECOND)] == [b"first "]
    feed.restart()
    feed.send(run.chunk(file, cut, len(file)))
    assert [(row.offset, row.continuation, row.message) for row in feed.rows()] == [
        (0, 0, b"first "),
        (0, 1, b"second"),
        (cut + len(_line(b"second", at=90 * SECOND)), 0, b"next"),
    ]


def test_the_end_of_a_source_completes_an_open_line(feed: Any, run: Any) -> None:
    file = _line(b"whole") + _line(b"cut off" * 30)[:-1]
    assert [row.message for row in feed.send(run.chunk(file, 0, len(file), flags=Flag.FINAL))] == [
        b"whole",
        b"cut off" * 30,
    ]


def test_an_empty_last_chunk_completes_an_open_line(feed: Any, run: Any) -> None:
    file = _line(b"cut off" * 30)[:-1]
    assert feed.send(run.chunk(file, 0, len(file))) == []
    rows = feed.send(run.chunk(file, len(file), len(file), flags=Flag.FINAL))
    assert [row.message for row in rows] == [b"cut off" * 30]


def test_too_many_bytes_without_an_end_become_rows(feed: Any, make_run: Any) -> None:
    piece = _line(b"x" * 250_000, partial=True)
    rows: list[Any] = []
    for number in range(140):
        run = make_run(uid=f"u{number}")
        rows += feed.send(run.chunk(piece, 0, len(piece)))
    assert 0 < len(rows) <= 140
    assert sum(len(row.message) for row in rows) > 32 * 1024 * 1024 - 250_000


def test_bytes_before_and_after_a_gap_are_not_joined(feed: Any, run: Any) -> None:
    file = _line(b"a", partial=True) + _line(b"b", at=1, partial=True) + _line(b"c", at=2)
    size = len(_line(b"a", partial=True))
    feed.send(run.chunk(file, 0, size))
    third = size + len(_line(b"b", at=1, partial=True))
    feed.send(run.chunk(file, third, len(file), prev_end=size, flags=Flag.DECLARED_LOSS))
    assert [row.message for row in feed.rows()] == [b"a", b"c"]


def _times(rows: Sequence[Any]) -> list[int]:
    return [row.time_ns - T0 for row in rows]


def test_lines_without_a_header_have_the_time_of_the_line_before(feed: Any, run: Any) -> None:
    file = b"stray\n" + _line(b"a", at=5) + b"\tat frame 1\n" + b"\n" + _line(b"b", at=7)
    feed.send(run.chunk(file, 0, len(file)))
    assert _times(feed.rows()) == [5, 5, 5, 5, 7]
    assert feed.count("logger_unparsed_lines_total") == 3
    stray = b"another\n"
    assert _times(feed.send(run.chunk(file + stray, len(file), len(file) + len(stray)))) == [7]
