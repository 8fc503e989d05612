"""Records that are no packs, kept aside for a person to look at."""

from pathlib import Path
from typing import Final

import structlog

from pipeline.limits import MIB
from pipeline.queue import Record

log = structlog.get_logger()

LIMIT_BYTES: Final = 64 * MIB
"""Most that is kept: someone who floods the queue with rubbish must not fill the disk."""


class DeadLetters:
    """A folder of bad records, one file each, named by partition and offset: a replay writes the same file again.

    Args:
        folder: Made when the first record comes.
        limit_bytes: Most that the folder may hold.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def keep(self, record: Record, reason: str) -> bool:
        """Write a record to the folder; blocks. False when there is no room, which the caller counts."""
        path = self._folder / f"{record.partition}-{record.offset}.record"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = sum(entry.stat().st_size for entry in self._folder.iterdir() if entry != path)
            if held + len(record.value) > self._limit_bytes:
                return False
            path.write_bytes(record.value)
        except OSError as error:
            log.warning("bad record not kept", partition=record.partition, offset=record.offset, error=str(error))
            return False
        log.warning("bad record kept aside", partition=record.partition, offset=record.offset, reason=reason)
        return True
