"""The bell: how a producer wakes consumers that wait, in this process and in others.

After its commit a producer sets the file's own times. That is an inotify event (`IN_ATTRIB`) that comes after the
records can be read. Writes to the WAL are no such sign: with synchronous=FULL they come before the disk has them and
before readers see them. A bell that does not ring (a crash right after the commit) costs `RECHECK_SECONDS`, never a
record.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

import structlog
from asyncinotify import Inotify, Mask

log = structlog.get_logger()

RECHECK_SECONDS: Final = 0.5
"""A waiting consumer looks again after this long even if nothing rang."""

POLL_SECONDS: Final = 0.05
"""The same, where the system gives no inotify watch."""


def ring(path: Path) -> None:
    """Wake all who wait. Never fails: who is not woken looks again."""
    with contextlib.suppress(OSError):
        os.utime(path)


class Bell:
    """Waits for `ring`, in the event loop. One waiter at a time."""

    def __init__(self, path: Path) -> None:
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify()
            self._inotify.add_watch(path, Mask.ATTRIB)
        except OSError as error:
            self.close()
            log.warning("no inotify watch on the queue, polling it", error=str(error))

    async def wait(self, seconds: float) -> None:
        """Return after a ring, one that came since the last wait included, or when it is time to look again."""
        if self._inotify is None:
            await asyncio.sleep(min(seconds, POLL_SECONDS))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, RECHECK_SECONDS)):
                await self._inotify.get()

    def close(self) -> None:
        """Give back the watch."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
