"""Adding versions to the Delta log, each on a snapshot that the caller has looked at.

deltalake refuses a commit only if one of its transactions moved, or one of its removed files went, *after the handle's
snapshot*; it lets transaction versions go down, and removes files that are not there. So everything that must hold is
checked on that very snapshot first: `advance`, look, `append`. A handle belongs to one writer and is never shared.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import structlog
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from logger.datafile import STATISTICS
from logger.deltalog import EMPTY, LOG_FOLDER, LogState, checkpoint_name, entry_name, last_checkpoint, read_log
from logger.rows import SCHEMA
from logger.snapshot import FileEntry
from logger.store import Store
from pipeline.errors import StoreUnavailableError

log = structlog.get_logger()

PARTITION: Final = "date"

_CONFIGURATION: Final = {
    "delta.logRetentionDuration": "interval 24 hours",
    "delta.deletedFileRetentionDuration": "interval 24 hours",
    "delta.checkpointInterval": "100",
    "delta.enableExpiredLogCleanup": "false",  # upkeep cleans up, so that no commit of ingest is held up by it
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS),  # for other writers: no text of messages in the log
}
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_NO_HOOKS: Final = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class CommitRefusedError(StoreUnavailableError):
    """The log took another writer's commit in between: look again, and append again if all still holds."""


class LogWriter:
    """One writer's handle on the log. Blocking; not safe for several threads at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        _set_torn_entry_aside(store)
        self._base = last_checkpoint(store)
        self._table = _open_table(store)
        self._schema = self._table.schema()
        self._state = EMPTY

    @property
    def state(self) -> LogState:
        """What the last `advance` saw."""
        return self._state

    def advance(self) -> LogState:
        """Move to the newest version, and make durable what leads there: a commit is certain when this returns.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        newest_checkpoint = last_checkpoint(self._store)
        if self._stands_at_the_end(newest_checkpoint):
            return self._state
        try:
            self._move(newest_checkpoint)
        except (DeltaError, OSError) as error:
            raise StoreUnavailableError(f"reading the log: {_text(error)}") from error
        before, version = self._state.version, self._table.version()
        if version != before:
            state = read_log(self._store, self._state, up_to=version)
            new = [entry_name(number) for number in range(max(before, version - _SYNCED_ENTRIES) + 1, version + 1)]
            self._store.sync(new)
            self._state = state
        return self._state

    def _stands_at_the_end(self, newest_checkpoint: int) -> bool:
        version = self._state.version
        return (
            version == self._table.version()
            and newest_checkpoint <= version
            and not self._store.exists(entry_name(version + 1))
        )

    def _move(self, newest_checkpoint: int) -> None:
        if newest_checkpoint > self._base:
            # A handle reads all entries since its checkpoint each time: 40 ms after 200 of them, 4 ms on a new one.
            self._table = DeltaTable(self._store.uri)
            self._base = newest_checkpoint
        else:
            self._table.update_incremental()

    def append(self, actions: Sequence[AddAction | RemoveAction], transactions: Mapping[str, int]) -> None:
        """Add one version on top of the snapshot of the last `advance`. That it worked is seen by the next `advance`.

        Raises:
            CommitRefusedError: It is not in the log, as far as deltalake knows.
            StoreUnavailableError: It may be in the log, or not.
        """
        if self._table.version() != self._state.version:
            raise CommitRefusedError("the handle has moved since it was looked at")
        properties = CommitProperties(app_transactions=[Transaction(name, to) for name, to in transactions.items()])
        try:
            self._table.create_write_transaction(
                list(actions),
                mode="append",
                schema=self._schema,
                partition_by=[PARTITION],
                commit_properties=properties,
                post_commithook_properties=_NO_HOOKS,
            )
        except CommitFailedError as error:
            raise CommitRefusedError(f"commit refused: {_text(error)}") from error
        except (DeltaError, OSError) as error:
            raise StoreUnavailableError(f"commit failed: {_text(error)}") from error

    def checkpoint(self, *, clean_up: bool) -> None:
        """Write a checkpoint of the newest version, durably, and then drop entries past the log's retention."""
        self.advance()
        try:
            self._table.create_checkpoint()
            self._store.sync([checkpoint_name(self._table.version()), f"{LOG_FOLDER}/_last_checkpoint"])
            if clean_up:
                self._table.cleanup_metadata()
        except (DeltaError, OSError) as error:
            raise StoreUnavailableError(f"checkpoint failed: {_text(error)}") from error


_SYNCED_ENTRIES: Final = 100
"""A handle that opens syncs this many newest entries; older ones were synced when a writer acted on them."""


def add_action(entry: FileEntry, *, data_change: bool = True) -> AddAction:
    """The action that puts a data file into the table."""
    ranges = [entry.apps[app] for app in entry.apps]
    stats = {
        "numRecords": entry.rows,
        "minValues": {
            "app": min(entry.apps),
            "time_ns": min(app.time_min for app in ranges),
            "order_ns": min(app.order_min for app in ranges),
        },
        "maxValues": {
            "app": max(entry.apps),
            "time_ns": max(app.time_max for app in ranges),
            "order_ns": max(app.order_max for app in ranges),
        },
        "nullCount": dict.fromkeys(STATISTICS, 0),
    }
    values = {PARTITION: entry.date}
    return AddAction(entry.path, entry.size_bytes, values, _now_ms(), data_change, json.dumps(stats))


def remove_action(entry: FileEntry, *, data_change: bool) -> RemoveAction:
    """The action that takes a data file out of the table."""
    return RemoveAction(entry.path, data_change, _now_ms(), entry.size_bytes, {PARTITION: entry.date})


def _set_torn_entry_aside(store: Store) -> None:
    """After a power loss the newest entry may be a name without content: nobody was told of it, and it blocks the log.

    deltalake links an entry into place without waiting for the disk. Every writer syncs an entry before it acts on it
    (`advance`), so one that is torn was never acted on.
    """
    facts = [fact.name for fact in store.objects(LOG_FOLDER) if fact.name.endswith(".json")]
    if facts and not _is_whole(store.get(facts[-1])):
        log.warning("torn entry of the log set aside", entry=facts[-1])
        store.set_aside(facts[-1], ".torn")


def _is_whole(entry: bytes | None) -> bool:
    try:
        return bool(entry) and all(isinstance(json.loads(line), dict) for line in (entry or b"").splitlines())
    except ValueError:
        return False


def _text(error: Exception) -> str:
    """What deltalake says, which it writes for a terminal, in one line."""
    return " ".join(_COLOUR.sub("", str(error)).split())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _open_table(store: Store) -> DeltaTable:
    plain = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in SCHEMA
    ]
    schema = Schema.from_arrow(pa.schema([*plain, pa.field(PARTITION, pa.string(), nullable=False)]))
    try:
        if not DeltaTable.is_deltatable(store.uri):
            DeltaTable.create(
                store.uri, schema, mode="ignore", partition_by=[PARTITION], configuration=dict(_CONFIGURATION)
            )
        return DeltaTable(store.uri)
    except (DeltaError, OSError) as error:
        raise StoreUnavailableError(f"opening the table: {_text(error)}") from error
