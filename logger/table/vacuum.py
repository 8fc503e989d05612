"""Sweeping what the table does not hold (any more): data files, resume states, and what crashes left half written.

A file that was taken out of the table is kept for `PINNED_SECONDS`, since a reader may have pinned a version that has
it. A file that never was in the table is kept for `ORPHAN_SECONDS`, since a commit may be about to put it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from logger.table.catalogfile import FOLDER as CATALOG_FOLDER
from logger.table.deltalog import LOG_FOLDER, LogState, read_removals
from logger.table.state import sweep_states
from logger.table.tombstones import FOLDER as TOMBSTONE_FOLDER
from pipeline.names import STATE_DIRECTORY
from pipeline.store import TEMPORARY_SUFFIX, ObjectFact, Store

PINNED_SECONDS: Final = 2 * 3600
ORPHAN_SECONDS: Final = 6 * 3600
TEMPORARY_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Swept:
    """How many objects of each kind were deleted."""

    data_files: int
    states: int
    temporaries: int


def vacuum(store: Store, state: LogState, *, now_ms: int) -> Swept:
    """Sweep, as of the newest version of the table.

    Args:
        store: The table's folder.
        state: The newest version.
        now_ms: The time, milliseconds since the epoch.

    Raises:
        StoreUnavailableError: The storage fails; the rest is swept next time.
    """
    removed = read_removals(store)
    data_files = 0
    for folder in store.folders("date="):
        facts = store.objects(folder)
        swept = [fact for fact in facts if is_sweepable(fact, state=state, removed=removed, now_ms=now_ms)]
        for fact in swept:
            store.delete(fact.name)
        data_files += len(swept)
        if len(swept) == len(facts):
            store.drop_folder(folder)
    return Swept(
        data_files, sweep_states(store, named=named_ids(state), now_ms=now_ms), _sweep_temporaries(store, now_ms)
    )


def is_sweepable(fact: ObjectFact, *, state: LogState, removed: Mapping[str, int], now_ms: int) -> bool:
    """Whether a data file may be deleted.

    Args:
        fact: The file.
        state: The newest version of the table.
        removed: When files were taken out of the table, as far as the log still knows, milliseconds since the epoch.
        now_ms: The time.
    """
    if fact.name in state.files:
        return False
    if fact.name in removed:
        return removed[fact.name] < now_ms - PINNED_SECONDS * 1000
    return fact.modified_ms < now_ms - ORPHAN_SECONDS * 1000


def named_ids(state: LogState) -> frozenset[int]:
    """Ids of the resume states that the table names, of all queues."""
    return frozenset(version for name, version in state.transactions.items() if name.endswith("/state"))


def _sweep_temporaries(store: Store, now_ms: int) -> int:
    swept = 0
    for folder in (STATE_DIRECTORY, TOMBSTONE_FOLDER, CATALOG_FOLDER, LOG_FOLDER):
        for fact in store.objects(folder):
            # deltalake writes `<name>#<n>` and links or renames it.
            temporary = fact.name.endswith(TEMPORARY_SUFFIX) or (folder == LOG_FOLDER and "#" in fact.name)
            if temporary and fact.modified_ms < now_ms - TEMPORARY_SECONDS * 1000:
                store.delete(fact.name)
                swept += 1
    return swept
