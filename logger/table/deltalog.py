"""Reading the Delta log: which files and transaction versions the table has at a version.

Entries are read once each, as they appear (asking deltalake for one transaction version costs 3.4 ms, and a logger has
two for each shard). Where entries are gone, reading starts over from the newest checkpoint.

Source: Delta Lake protocol, action reconciliation and checkpoints (version 1, in one part, as deltalake writes them).
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.store import Store

LOG_FOLDER: Final = "_delta_log"
_CHECKPOINT = re.compile(rf"{LOG_FOLDER}/(\d{{20}})\.checkpoint\.parquet")
_LAST_CHECKPOINT: Final = f"{LOG_FOLDER}/_last_checkpoint"


@dataclass(frozen=True, slots=True)
class LogState:
    """The table at one version, as the log tells it.

    Attributes:
        version: Of the table; -1 when there is none.
        files: Size in bytes of each data file, by path.
        transactions: Version of each `txn`, by application id.
    """

    version: int
    files: Mapping[str, int]
    transactions: Mapping[str, int]


class _File(msgspec.Struct, frozen=True):
    path: str
    size: int | None = None
    stats: str | None = None


class _Removal(msgspec.Struct, frozen=True, rename="camel"):
    path: str
    deletion_timestamp: int | None = None


class _Transaction(msgspec.Struct, frozen=True, rename="camel"):
    app_id: str
    version: int


class _Action(msgspec.Struct, frozen=True):
    add: _File | None = None
    remove: _Removal | None = None
    txn: _Transaction | None = None


class _LastCheckpoint(msgspec.Struct, frozen=True):
    version: int


SURE_SECONDS: Final = 3600.0
"""No entry younger than this is cleaned up (a day is), so whoever looked less long ago just finds the next one."""

_actions = msgspec.json.Decoder(_Action)
EMPTY: Final = LogState(-1, {}, {})


def entry_name(version: int) -> str:
    """Name of the log's entry that made `version`."""
    return f"{LOG_FOLDER}/{version:020}.json"


def checkpoint_name(version: int) -> str:
    """Name of the checkpoint of `version`."""
    return f"{LOG_FOLDER}/{version:020}.checkpoint.parquet"


def read_log(store: Store, since: LogState = EMPTY) -> LogState:
    """Follow the log from a state known before to its end.

    Args:
        store: Where the table lies.
        since: The state to go on from; returned as it is when there is nothing new.

    Raises:
        StoreUnavailableError: The storage fails.
        FormatError: An entry or checkpoint is none.
    """
    state = since
    if since.version < 0 and (newest := last_checkpoint(store)) >= 0:
        state = _read_checkpoint(store, newest)
    state = _follow(store, state)
    if (newest := last_checkpoint(store)) > state.version:  # entries are gone, of which the last may be one
        state = _follow(store, _read_checkpoint(store, newest))
    return state


class LogFollower:
    """Stands at the end of the log as far as it has looked. Methods block; not safe for several threads at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = EMPTY
        self._sure_at = -math.inf

    @property
    def state(self) -> LogState:
        """What the last `advance` saw."""
        return self._state

    def advance(self) -> LogState:
        """Move to the end; costs one small read when there is nothing new. See `read_log`."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)  # goes on while the machine sleeps
        sure = self._state.version >= 0 and now - self._sure_at < SURE_SECONDS
        self._state = _follow(self._store, self._state) if sure else read_log(self._store, self._state)
        self._sure_at = now
        return self._state


def read_removals(store: Store) -> dict[str, int]:
    """When data files were taken out of the table, milliseconds since the epoch.

    Known of those of the last 24 hours at least (`delta.deletedFileRetentionDuration`).

    Raises:
        StoreUnavailableError: The storage fails.
        FormatError: An entry or checkpoint is none.
    """
    removed: dict[str, int] = {}
    version = last_checkpoint(store)
    if version >= 0:
        table = _read_columns(store, version, ["remove.path", "remove.deletionTimestamp"])
        rows: list[Any] = table.column("remove").drop_null().to_pylist()
        removed = {row["path"]: row["deletionTimestamp"] or 0 for row in rows}
    while (entry := store.get(entry_name(version + 1))) is not None:
        version += 1
        for action in _decode(entry, version):
            if action.remove is not None:
                removed[action.remove.path] = action.remove.deletion_timestamp or 0
    return removed


def read_statistics(store: Store, paths: frozenset[str]) -> dict[str, str]:
    """What the newest version of the log says about the rows of some data files: JSON by path.

    Raises:
        StoreUnavailableError: The storage fails.
        FormatError: An entry or checkpoint is none.
    """
    found: dict[str, str] = {}
    version = last_checkpoint(store)
    if version >= 0:
        rows: list[Any] = _read_columns(store, version, ["add.path", "add.stats"]).column("add").drop_null().to_pylist()
        found = {row["path"]: row["stats"] for row in rows if row["path"] in paths and row.get("stats")}
    while (entry := store.get(entry_name(version + 1))) is not None:
        version += 1
        for action in _decode(entry, version):
            if action.add is not None and action.add.path in paths and action.add.stats:
                found[action.add.path] = action.add.stats
    return found


def last_checkpoint(store: Store) -> int:
    """Version of the newest checkpoint; -1 when there is none."""
    hint = store.get(_LAST_CHECKPOINT)
    if hint is not None:
        try:
            return msgspec.json.decode(hint, type=_LastCheckpoint).version
        except msgspec.MsgspecError:
            pass  # torn by a power loss: the listing below knows as well
    names = (_CHECKPOINT.fullmatch(fact.name) for fact in store.objects(LOG_FOLDER))
    return max((int(name[1]) for name in names if name), default=-1)


def _follow(store: Store, state: LogState) -> LogState:
    version, found = state.version, store.get(entry_name(state.version + 1))
    if found is None:
        return state
    files, transactions = dict(state.files), dict(state.transactions)
    while found is not None:
        version += 1
        _apply(found, version, files, transactions)
        found = store.get(entry_name(version + 1))
    return LogState(version, files, transactions)


def _apply(entry: bytes, version: int, files: dict[str, int], transactions: dict[str, int]) -> None:
    actions = _decode(entry, version)
    for action in actions:
        if action.remove is not None:
            files.pop(action.remove.path, None)
    for action in actions:
        if action.add is not None:
            files[action.add.path] = action.add.size or 0
        if action.txn is not None:
            transactions[action.txn.app_id] = action.txn.version


def _decode(entry: bytes, version: int) -> list[_Action]:
    try:
        actions = _actions.decode_lines(entry)
    except msgspec.MsgspecError as error:
        raise FormatError(f"{entry_name(version)}: {error}") from error
    if not actions:
        raise FormatError(f"{entry_name(version)} is empty")
    return actions


def _read_columns(store: Store, version: int, columns: list[str]) -> pa.Table:
    name = checkpoint_name(version)
    try:
        with store.reading(name) as source:
            return pq.ParquetFile(source).read(columns=columns, use_threads=False)
    except pa.ArrowInvalid as error:
        raise FormatError(f"{name} is no checkpoint: {error}") from error
    except OSError as error:
        raise StoreUnavailableError(f"reading {name}: {error}") from error


def _read_checkpoint(store: Store, version: int) -> LogState:
    table = _read_columns(store, version, ["add.path", "add.size", "txn.appId", "txn.version"])
    adds: list[Any] = table.column("add").drop_null().to_pylist()
    transactions: list[Any] = table.column("txn").drop_null().to_pylist()
    return LogState(
        version,
        {add["path"]: add["size"] for add in adds},
        {txn["appId"]: txn["version"] for txn in transactions},
    )
