"""Records that are no packs, kept aside for a person to look at, and for `python -m logger replay`."""

from pathlib import Path
from typing import Final, Protocol

import structlog

from pipeline.limits import MIB
from pipeline.queue import Record

log = structlog.get_logger()

LIMIT_BYTES: Final = 64 * MIB
LIMIT_FILES: Final = 10_000
"""Most that is kept: someone who floods the queue with rubbish must not fill the disk."""


class KeepsBadRecords(Protocol):
    """Where records go that are no packs. One caller at a time."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of records that `keep` has taken and `settle` has not made durable."""

    def forget(self, shard: int) -> None:
        """Drop what waits of a shard: whoever owns it next reads it again from its committed position on."""

    def keep(self, record: Record, reason: str) -> bool:
        """Take a record; blocks. False when it cannot be kept, which the caller counts."""

    async def settle(self) -> None:
        """Return when everything taken is durable, or counted as dropped: before a position moves past it.

        Raises:
            QueueUnavailableError: Not now; call again before the position is committed.
        """

    async def close(self) -> None:
        """Give back files and sockets."""


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

    def forget(self, shard: int) -> None:
        """Nothing: a record that comes again is written over itself."""

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

    @property
    def waiting_bytes(self) -> int:
        """None: `keep` writes at once."""
        return 0

    async def settle(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        """Nothing is open."""

    def _held(self) -> dict[str, int]:
        """Size of each file; the folder is listed once, since nobody else adds to it."""
        if self._sizes is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sizes = {entry.name: entry.stat().st_size for entry in self._folder.iterdir()}
        return self._sizes

    def _has_room(self, sizes: dict[str, int], more_bytes: int) -> bool:
        return len(sizes) < self._limit_files and sum(sizes.values()) + more_bytes <= self._limit_bytes
