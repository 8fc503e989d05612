"""Where things go: data to stdout, in large writes; words to stderr."""

import asyncio
import errno
import os
import select
import stat
import sys
from collections.abc import Mapping
from typing import Final

from deis_logs.safe import visible
from pipeline.limits import KIB

STDOUT: Final = 1
_WRITE_BYTES: Final = 256 * KIB
_GONE: Final = frozenset({errno.EPIPE, errno.EBADF, errno.ECONNRESET})


class ReaderGoneError(Exception):
    """Nobody reads stdout any more: not this command's failure, and nothing to talk about."""


class Stdout:
    """Standard output, unbuffered below this class: what is flushed is out.

    Writing blocks when the reader is slow, and so does the reading of the answer: the backpressure is the point.
    """

    def __init__(self, fd: int = STDOUT) -> None:
        self._fd = fd
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def fd(self) -> int:
        """The file descriptor."""
        return self._fd

    def write(self, data: bytes) -> None:
        """Take `data`; it is out at the latest after `flush`.

        Raises:
            ReaderGoneError: The pipe is closed.
            OSError: The file cannot take it.
        """
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes >= _WRITE_BYTES:
                self.flush()

    def flush(self) -> None:
        """Write what waits. Raises what `write` does."""
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
        while data:
            data = data[self._write_some(data) :]

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # somebody made the terminal or pipe non-blocking: wait until it takes more
            select.select([], [self._fd], [])
            return 0
        except OSError as error:
            if error.errno in _GONE:
                raise ReaderGoneError from error
            raise


async def reader_gone(fd: int) -> None:
    """Wait until nobody reads the pipe `fd` any more; for ever when it is no pipe.

    A follow of a quiet app would otherwise notice at its next line only.

    Raises:
        ReaderGoneError: It has happened.
    """
    gone = asyncio.Event()
    if not _is_pipe(fd):
        await gone.wait()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, gone.set)  # a pipe's writing end becomes "readable" with its error, and never else
    try:
        await gone.wait()
    finally:
        loop.remove_reader(fd)
    raise ReaderGoneError


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def note(words: str, *, program: str = "deis-logs") -> None:
    """Say something to the person, on stderr."""
    try:
        sys.stderr.write(f"{program}: {visible(words)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # stderr is closed: nobody to tell
        return


def use_colour(choice: str, env: Mapping[str, str], *, terminal: bool) -> bool:
    """Decide on colour: `always` and `never` as they say; `auto` on a terminal, unless `NO_COLOR` or `TERM=dumb`."""
    if choice != "auto":
        return choice == "always"
    return terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def is_terminal(fd: int) -> bool:
    """Whether `fd` is open and a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False
