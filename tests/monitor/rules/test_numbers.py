"""Numbers of lines are those that Python reads, or none."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.rules.numbers import number, thousandths, whole_numbers
from monitor.rules.rows import Text
from monitor.rules.units import reader_of, seconds_of

PIECES = st.one_of(
    st.integers(0, 10**12).map(str),
    st.integers(0, 10**8).map(lambda ms: f"{ms // 1000}.{ms % 1000:03d}"),
    st.text("0123456789.:;/-_e ", max_size=10),
    st.sampled_from(["", "-", "nan", "inf", "1e400", "1_0", ".005", "0.05", "12.3456", "0:12", "1.00:"]),
)


@given(st.lists(PIECES.map(str.encode), min_size=1, max_size=20))
def test_numbers_read_at_once_are_those_read_one_by_one(batch_of: Any, line: Any, pieces: list[bytes]) -> None:
    text = Text.of(batch_of([line(piece) for piece in pieces]), np.arange(len(pieces)))
    wanted = [number(piece) for piece in pieces]
    for read in (whole_numbers, thousandths):
        np.testing.assert_array_equal(read(text, text.starts, text.stops), wanted)


@pytest.mark.parametrize("piece", [b"", b"x", b"nan", b"inf", b"-inf", b"1e400", b"1_0", b"1" * 65])
def test_what_is_no_finite_number_is_none(piece: bytes) -> None:
    assert math.isnan(number(piece))


def test_values_become_base_units() -> None:
    assert reader_of("ms")("12") == 0.012
    assert reader_of("KiB")("2") == 2048
    assert reader_of("percent")("12.5") == 0.125
    assert (seconds_of("-1.5s"), seconds_of("1h1m1s"), seconds_of(".5ms")) == (-1.5, 3661.0, 0.0005)
    assert math.isnan(seconds_of("1s!"))
