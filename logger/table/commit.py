"""Adding versions to the Delta log, each on a snapshot that the caller has looked at.

A version is an object that is put only if there is none of its name. So whoever puts version `n + 1` has seen all that
lies before it, and nobody comes in between: `advance`, look, `append`. deltalake writes the checkpoints; its own commit
goes on to the next free version when another writer was faster, past what the caller has looked at.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import structlog
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from logger.rows import SCHEMA
from logger.table.actions import PARTITION, Action, encode_entry, encode_table
from logger.table.datafile import STATISTICS
from logger.table.deltalog import EMPTY, LOG_FOLDER, LogFollower, LogState, checkpoint_name, entry_name, last_checkpoint
from pipeline.errors import StoreUnavailableError
from pipeline.store import Store

log = structlog.get_logger()

_CONFIGURATION: Final = {
    "delta.logRetentionDuration": "interval 24 hours",
    "delta.deletedFileRetentionDuration": "interval 24 hours",
    "delta.checkpointInterval": "100",
    "delta.enableExpiredLogCleanup": "false",  # upkeep cleans up, so that no commit of ingest is held up by it
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS),  # for other writers: no text of messages in the log
}
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class CommitRefusedError(StoreUnavailableError):
    """The log took another writer's commit in between: look again, and append again if all still holds."""


class LogWriter:
    """One writer's view of the log. Blocking; not safe for several threads at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        if store.may_tear:
            _set_torn_entry_aside(store)
        self._log = LogFollower(store)
        if self._log.advance() is EMPTY:
            _make_table(store)
            self._log.advance()
        self._sync(-1)

    @property
    def state(self) -> LogState:
        """What the last `advance` saw."""
        return self._log.state

    def advance(self) -> LogState:
        """Move to the newest version, and make durable what leads there: a commit is certain when this returns.

        Raises:
            StoreUnavailableError: The storage fails.
            FormatError: An entry or checkpoint is none.
        """
        before = self._synced
        if self._log.advance().version != before:
            self._sync(before)
        return self._log.state

    def append(self, actions: Sequence[Action], transactions: Mapping[str, int]) -> None:
        """Add one version on top of the snapshot of the last `advance`. That it worked is seen by the next `advance`.

        Raises:
            CommitRefusedError: Another version is there.
            StoreUnavailableError: It may be in the log, or not.
        """
        name = entry_name(self._log.state.version + 1)
        try:
            self._store.put(name, encode_entry(actions, transactions))
        except FileExistsError as error:
            raise CommitRefusedError(f"commit refused: {name} is another's") from error

    def checkpoint(self, *, clean_up: bool) -> None:
        """Write a checkpoint of the newest version, durably, and then drop entries past the log's retention.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        try:
            table = DeltaTable(self._store.uri, storage_options=dict(self._store.options))
            table.create_checkpoint()
            self._store.sync([checkpoint_name(table.version()), f"{LOG_FOLDER}/_last_checkpoint"])
            if clean_up:
                table.cleanup_metadata()
        except (DeltaError, OSError) as error:
            raise StoreUnavailableError(f"checkpoint failed: {_text(error)}") from error

    def checkpoint_if_due(self, versions: int, *, clean_up: bool) -> None:
        """Write a checkpoint if the newest one is `versions` old. See `checkpoint`."""
        if self._log.state.version - last_checkpoint(self._store) >= versions:
            self.checkpoint(clean_up=clean_up)

    def _sync(self, after: int) -> None:
        """Another writer may have been stopped between an entry's name and its folder's durability."""
        newest = self._log.state.version
        self._store.sync([entry_name(number) for number in range(max(after, newest - _SYNCED_ENTRIES) + 1, newest + 1)])
        self._synced = newest


_SYNCED_ENTRIES: Final = 100
"""A handle that opens syncs this many newest entries; older ones were synced when a writer acted on them."""


def _set_torn_entry_aside(store: Store) -> None:
    """After a power loss the newest entry may be a name without content: nobody was told of it, and it blocks the log.

    We put entries durably; deltalake, in other programs, links one into place without waiting for the disk.
    Every writer syncs an entry before it acts on it (`advance`), so one that is torn was never acted on.
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
    """What deltalake says, which it writes for a terminal and for its authors, in one line."""
    return " ".join(_COLOUR.sub("", str(error)).partition("Debug source")[0].split())


def _make_table(store: Store) -> None:
    """Put the first entry; that another writer has is as good."""
    plain = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in SCHEMA
    ]
    schema = Schema.from_arrow(pa.schema([*plain, pa.field(PARTITION, pa.string(), nullable=False)]))
    with contextlib.suppress(FileExistsError):
        store.put(entry_name(0), encode_table(schema.to_json(), _CONFIGURATION))
