"""Consumer groups of a queue: listed, and forgotten by hand. A group is registered by its first open, and for good."""

from dataclasses import dataclass

from pipeline.errors import FatalError
from pipeline.queue.sqlite.database import open_database, translated
from pipeline.queue.sqlite.lag import read_lags
from pipeline.queue.sqlite.options import SqliteOptions
from pipeline.queue.sqlite.retention import positions


@dataclass(frozen=True, slots=True)
class GroupLag:
    """What a group has not committed, over all partitions.

    Attributes:
        group: Its name.
        records: How many records,
        bytes: and their bytes.
    """

    group: str
    records: int
    bytes: int


def list_groups(options: SqliteOptions) -> list[GroupLag]:
    """The registered groups, by name. Blocks. Raises as `database.open_database` does."""
    database = open_database(options, durable=True)
    try:
        with translated(options.path), database.read() as connection:
            lags = read_lags(connection)
            names = sorted(positions(connection))
    finally:
        database.close()
    return [
        GroupLag(
            name,
            sum(lag.records for lag in lags if lag.group == name),
            sum(lag.bytes for lag in lags if lag.group == name),
        )
        for name in names
    ]


def forget(options: SqliteOptions, group: str) -> GroupLag:
    """Unregister a group: records are kept for it no more. Whoever still reads as it registers it again. Blocks.

    What was lost to the group stays counted.

    Returns:
        What it had not read.

    Raises:
        FatalError: No such group is registered.
        QueueUnavailableError: The queue does not answer.
    """
    held = {found.group: found for found in list_groups(options)}
    if group not in held:
        raise FatalError(f"{options.path} has no consumer group {group[:64]!r}; it has {', '.join(held) or 'none'}")
    database = open_database(options, durable=True)
    try:
        with translated(options.path), database.write() as connection:
            connection.execute("DELETE FROM positions WHERE consumer = ?", (group,))
    finally:
        database.close()
    return held[group]
