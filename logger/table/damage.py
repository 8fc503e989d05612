"""Stand-ins for data files whose footer cannot be read: so that a query that needs such a file fails, and no other."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from logger.table.snapshot import AppRange, FileEntry

_MOST: Final = 2**62
"""Over every time, queue offset and size that there is; twice of it is still an int64."""


class _Bounds(msgspec.Struct, frozen=True):
    app: str = ""
    order_ns: int | None = None
    time_ns: int | None = None


class _Statistics(msgspec.Struct, frozen=True, rename="camel"):
    min_values: _Bounds = _Bounds()
    max_values: _Bounds | None = None


class _AnyBetween(Mapping[str, AppRange]):
    """Every app that may have rows in the file; they are more than can be listed."""

    def __init__(self, first: str, last: str | None, rows: AppRange) -> None:
        self._first = first
        self._last = last
        self._rows = rows

    def __getitem__(self, app: str) -> AppRange:
        if app < self._first or (self._last is not None and app > self._last):
            raise KeyError(app)
        return self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def stand_in(path: str, *, size_bytes: int, statistics: str | None, queue_id: str, shards: Iterable[int]) -> FileEntry:
    """An entry that says of a file what the log says: enough to tell whether a query needs it.

    Args:
        path: Of the file.
        size_bytes: Its size.
        statistics: What the log says about its rows, JSON; `None` when nothing is known.
        queue_id: The queue that is read now.
        shards: All shards of it.
    """
    try:
        known = msgspec.json.decode(statistics or "{}", type=_Statistics)
    except msgspec.MsgspecError:
        known = _Statistics()
    low, high = known.min_values, known.max_values or _Bounds()
    rows = AppRange(
        0,
        1,
        -_MOST if low.order_ns is None else low.order_ns,
        _MOST if high.order_ns is None else high.order_ns,
        -_MOST if low.time_ns is None else low.time_ns,
        _MOST if high.time_ns is None else high.time_ns,
    )
    apps = _AnyBetween(low.app, high.app or None, rows)
    date = path.partition("/")[0].removeprefix("date=")
    return FileEntry(path, date, size_bytes, 1, apps, dict.fromkeys(shards, (0, _MOST)), queue_id, _MOST)
