"""Lines to bytes, in each format."""

import csv
import io
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deis_logs.lines import Line
from deis_logs.render import is_cut, label_of, make_renderer


def line_of(message: str = "m", *, offset: int = 0, continuation: int = 0, **changes: object) -> Line:
    line = Line(
        app="demo",
        time="2026-11-24T12:00:00.123456789Z",
        process="web",
        release="v3",
        pod="demo-web-5c8f-x7k2p",
        container="demo-web",
        node="n1",
        stream="stdout",
        message=message,
        source="ab",
        ordinal=0,
        offset=offset,
        continuation=continuation,
    )
    for name, value in changes.items():
        setattr(line, name, value)
    return line


def rows_of(contents: Sequence[bytes], *, row_bytes: int) -> list[Line]:
    """Cut lines into rows as the logger does, with fewer bytes."""
    rows = []
    for index, content in enumerate(contents):
        pieces = [content[start : start + row_bytes] for start in range(0, len(content), row_bytes)] or [b""]
        for number, piece in enumerate(pieces):
            text = piece.decode("utf-8", "replace")
            raw = None if text.encode() == piece else piece
            rows.append(line_of(text, offset=index * 1000, continuation=number, raw=raw))
    return rows


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.binary(max_size=20).map(lambda content: content.replace(b"\n", b"")), max_size=6),
    row_bytes=st.integers(1, 7),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_raw_is_byte_for_byte_what_was_written_however_rows_and_pages_are_cut(
    contents: list[bytes], row_bytes: int, cuts: list[int]
) -> None:
    rows = rows_of(contents, row_bytes=row_bytes)
    renderer = make_renderer("raw")
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    printed = b"".join(renderer.render(rows[start:stop]) for start, stop in itertools.pairwise(edges))
    assert printed + renderer.close() == b"".join(content + b"\n" for content in contents)


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 4), max_size=5), cut=st.integers(0, 20))
def test_text_joins_the_rows_of_a_line_across_pages(lengths: list[int], cut: int) -> None:
    rows = rows_of([b"x" * length for length in lengths], row_bytes=1)
    renderer = make_renderer("text")
    printed = renderer.render(rows[:cut]) + renderer.render(rows[cut:]) + renderer.close()
    assert [len(text.split("| ")[1]) for text in printed.decode().splitlines()] == lengths


def test_a_row_whose_beginning_is_not_there_is_a_line_of_its_own() -> None:
    renderer = make_renderer("raw")
    printed = renderer.render([line_of("a"), line_of("b", continuation=2), line_of("c", offset=9, continuation=1)])
    assert printed + renderer.close() == b"a\nb\nc\n"


def test_a_renderer_goes_on_where_another_one_stopped() -> None:
    first, second = make_renderer("raw"), make_renderer("raw")
    begun = first.render([line_of("a")])
    second.open_line = first.open_line
    assert begun + second.render([line_of("b", continuation=1)]) + second.close() == b"ab\n"


def test_only_a_row_as_long_as_rows_get_is_taken_for_unfinished() -> None:
    renderer = make_renderer("text")
    for message, cut in (("short", False), ("x" * 2**20, True), ("日" * (2**20 // 3), True)):
        line = line_of(message)
        renderer.render([line])
        assert is_cut(renderer, line) is cut


@pytest.mark.parametrize(
    ("process", "pod", "container", "label"),
    [
        ("web", "demo-web-5c8f-x7k2p", "demo-web", "web.x7k2p"),
        ("web", "demo-web-5c8f-x7k2p", "web", "web.x7k2p"),
        ("web", "demo-web-5c8f-x7k2p", "proxy", "web.x7k2p/proxy"),
        ("", "tool-1", "main", "tool-1/main"),
        ("web", "single", "demo-web", "web.single"),
        ("@controller", "deis-controller-5c8f-x7k2p", "deis-controller", "deis[controller]"),
    ],
)
def test_a_label_names_the_writer(process: str, pod: str, container: str, label: str) -> None:
    assert label_of(process=process, pod=pod, container=container) == label


def test_colours_differ_by_pod_and_are_the_same_in_each_run() -> None:
    pods = [line_of(pod=f"demo-web-5c8f-{name}") for name in ("aaaaa", "bbbbb", "ccccc", "ddddd")]
    printed = [make_renderer("text", colour=True).render(pods) for _ in range(2)]
    assert printed[0] == printed[1]
    assert len({text.split("web")[0][-6:] for text in printed[0].decode().split("\n")}) == 4


def test_context_is_told_from_matches() -> None:
    printed = make_renderer("text").render([line_of("a", context=True), line_of("b", offset=1)])
    assert [text[28:] for text in printed.decode().split("\n")] == ["web.x7k2p - a", "web.x7k2p | b"]


def test_csv_reads_back() -> None:
    renderer = make_renderer("csv")
    table = renderer.header() + renderer.render([line_of('a,"b"\tc'), line_of("日本", offset=5)])
    rows = list(csv.DictReader(io.StringIO(table.decode(), newline="")))
    assert [(row["message"], row["offset"], row["pod"]) for row in rows] == [
        ('a,"b"\tc', "0", "demo-web-5c8f-x7k2p"),
        ("日本", "5", "demo-web-5c8f-x7k2p"),
    ]
