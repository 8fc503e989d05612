"""How the bytes of one run become chunks: as they are, cut where the app changes (the controller's), or by rules."""

from collections import deque

from fluentd.chunks.appcut import AppCutter, is_controller
from fluentd.chunks.outgoing import Outgoing, send_on
from fluentd.chunks.ruling import Ruling
from fluentd.chunks.surroundings import Surroundings
from fluentd.files.discovery import Place
from fluentd.files.identity import Identities
from fluentd.files.openfile import OpenFile
from fluentd.files.source import Source
from fluentd.files.tail import Look
from pipeline.chunk import Flag, Origin

_ORIGIN_SECONDS = 2.0  # how old the labels of a line may be; asking for each chunk costs more than a small chunk


class Sending:
    """See the module.

    Args:
        place: Where the run's files are.
        restart: Its restart number.
        identities: Its sources.
        around: See `Surroundings`.
    """

    def __init__(self, *, place: Place, restart: int, identities: Identities, around: Surroundings) -> None:
        self._place, self._restart, self._identities, self._around = place, restart, identities, around
        # The controller's only: what one look at it gave, a chunk for each change of the app.
        self._cutter = AppCutter(identities) if is_controller(place, namespace=around.platform) else None
        self._ready: deque[Outgoing] = deque()
        self._ruling = Ruling(around.rules) if around.rules is not None else None
        self._origin: Origin | None = None
        self._origin_at = 0.0

    @property
    def waits_from_ns(self) -> int:
        """See `Ruling`."""
        return self._ruling.waits_from_ns if self._ruling is not None else 0

    def next_ready(self) -> Outgoing | None:
        """A chunk that is made already. Called at the beginning of each look."""
        if self._ruling is not None:
            self._ruling.waits_from_ns = 0
        return self._ready.popleft() if self._ready else None

    def begin(self, source: Source) -> None:
        """A file got its name."""
        if self._ruling is not None:
            self._ruling.inherit(source, self._identities)

    def send(
        self, file: OpenFile, source: Source, seen: Look, *, now: float, ended: bool = True, flags: Flag = Flag.NONE
    ) -> Outgoing | None:
        """Make a chunk of the next bytes of a file; `None` when all of them wait for what follows.

        Args:
            file: The file.
            source: Its identity; its position is where the bytes begin.
            seen: The bytes.
            now: Monotonic seconds.
            ended: Whether nothing more is to be expected in the file.
            flags: `Flag.FINAL` when nothing will follow.
        """
        origin = self.whose(now=now)
        outgoing: Outgoing | None
        if self._cutter is not None:
            hiding = None if self._ruling is None else self._ruling.hiding(file, source, seen, ended=ended, now=now)
            several, malformed = self._cutter.send_on(
                source, seen.data, origin=origin, converter=file.converter, flags=flags, hiding=hiding
            )
            outgoing = several[0] if several else None
            self._ready.extend(several[1:])
        elif self._ruling is not None and self._ruling.concerns(source):
            outgoing, malformed = self._ruling.send_on(
                file, source, seen, origin=origin, flags=flags, ended=ended, now=now
            )
        else:
            outgoing, malformed = send_on(source, seen.data, origin=origin, converter=file.converter, flags=flags)
        if malformed:
            self._around.tally.malformed(malformed)
        return outgoing

    def whose(self, *, now: float) -> Origin:
        """Whose lines they are."""
        if self._origin is None or now - self._origin_at >= _ORIGIN_SECONDS:
            self._origin = self._around.origin(self._place, self._restart)
            self._origin_at = now
            if self._ruling is not None and self._around.rules is not None:
                book, for_all = self._around.rules, self._cutter is not None
                self._ruling.rules = (book.of_platform if for_all else book.of)(self._place, self._origin)
        return self._origin
