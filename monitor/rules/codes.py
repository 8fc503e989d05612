"""Distinct values, and which of them each row has."""

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

H = TypeVar("H", bound=Hashable)


def encode_numbers(values: npt.NDArray[Any]) -> tuple[I32, npt.NDArray[Any]]:
    """Which of the distinct values each element has, and these, in the order in which they first come.

    Args:
        values: Whole numbers.
    """
    encoded = pa.array(values).dictionary_encode()
    return _indices(encoded), encoded.dictionary.to_numpy()


def encode_values(values: Sequence[H]) -> tuple[I32, list[H]]:
    """The same of any objects; slower."""
    codes: dict[H, int] = {}
    index = np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int32, len(values))
    return index, list(codes)


def encode_texts(texts: Any) -> tuple[I32, list[Any]]:
    """The same of an Arrow array of `large_binary` or `large_string` without nulls."""
    encoded = texts.dictionary_encode()
    return _indices(encoded), encoded.dictionary.to_pylist()


def _indices(encoded: Any) -> I32:
    indices: I32 = encoded.indices.to_numpy()
    return indices
