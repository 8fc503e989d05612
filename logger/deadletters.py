"""Records that are no packs, kept aside for a person to look at."""

from pathlib import Path
from typing import Final

import structlog

from pipeline.limits import MIB
from pipeline.queue import Record

log = structlog.get_logger()

LIMIT_BYTES: Final = 64 * MIB
LIMIT_FILES: Final = 10_000
"""Most that is kept: someone who floods the queue with rubbish must not fill the disk."""


class DeadLetters:
    """A folder of bad records, one file each, named by partition and offset: a replay writes the same file again.

    Args:
        folder: Made when the first record comes.
        limit_bytes: Most bytes that the folder may hold,
        limit_files: and most files.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES, limit_files: int = LIMIT_FILES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._limit_files = limit_files
        self._sizes: dict[str, int] | None = None

    def keep(self, record: Record, reason: str) -> bool:
        """Write a record to the folder; blocks. False when there is no room, which the caller counts."""
        name = f"{record.partition}-{record.offset}.record"
        try:
            sizes = self._held()
            if name not in sizes and not self._has_room(sizes, len(record.value)):
                return False
            (self._folder / name).write_bytes(record.value)
        except OSError as error:
            log.warning("bad record not kept", partition=record.partition, offset=record.offset, error=str(error))
            return False
        sizes[name] = len(record.value)
        log.warning("bad record kept aside", partition=record.partition, offset=record.offset, reason=reason)
        return True

    def _held(self) -> dict[str, int]:
        """Size of each file; the folder is listed once, since nobody else adds to it."""
        if self._sizes is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sizes = {entry.name: entry.stat().st_size for entry in self._folder.iterdir()}
        return self._sizes

    def _has_room(self, sizes: dict[str, int], more_bytes: int) -> bool:
        return len(sizes) < self._limit_files and sum(sizes.values()) + more_bytes <= self._limit_bytes
