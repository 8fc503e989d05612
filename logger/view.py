"""Snapshots from states of the log: positions from its transactions, files with what their footers say."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from logger.deltalog import LogState
from logger.readfile import read_entry
from logger.snapshot import FileEntry, Snapshot, change_catalog
from logger.store import Store

_NONE: Final[Mapping[str, FileEntry]] = MappingProxyType({})


class View:
    """Turns states of the log into snapshots; footers of files that are new to it are read, once each."""

    def __init__(self, store: Store, queue_id: str) -> None:
        self._store = store
        self._queue_id = queue_id
        self._snapshot = Snapshot(-1, {}, {})

    @property
    def snapshot(self) -> Snapshot:
        """The last one made."""
        return self._snapshot

    def at(self, state: LogState, known: Mapping[str, FileEntry] = _NONE) -> Snapshot:
        """The snapshot of `state`, made from the last one.

        Args:
            state: Of the log.
            known: Entries of files that the caller wrote itself, by path.

        Raises:
            StoreUnavailableError: The storage fails, or a file is gone, since `state` is old.
        """
        before = self._snapshot
        if state.version == before.version:
            return before
        gone = [before.files[path] for path in before.files.keys() - state.files.keys()]
        new = [
            known.get(path) or read_entry(self._store, path, size_bytes=state.files[path])
            for path in sorted(state.files.keys() - before.files.keys())
        ]
        files = dict(before.files)
        for entry in gone:
            del files[entry.path]
        files.update((entry.path, entry) for entry in new)
        positions = {shard: position for shard, (position, _) in standing(state, self._queue_id).items()}
        catalog = change_catalog(before.catalog, added=new, removed=gone)
        self._snapshot = Snapshot(state.version, positions, files, catalog)
        return self._snapshot


def position_id(queue_id: str, shard: int) -> str:
    """The transaction that holds a shard's next queue offset."""
    return f"{queue_id}/{shard}"


def state_id(queue_id: str, shard: int) -> str:
    """The transaction that holds the id of a shard's resume state."""
    return f"{queue_id}/{shard}/state"


def standing(state: LogState, queue_id: str) -> dict[int, tuple[int, int]]:
    """Position and state id of each shard that was ever committed."""
    prefix = f"{queue_id}/"
    shards = (name.removeprefix(prefix) for name in state.transactions if name.startswith(prefix))
    return {
        int(shard): (
            state.transactions[position_id(queue_id, int(shard))],
            state.transactions.get(state_id(queue_id, int(shard)), 0),
        )
        for shard in shards
        if shard.isdecimal()
    }
