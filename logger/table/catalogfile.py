"""Catalog objects: what the footers of all data files of a day say, in one object.

Opening a table of thousands of files then takes as many reads as there are days.

`_state/catalog/<date>-<id>`, version 1: the byte 0x01, then a zstd frame of a msgpack array, see `_Catalog`. A catalog
only saves reading footers: it holds facts about files that never change, so one that is old, or missing, or doubled by
another logger is no worse than slow. Upkeep writes them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from sys import intern
from typing import Final, TypeVar

import msgspec
import numpy as np
import structlog
import zstandard

from logger.table.catalog import AppIndex
from logger.table.snapshot import FileEntry
from logger.table.state import new_id
from pipeline.errors import FormatError
from pipeline.limits import MIB
from pipeline.names import STATE_DIRECTORY
from pipeline.store import ObjectFact, Store

log = structlog.get_logger()

FOLDER: Final = f"{STATE_DIRECTORY}/catalog"
NEW_FILES: Final = 32
"""A day's catalog is written again when so many files are not in it: that many footers are read in one go."""

_MAX_BYTES: Final = 1024 * MIB  # a hostile frame stops here; 300 files of 10,000 apps each take 130 MiB
_MAGIC: Final = b"\x01"
_VERSION: Final = 1
_DATE_LENGTH: Final = 10

T = TypeVar("T")
R = TypeVar("R")


class _File(msgspec.Struct, frozen=True, array_like=True):
    name: str
    size_bytes: int
    queue_id: str
    created_ms: int
    apps: bytes  # little-endian int32, places in the catalog's `apps`
    numbers: bytes  # little-endian int64, column after column: see `AppIndex`
    shards: list[tuple[int, int, int]]


class _Catalog(msgspec.Struct, frozen=True, array_like=True):
    version: int
    apps: list[str]
    files: list[_File]


class Catalogs:
    """The catalog objects of a store. Methods block; not safe for several threads at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._covered: dict[str, frozenset[str]] = {}

    def load(self, dates: Collection[str]) -> dict[str, FileEntry]:
        """What the catalogs of some days say, by path.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        newest = {date: facts[-1].name for date, facts in self._listed().items() if date in dates}
        found: dict[str, FileEntry] = {}
        for date, entries in zip(newest, side_by_side(self._store, self._read, newest.values()), strict=True):
            self._covered[date] = frozenset(entry.path for entry in entries)
            found.update((entry.path, entry) for entry in entries)
        return found

    def update(self, files: Iterable[FileEntry], *, today: str) -> int:
        """Write the catalogs that are worth it, and drop what they replace.

        Args:
            files: All of the table.
            today: `YYYY-MM-DD`; files of other days hardly change, and are covered at once.

        Returns:
            How many were written.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        days: dict[str, list[FileEntry]] = {}
        for entry in files:
            days.setdefault(entry.date, []).append(entry)
        due = [date for date, entries in days.items() if self._is_due(date, entries, today=today)]
        listed = self._listed() if due or self._covered.keys() - days.keys() else {}
        for date in due:
            self._store.put(f"{FOLDER}/{date}-{new_id():016x}", encode_catalog(date, days[date]))
            self._covered[date] = frozenset(entry.path for entry in days[date])
        for date in {*due, *(listed.keys() - days.keys())}:
            for fact in listed.get(date, ()):
                self._store.delete(fact.name)
        self._covered = {date: paths for date, paths in self._covered.items() if date in days}
        return len(due)

    def _is_due(self, date: str, entries: Sequence[FileEntry], *, today: str) -> bool:
        covered = self._covered.get(date, frozenset())
        new = sum(entry.path not in covered for entry in entries)
        gone = len(covered) + new - len(entries)
        least = NEW_FILES if date >= today else 1
        return new >= max(least, len(entries) // 8) or gone > len(entries) + NEW_FILES

    def _listed(self) -> dict[str, list[ObjectFact]]:
        days: dict[str, list[ObjectFact]] = {}
        for fact in self._store.objects(FOLDER):
            if not fact.name.endswith(".tmp"):
                days.setdefault(fact.name.removeprefix(f"{FOLDER}/")[:_DATE_LENGTH], []).append(fact)
        return days

    def _read(self, name: str) -> list[FileEntry]:
        data = self._store.get(name)
        if data is None:
            return []  # replaced since the listing
        try:
            return decode_catalog(data, name=name)
        except FormatError as error:  # the footers themselves still tell, and the next catalog replaces it
            log.warning("catalog is damaged, reading footers", error=str(error))
            return []


def side_by_side(store: Store, read: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`read` of each item, in their order, as many at a time as suits the store."""
    waiting = list(items)
    if store.readers == 1 or len(waiting) <= 1:
        yield from map(read, waiting)
        return
    with ThreadPoolExecutor(min(store.readers, len(waiting)), thread_name_prefix="store") as threads:
        yield from threads.map(read, waiting)


def encode_catalog(date: str, entries: Sequence[FileEntry]) -> bytes:
    """Encode what is known of files of one day; see the module's docstring."""
    places: dict[str, int] = {}
    files = []
    for entry in entries:
        apps = np.array([places.setdefault(app, len(places)) for app in entry.apps], dtype="<i4")
        spans = [(shard, low, high) for shard, (low, high) in entry.shards.items()]
        name = entry.path.removeprefix(f"date={date}/")
        numbers = _numbers(entry)
        files.append(_File(name, entry.size_bytes, entry.queue_id, entry.created_ms, apps.tobytes(), numbers, spans))
    body = msgspec.msgpack.encode(_Catalog(_VERSION, list(places), files))
    return _MAGIC + zstandard.ZstdCompressor(level=1).compress(body)


def decode_catalog(data: bytes, *, name: str) -> list[FileEntry]:
    """The entries of a catalog; `name` is its object's.

    Raises:
        FormatError: It is no catalog of a version known here.
    """
    date = name.rpartition("/")[2][:_DATE_LENGTH]
    try:
        if data[:1] != _MAGIC or zstandard.get_frame_parameters(data[1:]).content_size > _MAX_BYTES:
            raise FormatError(f"{name} is no catalog")
        plain = zstandard.ZstdDecompressor().decompress(data[1:], max_output_size=_MAX_BYTES)
        body = msgspec.msgpack.decode(plain, type=_Catalog)
        if body.version != _VERSION:
            raise FormatError(f"{name}: catalog of version {body.version}")
        apps = [intern(app) for app in body.apps]
        return [_entry(file, date, apps) for file in body.files]
    except (ValueError, IndexError, zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise FormatError(f"{name} is no catalog: {error}") from error


def _numbers(entry: FileEntry) -> bytes:
    if isinstance(entry.apps, AppIndex):
        return np.ascontiguousarray(entry.apps.numbers.T, dtype="<i8").tobytes()
    rows = [
        (span.start, span.count, span.order_min, span.order_max, span.time_min, span.time_max)
        for span in entry.apps.values()
    ]
    return np.array(rows, dtype="<i8").reshape(-1, 6).T.tobytes()


def _entry(file: _File, date: str, names: Sequence[str]) -> FileEntry:
    places = np.frombuffer(file.apps, dtype="<i4")
    numbers = np.ascontiguousarray(np.frombuffer(file.numbers, dtype="<i8").reshape(6, len(places)).T)
    apps = AppIndex(tuple(names[place] for place in places.tolist()), numbers)
    shards = {shard: (low, high) for shard, low, high in file.shards}
    path = f"date={date}/{file.name}"
    rows = int(numbers[:, 1].sum())
    return FileEntry(path, date, file.size_bytes, rows, apps, shards, file.queue_id, file.created_ms)
