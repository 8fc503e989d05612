"""Units of values in lines, and the base units in which metrics state them."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from monitor.rules.numbers import number

Unit = Literal["", "ns", "us", "ms", "s", "min", "h", "duration", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "percent"]
"""`duration` is a number with its unit behind it, `1m2.5s`, as Go writes them."""

_TIMES: Final[Mapping[str, float]] = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "min": 1 / 60, "h": 1 / 3600}
"""So many are a second: a division gives the nearest number, where a multiplication by 0.001 does not."""
_SIZES: Final[Mapping[str, float]] = {
    "B": 1.0,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
}
_PERCENT: Final = 100.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_GO: Final[Mapping[str, str]] = {"µs": "us", "μs": "us", "m": "min"}
_LONGEST: Final = 64


def suffix_of(unit: Unit) -> str:
    """What the name of a metric must end with."""
    if unit == "duration" or unit in _TIMES:
        return "_seconds"
    if unit in _SIZES:
        return "_bytes"
    return "_ratio" if unit == "percent" else ""


def reader_of(unit: Unit) -> Callable[[str], float]:
    """What makes a number in the base unit of a text; NaN when it is none."""
    if unit == "duration":
        return seconds_of
    if unit in _TIMES:
        return lambda text: number(text.encode()) / _TIMES[unit]
    factor = _SIZES.get(unit, 1.0)
    if unit == "percent":
        return lambda text: number(text.encode()) / _PERCENT
    return lambda text: number(text.encode()) * factor


def seconds_of(text: str) -> float:
    """Seconds of `1m2.5s`; NaN when it is nothing such."""
    sign, text = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if text == "0":
        return 0.0
    if not 0 < len(text) <= _LONGEST:
        return math.nan
    total, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return math.nan
        total += float(part[1]) / _TIMES[_GO.get(part[2], part[2])]
        at = part.end()
    return sign * total
