"""Snapshots from states of the log: positions from its transactions, files with what their footers say."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog

from logger.table.catalogfile import NEW_FILES, Catalogs, side_by_side
from logger.table.damage import stand_in
from logger.table.deltalog import LogState, read_statistics
from logger.table.readfile import read_entry
from logger.table.snapshot import FileEntry, Snapshot, change_catalog
from pipeline.errors import FormatError
from pipeline.store import GoneError, Store

log = structlog.get_logger()

_NONE: Final[Mapping[str, FileEntry]] = MappingProxyType({})


class View:
    """Turns states of the log into snapshots; what files that are new to it say is read once each.

    Args:
        store: Where the table lies.
        queue_id: The queue that positions refer to.
        catalogs: Asked when many files are new.
    """

    def __init__(self, store: Store, queue_id: str, *, catalogs: Catalogs | None = None) -> None:
        self._store = store
        self._queue_id = queue_id
        self._catalogs = catalogs if catalogs is not None else Catalogs(store)
        self._snapshot = Snapshot(-1, {}, {})

    @property
    def snapshot(self) -> Snapshot:
        """The last one made."""
        return self._snapshot

    def at(self, state: LogState, known: Mapping[str, FileEntry] = _NONE, *, gone_is_damage: bool = True) -> Snapshot:
        """The snapshot of `state`, made from the last one.

        Files that are damaged are named in it, and tried again for the next version.

        Args:
            state: Of the log.
            known: Entries of files that the caller wrote itself, by path.
            gone_is_damage: Whether `state` is the newest, so that a file that is not there is lost.

        Raises:
            StoreUnavailableError: The storage fails.
            GoneError: A file is gone, since `state` is old.
        """
        before = self._snapshot
        if state.version == before.version:
            return before
        gone = [before.files[path] for path in before.files.keys() - state.files.keys()]
        new, lost = self._entries(state, sorted(state.files.keys() - before.files.keys()), known, gone_is_damage)
        files = dict(before.files)
        for entry in gone:
            del files[entry.path]
        files.update((entry.path, entry) for entry in new)
        positions = {shard: position for shard, (position, _) in standing(state, self._queue_id).items()}
        catalog = change_catalog(before.catalog, added=new, removed=gone)
        damaged = self._stand_ins(state, lost, positions) if lost else {}
        self._snapshot = Snapshot(state.version, positions, files, catalog, damaged)
        return self._snapshot

    def _entries(
        self, state: LogState, paths: Sequence[str], known: Mapping[str, FileEntry], gone_is_damage: bool
    ) -> tuple[list[FileEntry], dict[str, FormatError | GoneError]]:
        if len(paths) - len(known) > NEW_FILES:
            known = {**self._catalogs.load({_date(path) for path in paths}), **known}

        def entry(path: str) -> FileEntry | FormatError | GoneError:
            found = known.get(path)
            if found is not None and found.size_bytes == state.files[path]:
                return found
            try:
                return read_entry(self._store, path, size_bytes=state.files[path])
            except FormatError as error:
                return error
            except GoneError as error:
                if not gone_is_damage:
                    raise
                return error

        new: list[FileEntry] = []
        lost: dict[str, FormatError | GoneError] = {}
        for path, found in zip(paths, side_by_side(self._store, entry, paths), strict=True):
            if isinstance(found, FileEntry):
                new.append(found)
            else:
                lost[path] = found
        return new, lost

    def _stand_ins(
        self, state: LogState, lost: Mapping[str, FormatError | GoneError], shards: Iterable[int]
    ) -> dict[str, FileEntry]:
        for path in lost.keys() - self._snapshot.damaged.keys():
            log.error("data file cannot be read: its lines are missing", file=path, error=str(lost[path]))
        statistics = read_statistics(self._store, frozenset(lost))
        return {
            path: stand_in(
                path,
                size_bytes=state.files[path],
                statistics=statistics.get(path),
                queue_id=self._queue_id,
                shards=shards,
            )
            for path in lost
        }


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


def other_queues(state: LogState, queue_id: str) -> set[str]:
    """Ids of the queues, other than `queue_id`, that shards were committed of."""
    suffix = "/state"
    shards = {name.removesuffix(suffix) for name in state.transactions if name.endswith(suffix)}
    return {shard.rpartition("/")[0] for shard in shards} - {queue_id}


def _date(path: str) -> str:
    return path.partition("/")[0].removeprefix("date=")
