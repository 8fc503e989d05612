"""The table as readers see it: pinned snapshots, and rows of files."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa

from logger.table.deltalog import LogFollower
from logger.table.readfile import FileReader
from logger.table.snapshot import FileEntry, Snapshot
from logger.table.view import View
from logger.table.writer import ATTEMPTS
from pipeline.errors import FormatError, StoreUnavailableError
from pipeline.store import GoneError, Store, open_store


class TableReader:
    """A handle for reading, with pinned snapshots. Methods block, and are safe to call from many threads."""

    def __init__(self, store: Store, *, queue_id: str) -> None:
        self._store = store
        self._queue_id = queue_id
        self._lock = threading.Lock()
        self._view = View(store, queue_id)
        self._files = FileReader(store)
        self._log = LogFollower(store)
        self._looked = -math.inf
        self._failure: StoreUnavailableError | None = None
        self.refresh()

    @classmethod
    def open(cls, store_url: str, *, queue_id: str, cache: Path | None = None, cache_bytes: int = 0) -> Self:
        """Open the table for reading; one that is not there yet reads as empty, at version -1.

        Args:
            store_url: See `pipeline.store.open_store`.
            queue_id: The queue that a snapshot's positions refer to.
            cache: Folder for what was read from a bucket; `None` for no cache.
            cache_bytes: Most bytes of it.

        Raises:
            SettingsError: The URL is of no known kind.
            StoreUnavailableError: The storage fails.
        """
        return cls(open_store(store_url, cache=cache, cache_bytes=cache_bytes), queue_id=queue_id)

    @property
    def queue_id(self) -> str:
        """The queue that a snapshot's positions refer to."""
        return self._queue_id

    @property
    def snapshot(self) -> Snapshot:
        """The table as `refresh` saw it last."""
        return self._view.snapshot

    def refresh(self) -> Snapshot:
        """Look for a newer version. Costs one small read when there is none.

        Raises:
            StoreUnavailableError: The storage fails.
        """
        asked = time.monotonic()
        with self._lock:
            if self._looked <= asked:
                self._looked = time.monotonic()
                self._failure = None
                try:
                    return self._look()
                except StoreUnavailableError as error:
                    self._failure = error
                    raise
            # Another has looked since: many queries at once share one look, and one wait for storage that is away.
            if self._failure is not None:
                raise StoreUnavailableError(str(self._failure)) from self._failure
            return self._view.snapshot

    def _look(self) -> Snapshot:
        state = self._log.advance()
        for _ in range(ATTEMPTS):
            try:
                return self._view.at(state, gone_is_damage=False)
            except GoneError:
                # Mostly a file that was taken out of the table and swept since: the log knows by now.
                before, state = state, self._log.advance()
                if state is before:
                    return self._view.at(state)
        raise StoreUnavailableError("files are taken out of the table faster than they can be looked at")

    def read(self, entry: FileEntry, *, start: int, count: int, columns: Sequence[str]) -> pa.Table:
        """See `logger.table.readfile.FileReader.read`; to a query, a damaged file is storage that does not answer."""
        with _unavailable():
            return self._files.read(entry, start=start, count=count, columns=columns)

    def row_group_ends(self, entry: FileEntry) -> list[int]:
        """See `logger.table.readfile.FileReader.row_group_ends`; damage as in `read`."""
        with _unavailable():
            return self._files.row_group_ends(entry)


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        raise StoreUnavailableError(f"some lines cannot be read: {error}") from error
