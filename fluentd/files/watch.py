"""inotify: which directories changed. One instance, directories only; a hint, behind which a rescan stands."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog
from asyncinotify import Event, Inotify, Mask, Watch

log = structlog.get_logger()

_NAMES = Mask.CREATE | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE | Mask.ONLYDIR | Mask.DONT_FOLLOW
_EVENTS_AT_ONCE = 256


class DirectoryWatch:
    """Tells which directories changed since it was asked last.

    Args:
        wake: Called when there is something to ask for.
        overflowed: Called when the kernel dropped events.

    Attributes:
        names: Directories in which files or directories came or went.
        writes: Armed directories in which files were written to.
        blind: Whether events are missing: no inotify, or too few watches. Then only rescans find what is new.
        stale: Whether events were dropped since; the owner resets it when it has looked at everything.
    """

    def __init__(self, *, wake: Callable[[], None], overflowed: Callable[[], None]) -> None:
        self._wake, self._overflowed = wake, overflowed
        self._watches: dict[str, tuple[Watch, Mask]] = {}
        self.names: set[str] = set()
        self.writes: set[str] = set()
        self.blind = False
        self.stale = False
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify(cache_size=_EVENTS_AT_ONCE, sync_timeout=0)
        except OSError as error:
            self.blind = True
            log.warning("no inotify, rescans alone find new lines", error=str(error))
            return
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._read)

    def knows(self, path: str) -> bool:
        """Whether the directory is watched."""
        return path in self._watches

    def watch(self, path: str, *, writes: bool) -> bool:
        """Watch a directory for names, and for writes too if it is quiet; events of a busy one would only cost.

        Args:
            path: The directory.
            writes: Whether to be told of writes.

        Returns:
            Whether more is watched than before: what happened before made no event.
        """
        mask = _NAMES | Mask.MODIFY if writes else _NAMES
        known = self._watches.get(path)
        if self._inotify is None or (known is not None and known[1] == mask):
            return False
        try:
            self._watches[path] = (self._inotify.add_watch(path, mask), mask)
        except FileNotFoundError:
            self._watches.pop(path, None)
        except OSError as error:
            if not self.blind:
                log.warning("cannot watch a directory, rescans find what is new", path=path, error=str(error))
            self.blind = True
        else:
            return writes or known is None
        return False

    def keep_only(self, paths: set[str]) -> None:
        """Forget the watches of other directories."""
        for path in self._watches.keys() - paths:
            watch, _ = self._watches.pop(path)
            if self._inotify is not None:
                with suppress(OSError):  # the kernel drops a watch by itself when its directory is gone
                    self._inotify.rm_watch(watch)

    def _read(self) -> None:
        if self._inotify is None:
            return
        while (event := self._inotify.sync_get()) is not None:
            self._note(event)
        self._wake()

    def _note(self, event: Event) -> None:
        if Mask.Q_OVERFLOW in event.mask:
            self.stale = True
            self._overflowed()
        watch = event.watch
        if watch is None:
            return
        path = str(watch.path)
        if Mask.IGNORED in event.mask:
            known = self._watches.get(path)
            if known is not None and known[0] is watch:
                del self._watches[path]
        elif Mask.MODIFY in event.mask:
            self.writes.add(path)
        else:
            self.names.add(path)

    def take(self) -> tuple[set[str], set[str]]:
        """Names and writes since the last call."""
        taken = self.names, self.writes
        self.names, self.writes = set(), set()
        return taken

    def close(self) -> None:
        """Give back the descriptor."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None
