"""Room on the disk. A queue must not use up the last of it: to delete records and to commit positions takes some."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from pipeline.limits import MIB
from pipeline.queue.sqlite.database import PAGE_BYTES, WAL_LIMIT_BYTES, Database

TIGHT_BYTES: Final = 64 * MIB
"""With less free space than this, the WAL is copied into the file after each commit. Else what waits in the WAL could
not be copied once the disk is full, and while it cannot be, nothing is ever freed."""

MARGIN_BYTES: Final = 2 * MIB
"""Free space that records do not get: for positions and deletes."""


def lacking_bytes(database: Database, *, record_bytes: int) -> int:
    """How much more free space it takes to append `record_bytes`, 0 when there is enough.

    They are written twice, into the WAL and into the file, where free pages are used first.
    """
    lacking = 2 * record_bytes + MARGIN_BYTES - free_bytes(database.path.parent)
    if lacking > 0:
        lacking -= int(database.connection.execute("PRAGMA freelist_count").fetchone()[0]) * PAGE_BYTES
    return max(0, lacking)


def keep_wal_short(database: Database) -> None:
    """Copy the WAL into the file when the disk is almost full, or when readers kept it from starting anew for long.

    Readers are short, so one wait of 100 ms for them is enough in the end. Does nothing when it does not work.
    """
    tight = is_tight(database.path)
    if not tight and _size(database.path.with_name(database.path.name + "-wal")) < WAL_LIMIT_BYTES:
        return
    with contextlib.suppress(sqlite3.OperationalError):
        database.connection.execute("PRAGMA busy_timeout=100")
        database.connection.execute(f"PRAGMA wal_checkpoint({'PASSIVE' if tight else 'TRUNCATE'})").fetchall()


def is_tight(path: Path) -> bool:
    """Whether the disk of the queue at `path` is almost full; also when it does not say."""
    try:
        return free_bytes(path.parent) < TIGHT_BYTES
    except OSError:
        return True


def free_bytes(folder: Path) -> int:
    """Free space on the file system of `folder`, as far as this process may use it."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
