"""Rows of several sorted pieces in one order, block by block: what is in memory does not grow with what is read.

A row's key is six integers, compared from the first on (see `Keys`). Backward reading complements each of them, so that
the same code merges both ways.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logger.reading.cursor import ReadingKey
from logger.reading.lines import integers, taken
from logger.rows import READING_ORDER

KEY_COLUMNS: Final = READING_ORDER
_SOURCE_BYTES: Final = 16
_HALF: Final = ">u8"

KeyValue = tuple[int, ...]
Keys = list[npt.NDArray[np.int64] | npt.NDArray[np.uint64]]
"""Columns of a key: order_ns, ordinal, source (two big-endian halves, uint64), offset, continuation."""


def keys_of(table: pa.Table, *, descending: bool) -> Keys:
    """Keys of rows that have the columns `KEY_COLUMNS`."""
    high, low = source_halves(table["source"])
    plain = [integers(table[name]) for name in ("order_ns", "ordinal", "offset", "continuation")]
    keys: Keys = [plain[0], plain[1], high, low, plain[2], plain[3]]
    return [~column for column in keys] if descending else keys


def source_halves(column: "pa.ChunkedArray[Any]") -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Sources as two integers each, which compare as the bytes do."""
    parts = [np.empty((0, 2), dtype=np.uint64)]
    chunk: Any  # the stubs know no DictionaryArray in a column
    for chunk in column.chunks:
        packed = b"".join(
            [source.ljust(_SOURCE_BYTES, b"\0")[:_SOURCE_BYTES] for source in chunk.dictionary.to_pylist()]
        )
        halves = np.frombuffer(packed, dtype=_HALF).reshape(-1, 2).astype(np.uint64)
        parts.append(halves[chunk.indices.to_numpy(zero_copy_only=False)])
    whole = np.concatenate(parts)
    return whole[:, 0], whole[:, 1]


def key_value(key: ReadingKey, *, descending: bool) -> KeyValue:
    """A cursor's key in the form that `keys_of` gives."""
    padded = key.source.ljust(_SOURCE_BYTES, b"\0")
    halves = (int.from_bytes(padded[:8]), int.from_bytes(padded[8:]))
    if not descending:
        return (key.order_ns, key.ordinal, *halves, key.offset, key.continuation)
    flipped = [half ^ (2**64 - 1) for half in halves]
    return (~key.order_ns, ~key.ordinal, *flipped, ~key.offset, ~key.continuation)


def reading_key(value: KeyValue, *, descending: bool) -> ReadingKey:
    """The inverse of `key_value`."""
    order_ns, ordinal, high, low, offset, continuation = value
    if descending:
        order_ns, ordinal, offset, continuation = ~order_ns, ~ordinal, ~offset, ~continuation
        high, low = high ^ (2**64 - 1), low ^ (2**64 - 1)
    return ReadingKey(order_ns, ordinal, high.to_bytes(8) + low.to_bytes(8), offset, continuation)


def value_at(keys: Keys, row: int) -> KeyValue:
    """One row's key as Python integers."""
    return tuple(int(column[row]) for column in keys)


def count_up_to(keys: Keys, bound: KeyValue) -> int:
    """How many rows of a sorted block come before `bound` or are at it."""
    start, stop = 0, len(keys[0])
    for column, value in zip(keys, bound, strict=True):
        part = column[start:stop]
        wanted = part.dtype.type(value)
        low, high = int(np.searchsorted(part, wanted, "left")), int(np.searchsorted(part, wanted, "right"))
        start, stop = start + low, start + high
        if low == high:
            return start
    return stop


def sort_keys(keys: Keys) -> npt.NDArray[np.int64]:
    """Order of rows by key."""
    return np.lexsort(keys[::-1])


@dataclass(slots=True)
class Block:
    """Sorted rows of one piece, some of which are wanted.

    Attributes:
        last: Key of the block's last row, wanted or not.
        keys: Keys of the wanted rows.
        table: The wanted rows, in the order of `keys`.
    """

    last: KeyValue
    keys: Keys
    table: pa.Table

    def split(self, bound: KeyValue) -> tuple["Block", "Block"]:
        """Cut in two: rows up to and with `bound`, and the rest."""
        count = count_up_to(self.keys, bound)
        return (
            Block(self.last, [column[:count] for column in self.keys], self.table.slice(0, count)),
            Block(self.last, [column[count:] for column in self.keys], self.table.slice(count)),
        )


class Scan(Protocol):
    """Blocks of one piece, in order."""

    @property
    def first(self) -> int:
        """No row has a smaller first key column."""

    def load(self) -> Block | None:
        """The next block; `None` after the last."""


def merged(scans: Sequence[Scan]) -> Iterator[Block]:
    """Merge scans. A scan is read when rows of it can be next, and no block sooner than it is needed.

    Yields:
        Blocks of wanted rows, each beyond the last one; `last` is how far all scans are read by then, so that a
        reader can stop there and go on later. A block may be empty.
    """
    waiting = sorted(scans, key=lambda scan: scan.first, reverse=True)
    active: list[tuple[Scan, Block]] = []
    read_up: list[Scan] = []  # their last block was given away as a whole
    while active or waiting or read_up:
        while read_up or (waiting and (not active or waiting[-1].first <= min(block.last for _, block in active)[0])):
            scan = read_up.pop() if read_up else waiting.pop()
            block = scan.load()
            if block is not None:
                active.append((scan, block))
        if not active:
            return
        bound = min(block.last for _, block in active)
        parts = [(scan, block, *block.split(bound)) for scan, block in active]
        active = [(scan, rest) for scan, block, _, rest in parts if block.last > bound]
        read_up = [scan for scan, block, _, _ in parts if block.last <= bound]
        yield joined([up_to for _, _, up_to, _ in parts], bound)


def joined(blocks: Sequence[Block], last: KeyValue) -> Block:
    """One sorted block out of sorted blocks."""
    filled = [block for block in blocks if block.table.num_rows]
    if len(filled) <= 1:
        only = filled[0] if filled else blocks[0]
        return Block(last, only.keys, only.table)
    keys: Keys = [np.concatenate(columns) for columns in zip(*(block.keys for block in filled), strict=True)]
    order = sort_keys(keys)
    table = pa.concat_tables([block.table for block in filled]).unify_dictionaries().combine_chunks()
    return Block(last, [column[order] for column in keys], taken(table, order))
