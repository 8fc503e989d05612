"""Numbers that stand in lines, all at once.

Digits are read as 64-bit words; what is longer or looks unusual goes through `float` one by one.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.rules.codes import I64
from monitor.rules.rows import U64, Bools, Text

F64 = npt.NDArray[np.float64]

_WORD: Final = 8
_ALL: Final = 0xFFFFFFFFFFFFFFFF
_LONGEST: Final = 64
"""A number of more characters is none."""
_ZEROS: Final = np.uint64(0x3030303030303030)
_HIGH: Final = np.uint64(0xF0F0F0F0F0F0F0F0)
_LOW: Final = np.uint64(0x0F0F0F0F0F0F0F0F)
_BYTE: Final = np.uint64(8)
_DECIMALS: Final = np.uint64(0xFFFFFF0000000000)
_BEFORE: Final = np.uint64(0x000000FFFFFFFFFF)
_POINT_PLACE: Final = np.uint64(0x000000FF00000000)
_POINT: Final = np.uint64(ord(".") << 32)
_SIX: Final = np.uint64(0x0606060606060606)


def whole_numbers(text: Text, starts: I64, stops: I64) -> F64:
    """Numbers of decimal digits; NaN where there is none."""
    lengths = stops - starts
    values, good = _digits(text.words(stops - _WORD), lengths)
    good &= (lengths > 0) & (lengths <= _WORD)
    return _others(text, starts, stops, values, ~good)


def thousandths(text: Text, starts: I64, stops: I64) -> F64:
    """Numbers with three decimals, as nginx writes seconds; NaN where there is none.

    Others that make sense are read as well, more slowly.
    """
    words = text.words(stops - _WORD)
    lengths = stops - starts - 1
    # Without its point, the number is one of thousandths: what stands before moves next to the decimals.
    values, good = _digits(((words << _BYTE) & _BEFORE) | (words & _DECIMALS), lengths)
    good &= ((words & _POINT_PLACE) == _POINT) & (lengths > 3) & (lengths < _WORD)  # noqa: PLR2004 - three decimals
    values /= 1000.0
    return _others(text, starts, stops, values, ~good)


def _digits(words: U64, lengths: I64) -> tuple[F64, Bools]:
    """The number of the last `lengths` bytes, of at most eight, of each word; and whether they are digits."""
    shift = ((_WORD - lengths) * 8).astype(np.uint64)
    kept = (words >> shift) << shift  # numpy, unlike C, empties a word that is shifted by 64
    filled = kept | (_ZEROS & ~(np.uint64(_ALL) << shift))
    good: Bools = ((filled & _HIGH) == _ZEROS) & ((((filled & _LOW) + _SIX) & _HIGH) == np.uint64(0))
    word = ((filled & _LOW) * np.uint64(2561)) >> np.uint64(8)
    word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    word = ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
    return word.astype(np.float64), good


def _others(text: Text, starts: I64, stops: I64, values: F64, which: Bools) -> F64:
    for index in np.flatnonzero(which).tolist():
        values[index] = number(text.buffer[int(starts[index]) : int(stops[index])])
    return values


def number(piece: bytes) -> float:
    """One number as programs write them; NaN when it is none, or not finite."""
    if not 0 < len(piece) <= _LONGEST or b"_" in piece or piece != piece.strip():
        return math.nan
    try:
        value = float(piece)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
