"""Fields of lines: named groups of a pattern, keys of JSON, keys of logfmt."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import re2

from monitor.rules.codes import I64
from monitor.rules.objects import decode_objects, text_of, value_at
from monitor.rules.rows import Text

PATTERN_MEMORY_BYTES: Final = 1 << 18
"""A pattern whose program takes more is refused: it would be slow on every line."""


@dataclass(frozen=True, slots=True)
class FieldValues:
    """What was read of lines.

    Attributes:
        which: int64, ascending: lines that are of the kind that was looked for.
        values: By field an Arrow array of `large_string` with one element for each of them, null where a line does not
            have the field.
    """

    which: I64
    values: Mapping[str, Any]


class Reader(Protocol):
    """Reads fields of lines."""

    def read(self, text: Text, fields: Iterable[str]) -> FieldValues:
        """Read some fields of all lines that have this form."""


@dataclass(frozen=True, slots=True)
class PatternReader:
    """Named groups of a pattern, where it matches.

    Attributes:
        pattern: RE2.
        groups: Its groups.
    """

    pattern: str
    groups: frozenset[str]

    @classmethod
    def of(cls, pattern: str) -> "PatternReader":
        """Check a pattern.

        Raises:
            ValueError: It makes no sense to RE2, is too large, or has groups without a name.
        """
        options = re2.Options()
        options.max_mem = PATTERN_MEMORY_BYTES
        options.log_errors = False
        try:
            compiled: Any = re2.compile(pattern, options=options)  # type: ignore[no-untyped-call]
        except re2.error as error:
            said = error.args[0] if error.args else ""
            raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from error
        if len(compiled.groupindex) != compiled.groups:
            raise ValueError("a group without a name: write (?:...) or (?P<name>...)")
        return cls(pattern, frozenset(compiled.groupindex))

    def read(self, text: Text, fields: Iterable[str]) -> FieldValues:
        """See `Reader`."""
        lines = as_text(text)
        if not self.groups:
            matched = pc.match_substring_regex(lines, self.pattern)
            return FieldValues(np.flatnonzero(matched.to_numpy(zero_copy_only=False)), {})
        found = pc.extract_regex(lines, self.pattern)
        which = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        found = found.take(pa.array(which))
        return FieldValues(which, {field: found.field(field) for field in fields})


def as_text(text: Text) -> Any:
    """Lines as an Arrow array of `large_string`; bytes that are no UTF-8 are replaced."""
    lines = text.pieces(text.starts, text.stops)
    try:
        return lines.cast(pa.large_string())
    except pa.ArrowInvalid:
        return pa.array([line.decode(errors="replace") for line in lines.to_pylist()], pa.large_string())


class JsonReader:
    """Keys of lines that are JSON objects; see `objects.value_at`."""

    def read(self, text: Text, fields: Iterable[str]) -> FieldValues:
        """See `Reader`."""
        begins = np.flatnonzero(text.has(text.starts, b"{") & (text.stops > text.starts))
        chosen = text.chosen(begins)
        read = decode_objects(chosen.pieces(chosen.starts, chosen.stops).to_pylist())
        objects = [one for one in read if one is not None]
        which = begins[np.array([one is not None for one in read], np.bool_)]
        values = {
            field: pa.array([text_of(value_at(one, field)) for one in objects], pa.large_string()) for field in fields
        }
        return FieldValues(which, values)


# What opens with a quote ends with one, or with the line: no part of it is looked at twice.
_PAIRS: Final = re.compile(
    r'([^\s="]+)=(?:"((?:[^"\\]|\\.)*)(?:"|\\?\Z)|([^\s"]*))|"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^\s"]+', re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class LogfmtReader:
    """Keys of lines of `key=value` and `key="value with spaces"`; what stands in quotes is no key. The first counts."""

    def read(self, text: Text, fields: Iterable[str]) -> FieldValues:
        """See `Reader`: all lines that have one of the fields."""
        wanted = list(fields)
        lines = as_text(text)
        possible = np.zeros(len(text), np.bool_)
        for field in wanted:
            possible |= pc.match_substring(lines, f"{field}=").to_numpy(zero_copy_only=False)
        maybe = np.flatnonzero(possible)
        read = [_pairs(line, wanted) for line in lines.take(pa.array(maybe)).to_pylist()]
        which = np.array([index for index, one in zip(maybe.tolist(), read, strict=True) if one], np.int64)
        found = [one for one in read if one]
        return FieldValues(
            which, {field: pa.array([one.get(field) for one in found], pa.large_string()) for field in wanted}
        )


def _pairs(line: str, wanted: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _PAIRS.finditer(line):
        key, quoted, plain = match.groups()
        if key in wanted and key not in found:
            found[key] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
    return found
