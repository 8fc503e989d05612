"""What the table holds at one version: files, which apps lie where in them, and how far each shard is committed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AppRange:
    """Rows of one app in one file: `count` consecutive rows from `start` on, in reading order.

    Attributes:
        start: Index of the first row in the file.
        count: Number of rows, at least 1.
        order_min: Least `order_ns` of the rows.
        order_max: Greatest `order_ns` of the rows.
        time_min: Least `time_ns` of the rows.
        time_max: Greatest `time_ns` of the rows.
    """

    start: int
    count: int
    order_min: int
    order_max: int
    time_min: int
    time_max: int


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One data file of the table.

    Attributes:
        path: Relative to the table's folder.
        date: Day of arrival, `YYYY-MM-DD`: the partition that the file belongs to.
        size_bytes: Size of the file.
        rows: Number of rows.
        apps: Where the rows of each app lie.
        shards: Least and greatest `queue_offset` (inclusive) of the rows of each shard.
        queue_id: The queue that `queue_offset` refers to.
        created_ms: When the newest of the rows were written, milliseconds since the epoch; a rewrite keeps it.
    """

    path: str
    date: str
    size_bytes: int
    rows: int
    apps: Mapping[str, AppRange]
    shards: Mapping[int, tuple[int, int]]
    queue_id: str = ""
    created_ms: int = 0


Catalog = Mapping[str, tuple[FileEntry, ...]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The table at one version.

    Attributes:
        version: Of the Delta table.
        positions: Next queue offset of each shard as of exactly this version; a shard never committed is absent.
        files: By path.
        catalog: App to the files that have rows of it; made from `files` when it is not given.
        damaged: Stand-ins for files that cannot be read, by path. They are in neither of the two above.
    """

    version: int
    positions: Mapping[int, int]
    files: Mapping[str, FileEntry]
    catalog: Catalog = field(default_factory=dict, repr=False)
    damaged: Mapping[str, FileEntry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.files and not self.catalog:
            object.__setattr__(self, "catalog", change_catalog({}, added=self.files.values(), removed=()))

    def of_app(self, app: str) -> tuple[FileEntry, ...]:
        """Files that have rows of `app`, in the order in which this reader learned of them; one lookup.

        Damaged ones that may have some come last: reading them fails.
        """
        readable = self.catalog.get(app, ())
        if not self.damaged:
            return readable
        return (*readable, *(entry for entry in self.damaged.values() if app in entry.apps))

    def apps(self) -> Iterable[str]:
        """Names of all apps that have rows, in no order."""
        return self.catalog.keys()


def change_catalog(catalog: Catalog, *, added: Iterable[FileEntry], removed: Iterable[FileEntry]) -> Catalog:
    """A catalog with some files added and some taken away; every app concerned is touched once, the rest is shared."""
    gone: dict[str, set[str]] = {}
    for entry in removed:
        for app in entry.apps:
            gone.setdefault(app, set()).add(entry.path)
    new: dict[str, list[FileEntry]] = {}
    for entry in added:
        for app in entry.apps:
            new.setdefault(app, []).append(entry)
    changed = dict(catalog)
    for app in gone.keys() | new.keys():
        entries = catalog.get(app, ())
        if lost := gone.get(app):
            entries = tuple(entry for entry in entries if entry.path not in lost)
        entries += tuple(new.get(app, ()))
        if entries:
            changed[app] = entries
        else:
            del changed[app]
    return changed
