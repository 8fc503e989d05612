"""Label sets of many rows: values as codes, and only the distinct combinations as objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from monitor.metric import LabelSet
from monitor.rules.codes import I32, I64, encode_numbers, encode_values
from monitor.rules.rows import Bools

_MOST_KEYS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Column:
    """One label of many rows.

    Attributes:
        codes: int32, which of `values` each row has.
        values: Distinct values of the label.
    """

    codes: I32
    values: Sequence[str]

    @classmethod
    def distinct(cls, codes: I32, values: Sequence[str]) -> Self:
        """The same with each value once, whatever comes twice among `values`."""
        index, found = encode_values(values)
        return cls(codes if len(found) == len(values) else index[codes], found)

    @classmethod
    def same(cls, value: str, rows: int) -> Self:
        """One value for all rows."""
        return cls(np.zeros(rows, np.int32), (value,))

    def of(self, which: Bools | I64) -> "Column":
        """Of some rows."""
        return Column(self.codes[which], self.values)

    def texts(self) -> list[str]:
        """The value of each row."""
        return [self.values[code] for code in self.codes.tolist()]


@dataclass(frozen=True, slots=True)
class Who:
    """Whose rows these are.

    Attributes:
        codes: int32, which of `sets` each row has.
        sets: Distinct label sets without labels of their own and without an upstream.
    """

    codes: I32
    sets: Sequence[LabelSet]

    @classmethod
    def distinct(cls, codes: I32, sets: Sequence[LabelSet]) -> Self:
        """The same with each set once, whatever comes twice among `sets`."""
        index, found = encode_values(sets)
        return cls(codes if len(found) == len(sets) else index[codes], found)

    def of(self, which: Bools | I64) -> "Who":
        """Of some rows."""
        return Who(self.codes[which], self.sets)


def label_sets(who: Who, labels: Sequence[Column], upstream: Column | None = None) -> tuple[I32, list[LabelSet]]:
    """Which label set each row has, and the distinct ones in the order in which they first come."""
    columns = [*labels, *((upstream,) if upstream is not None else ())]
    keys: npt.NDArray[Any] = who.codes
    span = max(len(who.sets), 1)
    dense: list[tuple[int, I64]] = []
    for number, column in enumerate(columns):
        if span > _MOST_KEYS // max(len(column.values), 1):
            keys, distinct = encode_numbers(keys)
            dense.append((number, distinct))
            span = len(distinct)
        if len(column.values) > 1:
            keys = keys * np.int64(len(column.values)) + column.codes
            span *= len(column.values)
    index, keys = encode_numbers(keys)
    codes: list[list[int]] = []
    for number in range(len(columns) - 1, -1, -1):
        keys, code = np.divmod(keys, max(len(columns[number].values), 1))
        codes.append(code.tolist())
        if dense and dense[-1][0] == number:
            keys = dense.pop()[1][keys]
    return index, _sets(who, keys.tolist(), columns, codes[::-1], len(labels))


def _sets(
    who: Who, owners: list[int], columns: Sequence[Column], codes: list[list[int]], labels: int
) -> list[LabelSet]:
    """Label sets of rows, by their codes in each column; a column behind the labels holds upstreams."""
    texts = [[column.values[code] for code in of_column] for column, of_column in zip(columns, codes, strict=True)]
    values = zip(*texts[:labels], strict=True) if labels else repeat((), len(owners))
    addresses = texts[labels] if len(texts) > labels else repeat("", len(owners))
    return [
        LabelSet(one.namespace, one.app, one.process, one.release, one.pod, of_labels, address)
        for one, of_labels, address in zip(map(who.sets.__getitem__, owners), values, addresses, strict=True)
    ]
