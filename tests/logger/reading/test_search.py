"""Finding rows by text and expression, against Python's own over the same rows."""

import re
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logger.reading.filter import LineFilter
from logger.reading.lines import lines_of_batch, lines_of_table
from logger.reading.search import AbandonedError, PatternError, compile_regex, contains, matches

texts = st.text(alphabet="ab\u00e9\x00", max_size=6)


@settings(max_examples=200, deadline=None)
@example(rows=["a", "b"], needle="ab", start=0, cut=0)
@given(rows=st.lists(texts, max_size=30), needle=texts.filter(bool), start=st.integers(0, 5), cut=st.integers(0, 5))
def test_contains_is_what_python_finds(rows: Any, needle: str, start: int, cut: int) -> None:
    """Never across two rows, in any slice of a column, however dense the hits are."""
    rows = rows * 5
    part = pa.array(rows, pa.string()).slice(start, max(0, len(rows) - start - cut))
    assert contains(part, needle).tolist() == [needle in row for row in part.to_pylist()]


def test_dense_and_rare_hits_give_the_same_answer() -> None:
    """Two ways to find them, one for each case."""
    rows = ["abab" if number % 3 else "" for number in range(3000)]
    assert contains(pa.array(rows), "ab").tolist() == ["ab" in row for row in rows]
    rows[1500] = "needle"
    assert np.flatnonzero(contains(pa.array(rows), "needle")).tolist() == [1500]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(texts, max_size=8), pattern=st.sampled_from(["a+b", "^a", "b$", ".\u00e9", "a|^$", "(?i)AB", "[^a]"])
)
def test_expressions_are_what_python_finds(rows: Any, pattern: str) -> None:
    """For what RE2 and Python mean the same by."""
    expected = [re.search(pattern, row) is not None for row in rows]
    assert matches(pa.array(rows, pa.string()), pattern, gone=lambda: False).tolist() == expected


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}", "(a?){100}a{100}", "a{1000}b"])
def test_an_expression_that_kills_others_is_done_in_linear_time(pattern: str) -> None:
    """A megabyte that almost matches."""
    compile_regex(pattern)
    began = time.process_time()
    matches(pa.array(["a" * 1000 + "!"] * 100), pattern, gone=lambda: False)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "pattern", ["(", "a{1001}", "(?<=a)b", r"(a)\1", "x" * 1001, "(a{500}){500}", "\ud800", "(?:a.{800}){2}"]
)
def test_what_is_no_expression_or_too_large_a_one_is_refused(pattern: str) -> None:
    """By one kind of error, with no word on stderr."""
    with pytest.raises(PatternError):
        compile_regex(pattern)


def test_a_slow_expression_can_be_given_up() -> None:
    """In the middle of a column."""
    calls = []

    def gone() -> Any:
        calls.append(1)
        return len(calls) > 3

    with pytest.raises(AbandonedError):
        matches(pa.array(["a" * 100] * 100_000), "(a|b)*c", gone=gone)


def test_lines_are_chosen_alike_from_columns_and_one_by_one(make: Any) -> None:
    """The two forms of a filter agree; so do the two ways to make a line."""
    rows = [
        make.row(message=message, offset=number, process=process, stream=number % 2)
        for number, (message, process) in enumerate(
            (message, process) for message in [b"err", b"\xff err", b"", b"ok\r"] for process in ["web", "worker"]
        )
    ]
    batch = make.batch(0, 0, [rows])
    table = pa.concat_tables([batch_rows(batch)])
    lines = lines_of_batch(batch, np.arange(len(rows)))
    assert lines == lines_of_table(table)
    for wanted in (
        LineFilter(),
        LineFilter(text="err"),
        LineFilter(regex="^err|k.$"),
        LineFilter(exact=(("process", frozenset({"web"})), ("stream", frozenset({"stderr", "x"}))), text="r"),
    ):
        assert wanted.mask(table).tolist() == [wanted.wants(line) for line in lines]


def batch_rows(batch: Any) -> Any:
    from logger.columns import batch_table  # noqa: PLC0415

    return batch_table(batch, np.arange(len(batch.starts)))
