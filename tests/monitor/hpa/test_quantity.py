"""Quantities: exact both ways, as Kubernetes reads and writes them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.hpa.quantity import MOST, format_quantity, parse_quantity

WRITTEN = {
    0.0: "0",
    12.0: "12",
    10.5: "10500m",
    0.25: "250m",
    0.0004: "400u",
    -1.5: "-1500m",
    1e15: "1000000000000000",
    1 / 3: "333333u",
    2e-7: "0",
}


@pytest.mark.parametrize(("value", "text"), WRITTEN.items())
def test_a_value_is_written_as_kubernetes_reads_it(value: float, text: str) -> None:
    assert format_quantity(value) == text


READ = {
    "10500m": Fraction(21, 2),
    "1k": Fraction(1000),
    "1Ki": Fraction(1024),
    "2E": Fraction(2 * 10**18),
    "1E3": Fraction(1000),
    "1e-3": Fraction(1, 1000),
    "+.5": Fraction(1, 2),
    "-0.5Mi": Fraction(-(2**19)),
    "3n": Fraction(3, 10**9),
    "7u": Fraction(7, 10**6),
}


@pytest.mark.parametrize(("text", "value"), READ.items())
def test_every_form_is_read(text: str, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "m", "1 m", "1mm", "1K", "ki", "1e", "NaN", "0x1", "1.2.3", "1" * 41, "\u0661"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse_quantity(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), MOST * 2.0])
def test_what_the_controller_could_not_count_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        format_quantity(value)


@given(st.floats(-MOST, MOST))
def test_what_is_written_is_read_back_to_the_millionth(value: float) -> None:
    assert abs(parse_quantity(format_quantity(value)) - Fraction(value)) <= Fraction(1, 2_000_000)


@given(st.integers(-(10**12), 10**12))
def test_thousandths_are_exact(thousandths: int) -> None:
    assert parse_quantity(f"{thousandths}m") == Fraction(thousandths, 1000)
    assert parse_quantity(format_quantity(thousandths / 1000)) == Fraction(thousandths, 1000)
