"""A bounded cache of immutable bytes on the local disk, for stores whose reads cost a round trip.

One file without a name, written as a ring: what is newest overwrites what is oldest. So it can never grow over its
bound, is gone with the process however that ends, and is never shared. A disk that fails or fills makes it forget.
"""

import os
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Hashable
from pathlib import Path

import structlog

log = structlog.get_logger()


class DiskCache:
    """Bytes by key. Safe to call from many threads.

    Args:
        folder: Where the file lies; made if it is not there.
        limit_bytes: Size of the ring.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._places: dict[Hashable, tuple[int, int]] = {}  # offset and length
        self._ring: deque[tuple[Hashable, int, int]] = deque()  # oldest first
        self._next = 0
        self._broken = False
        folder.mkdir(parents=True, exist_ok=True)
        self._file, name = tempfile.mkstemp(dir=folder)
        os.unlink(name)  # noqa: PTH108 - what mkstemp gives
        self._close = weakref.finalize(self, os.close, self._file)

    def get(self, key: Hashable) -> bytes | None:
        """What was kept under `key`; `None` when it is not there (any more)."""
        place = self._places.get(key)
        if place is None:
            return None
        offset, length = place
        try:
            data = os.pread(self._file, length, offset)
        except OSError as error:
            self._forget(error)
            return None
        with self._lock:  # whoever overwrites it takes the key away first
            whole = self._places.get(key) == place and len(data) == length
        return data if whole else None

    def keep(self, key: Hashable, data: bytes) -> None:
        """Keep `data`, which never changes, under `key`, in the place of what is oldest."""
        if len(data) > self._limit // 2 or not data:
            return
        with self._lock:
            if self._broken or key in self._places:
                return
            offset = self._make_room(len(data))
            try:
                written = os.pwrite(self._file, data, offset)
            except OSError as error:
                self._forget_locked(error)
                return
            if written == len(data):
                self._places[key] = (offset, len(data))
                self._ring.append((key, offset, len(data)))
                self._next = offset + len(data)

    def close(self) -> None:
        """Give the disk space back."""
        with self._lock:
            self._places.clear()
            self._broken = True
            self._close()

    def _make_room(self, length: int) -> int:
        offset = self._next if self._next + length <= self._limit else 0
        while self._ring:
            key, start, size = self._ring[0]
            # Entries lie in the ring's order: those behind the write position, up to the end, are the oldest.
            behind_wrap = offset < self._next and start >= self._next
            if not behind_wrap and (start + size <= offset or start >= offset + length):
                break
            self._ring.popleft()
            del self._places[key]
        return offset

    def _forget(self, error: OSError) -> None:
        with self._lock:
            self._forget_locked(error)

    def _forget_locked(self, error: OSError) -> None:
        self._places.clear()
        self._ring.clear()
        self._next = 0
        if not self._broken:
            log.warning("disk cache given up", error=str(error))
        self._broken = True
