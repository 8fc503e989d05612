"""An open log file, plain or gzip: its bytes at an offset.

A file is held open from the moment it is found until it is read to its end, so that a deletion loses nothing and its
inode cannot be reused meanwhile.
"""

import gzip
import os
import zlib
from typing import Protocol

from fluentd.files.discovery import FoundFile, Inode, stamp_of
from pipeline.limits import KIB

_FILL_BYTES = 64 * KIB
# O_NONBLOCK: a pipe in place of the file must not hang the agent. O_NOFOLLOW: links were resolved before, and checked.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class Content(Protocol):
    """What a file holds, from the view of whoever reads lines."""

    @property
    def inode(self) -> Inode:
        """Which file this is."""

    @property
    def complete(self) -> bool:
        """Whether nobody writes to it any more, by its nature."""

    @property
    def damaged(self) -> bool:
        """Whether it was seen to end, or to stop making sense, in the middle; what came before is used."""

    def read_at(self, start: int, size: int) -> bytes:
        """Bytes `[start, start + size)`, fewer at the end.

        Raises:
            OSError: The file cannot be read.
        """

    def size(self) -> int:
        """Bytes known to be there; of a gzip file, what its trailer says (modulo 2 to the 32)."""

    def deleted(self) -> bool:
        """Whether the file has no name any more."""

    def stamp(self) -> tuple[int, int, int]:
        """See `FoundFile.stamp`."""

    def close(self) -> None:
        """Give back the descriptor."""


class PlainContent:
    """A file as it is."""

    complete = False
    damaged = False

    def __init__(self, descriptor: int, inode: Inode) -> None:
        self._descriptor = descriptor
        self.inode = inode

    def read_at(self, start: int, size: int) -> bytes:
        """See `Content.read_at`."""
        return os.pread(self._descriptor, size, start)

    def size(self) -> int:
        """See `Content.size`."""
        return os.fstat(self._descriptor).st_size

    def deleted(self) -> bool:
        """See `Content.deleted`."""
        return os.fstat(self._descriptor).st_nlink == 0

    def stamp(self) -> tuple[int, int, int]:
        """See `Content.stamp`."""
        return stamp_of(os.fstat(self._descriptor))

    def close(self) -> None:
        """See `Content.close`."""
        os.close(self._descriptor)


class GzipContent:
    """The decompressed content of a gzip file, read forward; going back by more than the last read starts anew."""

    complete = True

    def __init__(self, descriptor: int, inode: Inode) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._unzip = gzip.GzipFile(fileobj=self._file, mode="rb")
        self._start = 0
        self._window = b""
        self.inode = inode
        self.damaged = False

    def read_at(self, start: int, size: int) -> bytes:
        """See `Content.read_at`; damage is taken for the end."""
        if start < self._start:
            self._unzip.seek(0)
            self._start, self._window = 0, b""
        self._drop_before(start)
        while len(self._window) < size and (more := self._more(size - len(self._window))):
            self._window += more
            self._drop_before(start)
        return self._window[:size] if start == self._start else b""

    def _more(self, size: int) -> bytes:
        try:
            return self._unzip.read(max(size, _FILL_BYTES))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.damaged = True
            return b""

    def _drop_before(self, start: int) -> None:
        drop = min(start - self._start, len(self._window))
        self._window = self._window[drop:]
        self._start += drop

    def size(self) -> int:
        """See `Content.size`."""
        stored = os.fstat(self._file.fileno()).st_size
        return int.from_bytes(os.pread(self._file.fileno(), 4, max(0, stored - 4)), "little")

    def deleted(self) -> bool:
        """See `Content.deleted`."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def stamp(self) -> tuple[int, int, int]:
        """See `Content.stamp`."""
        return stamp_of(os.fstat(self._file.fileno()))

    def close(self) -> None:
        """See `Content.close`."""
        self._unzip.close()
        self._file.close()


def open_content(found: FoundFile) -> Content | None:
    """Open a file that discovery found; `None` when another file has its name by now.

    Raises:
        OSError: It cannot be opened (`FileNotFoundError`: it is gone).
    """
    descriptor = os.open(found.path, _FLAGS)
    facts = os.fstat(descriptor)
    if Inode(facts.st_dev, facts.st_ino) != found.inode:
        os.close(descriptor)
        return None
    return (GzipContent if found.gzip else PlainContent)(descriptor, found.inode)
