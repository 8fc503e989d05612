"""What upkeep has to do, decided on a snapshot: which files go, which are rewritten, which are merged. Pure.

Merging costs about as much CPU as ingest did, so files are merged only with others of about their size (each row is
then rewritten once for each size class), and a file of `SMALL_FILE_BYTES` is left alone: at full load ingest writes
such files itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from logger.table.retention import Retention
from logger.table.rewrite import Doomed
from logger.table.snapshot import FileEntry, Snapshot
from logger.table.tombstones import EVERYWHERE, Tombstones
from pipeline.limits import KIB, MIB

SMALL_FILE_BYTES: Final = 16 * MIB
"""Only files below this are merged."""

MERGED_BYTES: Final = 64 * MIB
"""Most input of one merge: the file that comes out is never an input again."""

MERGE_FILES: Final = 8
"""So many files of one size class are merged into one of the next class."""

MOST_MERGE_FILES: Final = 32
"""Most inputs of one merge, each of which costs a row group of memory."""

_SMALLEST_CLASS_BYTES: Final = 64 * KIB
_CLASS_BITS: Final = 3  # a class is 2**3 times as large as the one below, as MERGE_FILES of them make one


LosesRows = Callable[[FileEntry, str, Mapping[int, int]], bool]
"""Whether an app has a row below a boundary in a file."""


@dataclass(frozen=True, slots=True)
class Task:
    """One commit of upkeep: inputs go, and what is left of their rows comes back as one file.

    Attributes:
        date: Day of arrival; also the scope of the commit's transaction.
        inputs: Files of that day and of one queue.
        rewrite: Whether rows are left; else the files just go.
    """

    date: str
    inputs: Sequence[FileEntry]
    rewrite: bool


def doomed_by(tombstones: Tombstones, retention: Retention, now: datetime) -> Doomed:
    """Which rows have to go, because they were deleted or are past their time."""

    def doomed(entry: FileEntry) -> Mapping[str, Mapping[int, int]]:
        found = dict.fromkeys(retention.expired(entry.apps, date=entry.date, now=now), EVERYWHERE)
        for app in tombstones.apps():
            if app in entry.apps and app not in found:
                boundary = tombstones.boundary(app, entry)
                if boundary is not None:
                    found[app] = boundary
        return found

    return doomed


def plan_removals(snapshot: Snapshot, doomed: Doomed, *, loses_rows: LosesRows) -> list[Task]:
    """Files with rows that have to go: those that go as a whole in one task for each day, others one by one.

    Args:
        snapshot: The table.
        doomed: Which rows have to go.
        loses_rows: Looks into a file; asked only where the entry does not tell.
    """
    tasks: list[Task] = []
    for date, entries in _by_date(snapshot.files.values()).items():
        whole: list[FileEntry] = []
        partly: list[Task] = []
        for entry in entries:
            apps = doomed(entry)
            if len(apps) == len(entry.apps) and all(positions is EVERYWHERE for positions in apps.values()):
                whole.append(entry)
            elif any(
                _may_lose(entry, positions) and loses_rows(entry, app, positions) for app, positions in apps.items()
            ):
                partly.append(Task(date, [entry], rewrite=True))
        if whole:
            tasks.append(Task(date, whole, rewrite=False))
        tasks += partly
    return tasks


def plan_expired_damage(snapshot: Snapshot, retention: Retention, now: datetime) -> list[Task]:
    """Damaged files of days whose lines are all past their time, whosever they are: those go unread."""
    apps = dict.fromkeys(("", *retention.per_app_seconds))  # no app is named "": it stands for those without a time
    return [
        Task(date, entries, rewrite=False)
        for date, entries in _by_date(snapshot.damaged.values()).items()
        if len(retention.expired(apps, date=date, now=now)) == len(apps)
    ]


def _may_lose(entry: FileEntry, positions: Mapping[int, int]) -> bool:
    return any(low < positions.get(shard, 0) for shard, (low, _) in entry.shards.items())


def plan_merges(snapshot: Snapshot, *, today: str) -> list[Task]:
    """Small files that are worth a merge: of a past day all that are left, of today as many as fill a size class."""
    tasks: list[Task] = []
    for date, entries in _by_date(snapshot.files.values()).items():
        for queue_id in sorted({entry.queue_id for entry in entries}):
            small = [entry for entry in entries if entry.size_bytes < SMALL_FILE_BYTES and entry.queue_id == queue_id]
            groups = _classes(small) if date >= today else [small]
            least = MERGE_FILES if date >= today else 2
            tasks += [Task(date, inputs, rewrite=True) for group in groups for inputs in _cut(group, least=least)]
    return tasks


def _classes(entries: Iterable[FileEntry]) -> list[list[FileEntry]]:
    classes: dict[int, list[FileEntry]] = {}
    for entry in entries:
        size_class = -(-(entry.size_bytes // _SMALLEST_CLASS_BYTES).bit_length() // _CLASS_BITS)
        classes.setdefault(size_class, []).append(entry)
    return [classes[size_class] for size_class in sorted(classes)]


def _cut(entries: Sequence[FileEntry], *, least: int) -> Iterable[list[FileEntry]]:
    group: list[FileEntry] = []
    size = 0
    for entry in sorted(entries, key=lambda entry: (entry.created_ms, entry.path)):
        if group and (size + entry.size_bytes > MERGED_BYTES or len(group) == MOST_MERGE_FILES):
            if len(group) >= 2:  # noqa: PLR2004 - full by size: any merge makes fewer files
                yield group
            group, size = [], 0
        group.append(entry)
        size += entry.size_bytes
    if len(group) >= least:
        yield group


def _by_date(entries: Iterable[FileEntry]) -> dict[str, list[FileEntry]]:
    dates: dict[str, list[FileEntry]] = {}
    for entry in entries:
        dates.setdefault(entry.date, []).append(entry)
    return dict(sorted(dates.items()))
