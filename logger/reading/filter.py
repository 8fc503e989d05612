"""What a reader asks for by content: exact values of columns, a text, an expression."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from logger.reading.lines import Line
from logger.reading.search import Mask, Regex, compile_regex, contains, matches

EXACT: Final = ("process", "release", "pod", "container", "stream")
"""Columns that can be asked for by value."""


@dataclass(frozen=True)
class LineFilter:
    """Which lines a reader wants. Equal filters are one key of a cache.

    Attributes:
        exact: (column of `EXACT`, values): the line has one of the values.
        text: The line contains it; empty for any line.
        regex: The line matches this RE2 expression somewhere (see `compile_regex`); empty for any line.
    """

    exact: tuple[tuple[str, frozenset[str]], ...] = ()
    text: str = ""
    regex: str = ""

    @property
    def searches(self) -> bool:
        """Whether the lines' text must be read to decide."""
        return bool(self.text or self.regex)

    @property
    def passes_all(self) -> bool:
        """Whether every line is wanted."""
        return not (self.exact or self.searches)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` reads."""
        return tuple(name for name, _ in self.exact) + (("message",) if self.searches else ())

    @cached_property
    def _compiled(self) -> "Regex":
        return compile_regex(self.regex)

    def mask(self, table: pa.Table, *, gone: Callable[[], bool] = lambda: False) -> Mask:
        """Tell which rows of `table` are wanted.

        Raises:
            AbandonedError: `gone` said that nobody waits for the answer.
        """
        wanted = np.ones(table.num_rows, dtype=np.bool_)
        for name, values in self.exact:
            wanted &= _is_in(table[name], values)
        if self.searches and wanted.any():
            wanted &= self._searched(table["message"], gone)
        return wanted

    def _searched(self, messages: "pa.ChunkedArray[Any]", gone: Callable[[], bool]) -> Mask:
        parts = [np.zeros(0, dtype=np.bool_)]
        chunk: Any
        for chunk in messages.chunks:
            found = np.ones(len(chunk), dtype=np.bool_)
            if self.text:
                found &= contains(chunk, self.text)
            if self.regex and found.any():
                found &= matches(chunk, self.regex, gone=gone)
            parts.append(found)
        return np.concatenate(parts)

    def wants(self, line: Line) -> bool:
        """Tell whether one line is wanted; agrees with `mask`."""
        for name, values in self.exact:
            if getattr(line, name) not in values:
                return False
        if self.text not in line.message:
            return False
        return not self.regex or self._compiled.search(line.message) is not None


EVERY_LINE: Final = LineFilter()


def _is_in(column: "pa.ChunkedArray[Any]", values: frozenset[str]) -> Mask:
    parts = [np.zeros(0, dtype=np.bool_)]
    chunk: Any  # the stubs know no DictionaryArray in a column
    for chunk in column.chunks:
        names = [name in values for name in chunk.dictionary.to_pylist()]
        known = np.array(names or [False], dtype=np.bool_)
        parts.append(known[chunk.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(parts)
