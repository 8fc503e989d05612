"""Distinct values, and which of them each row has."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

T = TypeVar("T")


def encode_numbers(values: npt.NDArray[Any]) -> tuple[I32, npt.NDArray[Any]]:
    """Which of the distinct values each element has, and these, in the order in which they first come.

    Args:
        values: Whole numbers.
    """
    encoded = pa.array(values).dictionary_encode()
    return _indices(encoded), encoded.dictionary.to_numpy()


def encode_texts(texts: Any) -> tuple[I32, list[bytes]]:
    """The same of an Arrow array of `large_binary` without nulls."""
    encoded = texts.dictionary_encode()
    return _indices(encoded), encoded.dictionary.to_pylist()


def _indices(encoded: Any) -> I32:
    indices: I32 = encoded.indices.to_numpy()
    return indices
