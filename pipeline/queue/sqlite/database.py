"""The file: its schema, how connections are set up, and what SQLite's errors mean to callers."""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import FatalError, FormatError, QueueUnavailableError, SettingsError
from pipeline.limits import KIB, MIB
from pipeline.queue.sqlite.options import DEFAULT_PARTITIONS, SqliteOptions

FORMAT: Final = 1
"""Version of the schema below; a change needs a decision record."""

PAGE_BYTES: Final = 32 * KIB
"""Measured with 200 KB records, synchronous=FULL, MB appended per CPU-second: 4 KiB 518, 16 KiB 829, 32 KiB 1067,
64 KiB 1088. Larger pages cost idle nodes more, since a heartbeat of 100 bytes writes two whole pages."""

CHECKPOINT_BYTES: Final = 16 * MIB
"""The WAL is copied into the file when it is this long. Below `WAL_LIMIT_BYTES`."""

WAL_LIMIT_BYTES: Final = 64 * MIB
"""A WAL that is longer, since readers kept it from starting anew, is cut with a short wait for them."""

BUSY_SECONDS: Final = 5.0
"""How long to wait for another process's transaction before the queue counts as unavailable."""

OFFSET_BITS: Final = 48
"""A record's key is `partition << 48 | offset`: one b-tree, in which each partition is a range, and no second index."""

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- Offsets [start, next) are kept. *_bytes: record bytes before `start` and before `next`, since the queue was made.
CREATE TABLE partitions (partition INTEGER PRIMARY KEY, start INTEGER NOT NULL, next INTEGER NOT NULL,
    start_bytes INTEGER NOT NULL, next_bytes INTEGER NOT NULL);
-- end_bytes counts record bytes of the partition up to and with this record: lag and loss in bytes are differences.
CREATE TABLE records (key INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, end_bytes INTEGER NOT NULL,
    value BLOB NOT NULL);
CREATE TABLE positions (consumer TEXT, partition INTEGER, position INTEGER NOT NULL,
    PRIMARY KEY (consumer, partition)) WITHOUT ROWID;
-- What retention deleted before the group had committed it. The group '' stands for "no group was registered".
CREATE TABLE losses (consumer TEXT, partition INTEGER, records INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (consumer, partition)) WITHOUT ROWID;
"""
# The last two mean a table that is not as this module made it.
_DAMAGED: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR}
)
_POLL_MS: Final = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """One partition's row: offsets `[start, next)` are kept, and bytes are counted since the queue was made."""

    partition: int
    start: int
    next: int
    start_bytes: int
    next_bytes: int


class Database:
    """One connection, and the facts of the file that do not change.

    Not for two threads at once. Every method may raise `sqlite3.Error`: callers wrap their work in `translated`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, queue_id: str, partitions: int) -> None:
        self.path = path
        self.connection = connection
        self.queue_id = queue_id
        self.partitions = partitions
        self._file = _identity(path)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end of the block, rolled back on an error."""
        _begin_immediate(self.connection)
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One read transaction. Keep it short: the WAL grows while it is open."""
        self.connection.execute("BEGIN")
        try:
            yield self.connection
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def check_in_place(self) -> None:
        """Make sure that the path still leads to the open file.

        Raises:
            FatalError: It was removed or replaced: records written now could never be read.
        """
        if _identity(self.path) != self._file:
            raise FatalError(f"queue {self.path} was removed or replaced while open")

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self.connection.close()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors and the file system's into the project's.

    Raises:
        FatalError: The file is damaged, or is no queue; the message names it.
        QueueUnavailableError: No space, I/O error, busy: the same call may work later.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a mistake in this package
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise FatalError(f"queue {path} is damaged: {error}") from error
        raise QueueUnavailableError(f"queue {path}: {error}") from error
    except OSError as error:
        raise QueueUnavailableError(f"queue {path}: {error}") from error


def open_database(options: SqliteOptions, *, durable: bool) -> Database:
    """Open the queue's file, making it first if it is not there.

    Args:
        options: Of `options`, `partitions` and `groups` matter for a new file, and `partitions` must match an old one.
        durable: Whether each commit waits for the disk. Not needed for positions, which may be lost in a power cut.

    Raises:
        SettingsError: The file has another number of partitions than `options` asks for.
        FormatError: The file is a queue of an unknown version.
        FatalError: The file is damaged, or is no queue.
        QueueUnavailableError: It cannot be opened now.
    """
    with translated(options.path):
        options.path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(options.path, durable=durable)
        try:
            facts = _facts(connection, options)
            return Database(options.path, connection, queue_id=facts[0], partitions=facts[1])
        except BaseException:
            connection.close()
            raise


def bounds(connection: sqlite3.Connection) -> dict[int, Bounds]:
    """All partitions' rows."""
    rows = connection.execute("SELECT partition, start, next, start_bytes, next_bytes FROM partitions")
    return {row[0]: Bounds(*row) for row in rows}


