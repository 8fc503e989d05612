"""Where an export writes: a file beside which its place is kept, or stdout."""

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO, Final, Protocol, Self

import msgspec

from deis_logs.errors import CliError, UsageError
from deis_logs.output import Stdout
from deis_logs.query import Parameters
from deis_logs.record import Place, Record, read_record, resume_path, save_record, sync_folder
from pipeline.limits import MIB

_SPOOL_BYTES: Final = 32 * MIB
_COPY_BYTES: Final = MIB


class Destination(Protocol):
    """Takes the bytes of an export page by page."""

    @property
    def place(self) -> Place:
        """Where the export goes on."""

    @property
    def size_bytes(self) -> int:
        """Bytes taken, committed or not."""

    def rewind(self, place: Place) -> None:
        """Forget what was taken after `place`, which is the one committed last."""

    def write(self, data: bytes) -> None:
        """Take bytes."""

    def commit(self, place: Place) -> None:
        """Make everything taken durable, and then `place`."""

    def finish(self) -> None:
        """Make everything durable; the export is complete."""


class StdoutDestination:
    """Standard output, which cannot be rewound: a page is kept until it is complete, a large one in a file."""

    def __init__(self, stdout: Stdout) -> None:
        self._stdout = stdout
        self._page: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - closed in close
        self._sent_bytes = 0

    @property
    def place(self) -> Place:
        """The beginning."""
        return Place()

    @property
    def size_bytes(self) -> int:
        """See `Destination.size_bytes`."""
        return self._sent_bytes + self._page.tell()

    def rewind(self, place: Place) -> None:
        """See `Destination.rewind`."""
        del place  # the page begins there
        self._page.seek(0)
        self._page.truncate()

    def write(self, data: bytes) -> None:
        """See `Destination.write`."""
        self._page.write(data)

    def commit(self, place: Place) -> None:
        """Send the page."""
        self._sent_bytes += self._page.tell()
        self._page.seek(0)
        while data := self._page.read(_COPY_BYTES):
            self._stdout.write(data)
        self._stdout.flush()
        self.rewind(place)

    def finish(self) -> None:
        """See `Destination.finish`."""
        self.commit(self.place)

    def close(self) -> None:
        """Give back the page's memory or file."""
        self._page.close()


class FileDestination:
    """A file, and `FILE.resume` beside it until the export is complete.

    Args:
        path: The file.
        record: What is exported and where to go on; as read from `FILE.resume`, or new.
    """

    def __init__(self, path: Path, record: Record, file: IO[bytes]) -> None:
        self._path = path
        self._record = record
        self._file = file
        self._finished = False

    @classmethod
    def create(cls, path: Path, record: Record) -> Self:
        """Begin an export into a new file; nothing is overwritten.

        Raises:
            UsageError: The file is there.
            CliError: An unfinished export of that name is there.
        """
        if os.path.lexists(path) or resume_path(path).exists():
            raise UsageError(f"{path} exists: --resume goes on with an unfinished export, else choose another name")
        return cls._begin(path, record)

    @classmethod
    def resume(cls, path: Path, record: Record) -> Self:
        """Go on with the export that `FILE.resume` describes; begins it when there is no such file.

        Raises:
            UsageError: There is nothing to resume, or it is another export than `record` describes.
            CliError: The files do not fit together, or another process is writing them.
        """
        if not path.exists():
            return cls._begin(path, _checked(read_record(resume_path(path)) or record, record, path))
        file = _open_locked(path, os.O_RDWR)
        try:  # what the record says counts only once no other process can change it
            known = _checked(read_record(resume_path(path)), record, path, size_bytes=os.fstat(file.fileno()).st_size)
            return cls(path, known, file)
        except BaseException:
            file.close()
            raise

    @classmethod
    def _begin(cls, path: Path, record: Record) -> Self:
        save_record(path, _checked(record, record, path))  # first: a file without it is one that is complete
        return cls(path, record, _open_locked(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    @property
    def parameters(self) -> Parameters:
        """The parameters of the export, as they were at its first start."""
        return list(self._record.parameters)

    @property
    def place(self) -> Place:
        """See `Destination.place`."""
        return self._record.place

    @property
    def size_bytes(self) -> int:
        """See `Destination.size_bytes`."""
        return self._file.tell()

    def rewind(self, place: Place) -> None:
        """See `Destination.rewind`."""
        self._file.seek(place.size_bytes)
        self._file.truncate()

    def write(self, data: bytes) -> None:
        """See `Destination.write`."""
        self._file.write(data)

    def commit(self, place: Place) -> None:
        """See `Destination.commit`."""
        self._sync()
        self._record = msgspec.structs.replace(self._record, place=place)
        save_record(self._path, self._record)

    def finish(self) -> None:
        """Make everything durable and remove `FILE.resume`."""
        self._sync()
        resume_path(self._path).unlink()
        self._finished = True
        sync_folder(self._path)

    def close(self) -> None:
        """Give back the file; one into which nothing came is removed, so that the same command can be repeated."""
        with contextlib.suppress(OSError):  # what is buffered is not committed, and may meet a full disk
            self._file.close()
        if not self._finished and self._record.place == Place():
            self._path.unlink(missing_ok=True)  # first: a file without a record is one that is complete
            resume_path(self._path).unlink(missing_ok=True)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _open_locked(path: Path, flags: int) -> IO[bytes]:
    file = os.fdopen(os.open(path, flags | os.O_CLOEXEC, 0o600), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise CliError(f"{path} is being written by another export") from error
    return file


def _checked(known: Record | None, asked: Record, path: Path, *, size_bytes: int = 0) -> Record:
    """Return `known` if it is the export that is asked for, and a file of `size_bytes` has all that it tells of."""
    if known is None:
        raise UsageError(f"{path} has no {resume_path(path).name} beside it: it is complete, or no export")
    for name in sorted({*known.typed, *asked.typed}):
        before, now = known.typed.get(name, ""), asked.typed.get(name, "")
        if before != now:
            raise UsageError(f"--resume: the export in {path} was begun with {name} {before!r}, not {now!r}")
    if size_bytes < known.place.size_bytes:
        raise CliError(f"{path} is shorter than {resume_path(path).name} says: remove both and begin again")
    return known
