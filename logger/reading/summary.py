"""What there is of each app: first and last time, number of rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logger.reading.lines import integers
from logger.reading.pieces import Deleted, Reach, ReadsTable
from logger.table.snapshot import FileEntry, Snapshot
from pipeline.lines.batch import Batch


@dataclass(frozen=True, slots=True)
class AppSummary:
    """One app.

    Attributes:
        app: Its name.
        first_ns: Time of its oldest line, nanoseconds since the epoch.
        last_ns: Time of its newest line.
        lines: Number of rows: one for each line, and one more for each further MiB of a long one.
    """

    app: str
    first_ns: int
    last_ns: int
    lines: int


_Part = tuple[int, int, int]  # first_ns, last_ns, lines


def summaries(
    snapshot: Snapshot,
    batches: list[Batch],
    *,
    table: ReadsTable,
    deleted: Deleted,
    wanted: Callable[[str], bool],
) -> list[AppSummary]:
    """Summaries of the apps wanted that have rows, by name. Blocks.

    Costs an index look-up for each app and file; rows are read only of apps that were deleted not long ago.
    """
    found: dict[str, list[_Part]] = {}
    for app in filter(wanted, snapshot.apps()):
        parts = [part for entry in snapshot.of_app(app) for part in _in_file(app, entry, table, deleted)]
        if parts:
            found[app] = parts
    for batch in batches:
        for app in filter(wanted, {facts.app for facts in batch.facts}):
            found.setdefault(app, []).extend(_in_batch(app, batch, deleted.boundary(app) or {}))
    return _summed(found)


def together(parts: Iterable[AppSummary]) -> list[AppSummary]:
    """One summary for each app, by name, out of those of different rows."""
    found: dict[str, list[_Part]] = {}
    for part in parts:
        found.setdefault(part.app, []).append((part.first_ns, part.last_ns, part.lines))
    return _summed(found)


def _summed(found: Mapping[str, Sequence[_Part]]) -> list[AppSummary]:
    return [
        AppSummary(app, min(part[0] for part in parts), max(part[1] for part in parts), sum(part[2] for part in parts))
        for app, parts in sorted(found.items())
        if parts
    ]


def _in_file(app: str, entry: FileEntry, table: ReadsTable, deleted: Deleted) -> Iterator[_Part]:
    place = entry.apps[app]
    boundary = deleted.boundary(app, entry)
    if not boundary:
        yield place.time_min, place.time_max, place.count
        return
    reach = Reach(boundary)
    if reach.hides_all(entry.shards):
        return
    rows = table.read(entry, start=place.start, count=place.count, columns=("time_ns", "shard", "queue_offset"))
    times = integers(rows["time_ns"])[reach.mask(integers(rows["shard"]), integers(rows["queue_offset"]))]
    if len(times):
        yield int(times.min()), int(times.max()), len(times)


def _in_batch(app: str, batch: Batch, boundary: Mapping[int, int]) -> Iterator[_Part]:
    rows = batch.of_app(app)
    if batch.shard in boundary:
        rows = rows[batch.queue_offset[rows] >= boundary[batch.shard]]
    if len(rows):
        times = batch.time_ns[rows]
        yield int(np.min(times)), int(np.max(times)), len(rows)
