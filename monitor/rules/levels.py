"""Levels of lines, where they are cheap to see: a word at the beginning, `"level":` in JSON, `level=`.

Measured: 200 ns a line.
"""

from typing import Final

import numpy as np

from monitor.rules.codes import I32, I64
from monitor.rules.rows import Bools, Text

LEVELS: Final = ("", "trace", "debug", "info", "warning", "error", "fatal")
"""Values of the label `level`; the first where none is seen."""

_WORDS: Final = {
    b"TRACE": 1,
    b"DEBUG": 2,
    b"DBG": 2,
    b"INFO": 3,
    b"INF": 3,
    b"NOTICE": 3,
    b"WARN": 4,
    b"WARNING": 4,
    b"WRN": 4,
    b"ERROR": 5,
    b"ERR": 5,
    b"SEVERE": 5,
    b"FATAL": 6,
    b"CRITICAL": 6,
    b"CRIT": 6,
    b"PANIC": 6,
}
_FIRST: Final = np.isin(np.arange(256) & 0xDF, np.frombuffer(b"".join(word[:1] for word in _WORDS), np.uint8))
_UPPER: Final = np.uint64(0xDFDFDFDFDFDFDFDF)

_TIMES: Final = (20, 21, 24, 25, 28)
"""Where a level may stand behind a time: `2026-11-24 19:00:00 `, with a zone's letter, with 3 or 6 decimals."""


def levels_of(text: Text) -> I32:
    """Which of `LEVELS` each line has."""
    codes = _leading(text)
    rows, found = _keyed(text)
    none = codes[rows] == 0
    # The first of a line counts: of several writes, the last one stays.
    codes[rows[none][::-1]] = found[none][::-1]
    return codes


def _leading(text: Text) -> I32:
    """Levels that lines begin with, in brackets or not, or that stand behind a time."""
    characters = text.characters
    first = characters[text.starts]
    at = text.starts + ((first == ord("[")) | (first == ord("<")))
    codes = _level_at(text, at, text.stops)
    timed = np.flatnonzero((first >= ord("0")) & (first <= ord("9")) & (text.stops - text.starts > _TIMES[-1]))
    for width in _TIMES:
        place = text.starts[timed] + width
        place += characters[place] == ord("[")
        found = _level_at(text, place, text.stops[timed])
        codes[timed] = np.where(codes[timed] == 0, found, codes[timed])
    return codes


def _level_at(text: Text, at: I64, stops: I64) -> I32:
    """The level whose name stands at each place; 0 where none does."""
    codes = np.zeros(len(at), np.int32)
    characters = text.characters
    maybe = np.flatnonzero(_FIRST[characters[at]] & (at < stops))
    if not len(maybe):
        return codes
    place, stop = at[maybe], stops[maybe]
    words = text.words(place) & _UPPER
    for word, code in _WORDS.items():
        mask = np.uint64((1 << (8 * len(word))) - 1)
        found = np.flatnonzero((words & mask) == np.uint64(int.from_bytes(word, "little")))
        behind = characters[place[found] + len(word)]
        letter = ((behind & 0xDF) >= ord("A")) & ((behind & 0xDF) <= ord("Z"))
        end = place[found] + len(word)
        whole = (end == stop[found]) | ((end < stop[found]) & ~letter)
        codes[maybe[found[whole]]] = code
    return codes


def _keyed(text: Text) -> tuple[I64, I32]:
    """Levels behind the keys `level` and `severity`: lines, ascending, and the level of each."""
    middle = np.flatnonzero(text.characters == ord("v"))
    level, severity = text.has(middle - 2, b"level"), text.has(middle - 2, b"severity")
    begin = middle[level | severity] - 2
    end = begin + np.where(level[level | severity], len("level"), len("severity"))
    rows = np.searchsorted(text.starts, begin, side="right") - 1
    inside = (begin < text.stops[rows]) & (end < text.stops[rows])
    begin, end, rows = begin[inside], end[inside], rows[inside]
    value, good = _values(text, begin, end, rows)
    value, rows = value[good], rows[good]
    codes = _level_at(text, value, text.stops[rows])
    tens = text.characters[value].astype(np.int32) - ord("0")
    numbered = (tens >= 1) & (tens < len(LEVELS)) & (text.has(value + 1, b"0,") | text.has(value + 1, b"0}"))
    codes = np.where((codes == 0) & numbered & (value + 2 < text.stops[rows]), tens, codes)
    seen = codes > 0
    return rows[seen], codes[seen]


def _values(text: Text, begin: I64, end: I64, rows: I64) -> tuple[I64, Bools]:
    """Where the values of keys begin, and which are keys: of JSON in lines that are objects, else of logfmt."""
    characters = text.characters
    json = characters[text.starts[rows]] == ord("{")
    before = characters[begin - 2]
    opens = (before == ord("{")) | (before == ord(",")) | (before == ord(" "))
    good = json & (characters[begin - 1] == ord('"')) & opens & text.has(end, b'":')
    first = begin == text.starts[rows]
    good |= ~json & (first | (characters[begin - 1] == ord(" "))) & (characters[end] == ord("="))
    value = end + np.where(json, 2, 1)
    value += characters[value] == ord(" ")
    value += characters[value] == ord('"')
    return value, good
