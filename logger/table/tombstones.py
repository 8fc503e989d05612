"""Deleted apps: durable marks that readers obey at once, and upkeep turns into rows and files that are really gone.

One object `_state/tombstones/<hash of the app>-<id>` for each deletion: the byte 0x01, then a msgpack array (see
`Tombstone`). A row of the app is deleted if its queue offset is below the mark's position of its shard. Offsets mean
something only within one queue; files of another queue are deleted as a whole if they are older than the mark.
"""

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

import msgspec

from logger.table.snapshot import FileEntry
from logger.table.state import new_id
from pipeline.errors import FormatError
from pipeline.names import STATE_DIRECTORY
from pipeline.store import Store, open_store

FOLDER: Final = f"{STATE_DIRECTORY}/tombstones"
_MAGIC: Final = b"\x01"
_END_OF_TIME: Final = 2**63 - 1


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """One deletion.

    Attributes:
        app: Whose rows.
        queue_id: The queue that `positions` refers to.
        positions: For each shard, the queue offset before which rows are deleted.
        time_ms: When, milliseconds since the epoch.
    """

    app: str
    queue_id: str
    positions: dict[int, int]
    time_ms: int


class _Everywhere(dict[int, int]):
    """The boundary behind every offset, in every shard."""

    def __missing__(self, _: int) -> int:
        return _END_OF_TIME

    def get(self, _: int, __: object = None) -> int:
        return _END_OF_TIME

    def __bool__(self) -> bool:
        return True


EVERYWHERE: Final[Mapping[int, int]] = _Everywhere()

_decoder = msgspec.msgpack.Decoder(Tombstone)


class Tombstones:
    """All deletions. Methods but `boundary` block; all are safe to call from many threads."""

    def __init__(self, store: Store, *, queue_id: str) -> None:
        self._store = store
        self._queue_id = queue_id
        self._lock = threading.Lock()
        self._all: dict[str, Tombstone] = {}  # by object name
        self._by_app: Mapping[str, Sequence[Tombstone]] = {}
        self.refresh()

    @classmethod
    def open(cls, store_url: str, *, queue_id: str) -> Self:
        """Read the deletions of the store at `store_url`; `queue_id` is the queue that new ones refer to.

        Raises:
            SettingsError: The URL is of no known kind.
            StoreUnavailableError: The storage fails.
            FormatError: A tombstone is none; to go on without it would show deleted lines again.
        """
        return cls(open_store(store_url), queue_id=queue_id)

    def refresh(self) -> None:
        """Learn of deletions that other loggers took, and forget those that are done."""
        with self._lock:
            names = {fact.name for fact in self._store.objects(FOLDER) if not fact.name.endswith(".tmp")}
            found = {name: self._all.get(name) or self._read(name) for name in sorted(names)}
            self._keep({name: tombstone for name, tombstone in found.items() if tombstone is not None})

    def add(self, app: str, positions: Mapping[int, int]) -> None:
        """Delete the rows of `app` before `positions`; durable, and obeyed in this process, when it returns.

        Raises:
            StoreUnavailableError: It is not known to be durable; it may take effect all the same.
        """
        tombstone = Tombstone(app, self._queue_id, dict(positions), time.time_ns() // 1_000_000)
        name = f"{FOLDER}/{hashlib.blake2b(app.encode(), digest_size=8).hexdigest()}-{new_id():016x}"
        self._store.put(name, _MAGIC + msgspec.msgpack.encode(tombstone))
        with self._lock:
            self._keep({**self._all, name: tombstone})

    def boundary(self, app: str, entry: FileEntry | None = None) -> Mapping[int, int] | None:
        """Up to where rows of `app` are deleted: those in shard s with `queue_offset < boundary[s]`.

        Args:
            app: Whose rows.
            entry: The file that they lie in; `None` for rows of the current queue (the head, a follow).

        Returns:
            Offset by shard, a shard that is absent has no deleted rows; `None` when nothing is deleted.
        """
        tombstones = self._by_app.get(app)
        if not tombstones:
            return None
        queue_id = entry.queue_id if entry is not None and entry.queue_id else self._queue_id
        merged: dict[int, int] = {}
        for tombstone in tombstones:
            if tombstone.queue_id != queue_id:
                if entry is not None and tombstone.time_ms > entry.created_ms:
                    return EVERYWHERE
                continue
            for shard, position in tombstone.positions.items():
                merged[shard] = max(position, merged.get(shard, 0))
        return merged or None

    def apps(self) -> Sequence[str]:
        """Apps that have deleted rows, or may have."""
        return tuple(self._by_app)

    def all(self) -> Mapping[str, Tombstone]:
        """Every deletion, by the name of its object."""
        return MappingProxyType(self._all)

    def retire(self, name: str) -> None:
        """Drop a deletion that has no rows left, nor can get any."""
        self._store.delete(name)
        with self._lock:
            self._keep({kept: tombstone for kept, tombstone in self._all.items() if kept != name})

    def _keep(self, tombstones: dict[str, Tombstone]) -> None:
        by_app: dict[str, list[Tombstone]] = {}
        for tombstone in tombstones.values():
            by_app.setdefault(tombstone.app, []).append(tombstone)
        self._all, self._by_app = tombstones, by_app

    def _read(self, name: str) -> Tombstone | None:
        data = self._store.get(name)
        if data is None:
            return None  # retired since the listing
        try:
            if data[:1] != _MAGIC:
                raise FormatError(f"{name} is no tombstone: first byte {data[:1]!r}")
            return _decoder.decode(data[1:])
        except msgspec.MsgspecError as error:
            raise FormatError(f"{name} is no tombstone: {error}") from error
