"""Which rows of a message column hold a text or match an expression: over whole buffers, never row by row.

A text is looked for with one `bytes.find` over the column's buffer (3.7 GB per CPU-second on the build machine; 0.66
with pyarrow's row-wise `match_substring`). Expressions run on RE2, whose time is linear whatever the expression is.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import re2

PATTERN_BYTES: Final = 1000
"""Longest text or expression of a search."""

_PROGRAM_BYTES: Final = 128 * 1024
"""RE2's budget for a compiled expression: a larger one runs slower than 0.1 MB per CPU-second on hostile lines."""

_FIRST_ROWS: Final = 512
_SLICE_SECONDS: Final = 0.02
_FEW_HITS: Final = 64

Mask = npt.NDArray[np.bool_]


class PatternError(ValueError):
    """A text or an expression that is not searched for; the message says why."""


class Regex(Protocol):
    """A compiled expression."""

    def search(self, text: str, /) -> object | None:
        """Find the expression somewhere in `text`."""


class AbandonedError(Exception):
    """Whoever asked is gone: there is no use in going on."""


def check_text(text: str) -> str:
    """Return `text` if it may be searched for.

    Raises:
        PatternError: It is longer than `PATTERN_BYTES`.
    """
    if len(text.encode(errors="replace")) > PATTERN_BYTES:
        raise PatternError(f"longer than {PATTERN_BYTES} bytes")
    return text


def compile_regex(pattern: str) -> Regex:
    """Compile an RE2 expression as users write it.

    Raises:
        PatternError: It is not RE2, longer than `PATTERN_BYTES`, or its program is too large.
    """
    check_text(pattern)
    options = re2.Options()
    options.max_mem = _PROGRAM_BYTES
    options.log_errors = False
    try:
        # The scan compiles it again, in pyarrow: both must agree that it is one.
        pc.match_substring_regex(pa.array([""]), pattern)
        compiled: Regex = re2.compile(pattern, options)  # type: ignore[no-untyped-call]  # google-re2 has no types
    except (re2.error, pa.ArrowInvalid, UnicodeError) as error:
        raise PatternError("not an RE2 expression, or too large a one") from error
    return compiled


def contains(messages: pa.StringArray, text: str) -> Mask:
    """Tell which messages contain `text`."""
    needle = text.encode()
    offsets = _offsets(messages)
    data = messages.buffers()[2]
    if not len(messages) or data is None:
        return np.zeros(len(messages), dtype=np.bool_)
    start, stop = int(offsets[0]), int(offsets[-1])
    content = data.slice(start, stop - start).to_pybytes()
    hits: list[int] = []
    at = content.find(needle)
    while at >= 0:
        hits.append(at)
        if len(hits) > _FEW_HITS + len(messages) // 16:
            return _mask(pc.match_substring(messages, text))  # dense: a Python step for each hit would cost more
        at = content.find(needle, at + 1)
    return _rows_of(np.array(hits, dtype=np.int64), offsets - start, len(needle))


def _offsets(messages: pa.StringArray) -> npt.NDArray[np.int64]:
    offsets = messages.buffers()[1]
    whole = np.frombuffer(memoryview(offsets), np.int32) if offsets is not None else np.zeros(1, np.int32)
    return whole[messages.offset : messages.offset + len(messages) + 1].astype(np.int64)


def _rows_of(hits: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], length: int) -> Mask:
    """Mark rows that hold a hit as a whole: one that reaches into the next row is no hit."""
    mask = np.zeros(len(offsets) - 1, dtype=np.bool_)
    rows = np.searchsorted(offsets, hits, side="right") - 1
    mask[rows[hits + length <= offsets[rows + 1]]] = True
    return mask


def matches(messages: pa.StringArray, pattern: str, *, gone: Callable[[], bool]) -> Mask:
    """Tell which messages match `pattern` (checked by `compile_regex`) somewhere.

    Works in slices of about 20 ms, so that the thread can be given up in between.

    Raises:
        AbandonedError: `gone` said so.
    """
    parts: list[Mask] = []
    start, rows = 0, _FIRST_ROWS
    while start < len(messages):
        if gone():
            raise AbandonedError
        began = time.monotonic()
        parts.append(_mask(pc.match_substring_regex(messages.slice(start, rows), pattern)))
        start += rows
        rows = rows * 2 if time.monotonic() - began < _SLICE_SECONDS else max(1, rows // 2)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)


def _mask(found: pa.BooleanArray) -> Mask:
    mask: Mask = found.to_numpy(zero_copy_only=False)
    return mask
