"""Kubernetes quantities: numbers such as `10500m`. Exact both ways.

Source: Kubernetes API reference, "Quantity": a signed decimal number, then a decimal suffix (`n` to `E`), a binary one
(`Ki` to `Ei`) or an exponent.
"""

import math
import re
from fractions import Fraction
from typing import Final

MOST: Final = 9_000_000_000_000_000
"""Largest number that the controller can count in thousandths."""

_MILLI: Final = 1000
_MICRO: Final = 1_000_000
_QUANTITY: Final = re.compile(
    r"([+-]?)([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?"
)
_SUFFIXES: Final = {
    **{suffix: Fraction(1000) ** power for suffix, power in zip("num", (-3, -2, -1), strict=True)},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def format_quantity(value: float) -> str:
    """Write a value, rounded to millionths.

    Raises:
        ValueError: It is not finite, or larger than `MOST`.
    """
    if not math.isfinite(value) or abs(value) > MOST:
        raise ValueError(f"no quantity: {value}")
    micros = round(Fraction(value) * _MICRO)
    if micros % _MICRO == 0:
        return str(micros // _MICRO)
    return f"{micros // _MILLI}m" if micros % _MILLI == 0 else f"{micros}u"


def parse_quantity(text: str) -> Fraction:
    """Read a quantity.

    Raises:
        ValueError: It is none.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"no quantity: {text[:60]!r}")
    sign, number, suffix, exponent = match.groups()
    value = Fraction(number) * _SUFFIXES.get(suffix or "", Fraction(1)) * Fraction(10) ** int(exponent or 0)
    return -value if sign == "-" else value