def key(partition: int, offset: int) -> int:
    """The key of a record."""
    return partition << OFFSET_BITS | offset


def _connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    # The thread that opens is not the one that works; no two use it at once.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if not connection.execute("PRAGMA page_count").fetchone()[0]:
            # Fixed by the first write into a new file; the second one would write into an old one at each open.
            _patiently(connection, f"PRAGMA page_size={PAGE_BYTES}")
            _patiently(connection, "PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={'FULL' if durable else 'NORMAL'}",
            f"wal_autocheckpoint={CHECKPOINT_BYTES // PAGE_BYTES}",
            f"journal_size_limit={WAL_LIMIT_BYTES}",
            "secure_delete=OFF",  # on in some builds: every deleted record would be written once more, as zeros
            f"cache_size=-{2 * MIB // KIB}",
        ):
            _patiently(connection, f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _facts(connection: sqlite3.Connection, options: SqliteOptions) -> tuple[str, int]:
    """Queue id and number of partitions, after making the tables if they are not there."""
    _begin_immediate(connection)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            _create(connection, options)
        facts = _read_facts(connection, options)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return facts


def _create(connection: sqlite3.Connection, options: SqliteOptions) -> None:
    partitions = options.partitions or DEFAULT_PARTITIONS
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("format", FORMAT), ("queue_id", uuid.uuid4().hex), ("partitions", partitions)],
    )
    connection.executemany("INSERT INTO partitions VALUES (?, 0, 0, 0, 0)", [(number,) for number in range(partitions)])
    for group in options.groups:
        register(connection, group)


def register(connection: sqlite3.Connection, group: str) -> None:
    """Register a consumer group at the oldest records kept; nothing changes for one that is there."""
    connection.execute("INSERT OR IGNORE INTO positions SELECT ?, partition, start FROM partitions", (group,))


def _read_facts(connection: sqlite3.Connection, options: SqliteOptions) -> tuple[str, int]:
    try:
        facts = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    except sqlite3.OperationalError as error:
        raise FatalError(f"{options.path} is an SQLite file, but no queue: {error}") from error
    if facts.get("format") != FORMAT:
        raise FormatError(f"queue {options.path} has format {facts.get('format')!r}; known here is {FORMAT}")
    if options.partitions not in {None, facts["partitions"]}:
        raise SettingsError(
            f"QUEUE_URL: partitions={options.partitions}, but {options.path} has {facts['partitions']}, for good"
        )
    return facts["queue_id"], facts["partitions"]


def _begin_immediate(connection: sqlite3.Connection) -> None:
    """Start a write transaction, trying each millisecond.

    SQLite's own waiting sleeps up to 100 ms between tries, and could for long miss the gaps between the transactions of
    a busy producer.
    """
    connection.execute(f"PRAGMA busy_timeout={_POLL_MS}")
    try:
        _patiently(connection, "BEGIN IMMEDIATE")
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute, and again while another process is in the way: some statements do not wait by themselves."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
