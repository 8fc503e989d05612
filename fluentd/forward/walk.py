"""msgpack, walked from value to value: where it ends, and how many values it has. Builds nothing, needs no stack."""

from typing import Final

from fluentd.forward.errors import RefusedError

_Shape = tuple[int, int, int, int]
"""Bytes that follow the first one in any case; width of a length after it; values that follow in any case; values for
each unit of the length, 0 if that counts bytes."""

_RESERVED: Final = 0xC1


class Walk:
    """Finds the end of one value whose bytes come little by little."""

    def __init__(self) -> None:
        self._position, self._pending = 0, 1

    def end(self, data: bytes | bytearray | memoryview) -> int | None:
        """Where the value ends in `data`, which begins with it and grows from call to call; `None` while unknown.

        Raises:
            RefusedError: It is no msgpack.
        """
        size = len(data)
        while self._pending:
            position = self._position
            if position >= size:
                return None
            skip, width, values, each = _SHAPES[data[position]]
            position += 1
            if width:
                if position + width > size:
                    return None
                length = int.from_bytes(data[position : position + width])
                if each:
                    values += each * length
                else:
                    skip += length
            elif data[position - 1] == _RESERVED:
                raise RefusedError("format", "no msgpack: a byte that means nothing")
            self._position = position + width + skip
            self._pending += values - 1
        return self._position if self._position <= size else None


def has_more_values(raw: memoryview, most: int) -> bool:
    """Whether a complete value has more than `most` values in it, itself included."""
    position, count, size = 0, 0, len(raw)
    while position < size:
        count += 1
        if count > most:
            return True
        skip, width, _, each = _SHAPES[raw[position]]
        position += 1
        if width and not each:
            skip += int.from_bytes(raw[position : position + width])
        position += width + skip
    return False


def _shapes() -> list[_Shape]:
    shapes: list[_Shape] = [(0, 0, 0, 0)] * 256
    for low in range(0x10):
        shapes[0x80 | low] = (0, 0, 2 * low, 0)
        shapes[0x90 | low] = (0, 0, low, 0)
    for low in range(0x20):
        shapes[0xA0 | low] = (low, 0, 0, 0)
    for kind, size in enumerate((4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17), 0xCA):  # floats, integers, fixext
        shapes[kind] = (size, 0, 0, 0)
    for kind, width in ((0xC4, 1), (0xC5, 2), (0xC6, 4), (0xD9, 1), (0xDA, 2), (0xDB, 4)):  # bin, str
        shapes[kind] = (0, width, 0, 0)
    for kind, width in ((0xC7, 1), (0xC8, 2), (0xC9, 4)):  # ext: a type before the bytes
        shapes[kind] = (1, width, 0, 0)
    for kind, width, each in ((0xDC, 2, 1), (0xDD, 4, 1), (0xDE, 2, 2), (0xDF, 4, 2)):  # array, map
        shapes[kind] = (0, width, 0, each)
    return shapes


_SHAPES: Final = _shapes()
