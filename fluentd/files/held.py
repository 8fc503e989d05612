"""The files of one run that are held open, in the order in which they are read, and those that are done with."""

from collections.abc import Iterator, Sequence

from fluentd.files.content import open_content
from fluentd.files.discovery import FoundFile, Inode
from fluentd.files.identity import Identities
from fluentd.files.openfile import OpenFile
from fluentd.files.source import Source


class HeldFiles:
    """See the module.

    Attributes:
        queue: Read one after the other, oldest first.
        late: Read beside the queue: drained files that are watched for a while, copies, what came out of order.
        unopened: Why a file of the last listing could not be opened; empty when all could.
    """

    def __init__(self) -> None:
        self.queue: list[OpenFile] = []
        self.late: list[OpenFile] = []
        self.unopened = ""
        self._missed = False
        self._shut: dict[Inode, tuple[tuple[int, int, int], Source | None]] = {}

    def __iter__(self) -> Iterator[OpenFile]:
        return iter(self.late + self.queue)

    @property
    def incomplete(self) -> bool:
        """Whether a file of the last listing is not held: it could not be opened, or was gone or renamed by then."""
        return bool(self.unopened) or self._missed

    @property
    def waits_for_bytes(self) -> bool:
        """Whether more may come here, or there is something that cannot be read."""
        return bool(self.queue or self.late or self.unopened or self._missed)

    @property
    def over(self) -> bool:
        """Whether nothing is left, not even the name of a file that is done with."""
        return not self.waits_for_bytes and not self._shut

    def sources(self) -> set[int]:
        """`id()` of the sources that have a file, open or done with."""
        return {id(file.source) for file in self} | {id(source) for _, source in self._shut.values()}

    def close(self) -> None:
        """Give back all descriptors."""
        for file in self:
            file.content.close()
        self.queue.clear()
        self.late.clear()

    def update(self, found: Sequence[FoundFile], *, now: float) -> None:
        """Take in a listing of the run's files, oldest first.

        A file is opened at once, so that its deletion loses nothing. One that has a rotated name but was not seen
        before, beside a live file that has its turn already, is a copy or out of order: it is read beside the others.
        """
        held = {file.content.inode: file for file in self}
        overtaken = any(one.live and one.inode in held and held[one.inode].source is not None for one in found)
        self.unopened, self._missed = "", False
        for one in found:
            if (file := held.get(one.inode)) is not None:
                file.live = one.live
            elif one.inode not in self._shut or self._shut[one.inode][0] != one.stamp:
                self._open(one, self.late if overtaken and not one.live else self.queue, now=now)
        self.order(found)
        present = {one.inode for one in found}
        self._shut = {inode: state for inode, state in self._shut.items() if inode in present}

    def order(self, found: Sequence[FoundFile]) -> None:
        """Give files whose turn has not come the order of a listing; one that is gone stays behind its neighbour."""
        ranks = {one.inode: rank for rank, one in enumerate(found)}
        keys: list[tuple[bool, int]] = []
        for file in self.queue:
            rank = ranks.get(file.content.inode, keys[-1][1] if keys else -1)
            keys.append((file.source is None, rank))
        self.queue[:] = [self.queue[index] for index in sorted(range(len(keys)), key=keys.__getitem__)]

    def _open(self, one: FoundFile, line: list[OpenFile], *, now: float) -> None:
        try:
            content = open_content(one)
        except FileNotFoundError:
            content = None
        except OSError as error:
            self.unopened = f"{one.path}: {error.strerror}"
            return
        if content is None:
            self._missed = True  # deleted, or renamed since it was listed: the next listing tells
        else:
            self._shut.pop(one.inode, None)
            line.append(OpenFile(content, one.live, one.linked, now))

    def regrow(self, file: OpenFile, source: Source, line: list[OpenFile], *, now: float) -> int:
        """Begin anew with a file of `line` that was truncated; returns where in it what comes of that begins."""
        # What has no name yet beside it may be a copy of what came between, if it was truncated more than once.
        between = [other for other in self.late if other.source is None and line is self.queue]
        self.late[:] = [other for other in self.late if other not in between]
        at = line.index(file)
        line[at : at + 1] = [*between, OpenFile(file.content, file.live, file.linked, now, regrown=source)]
        return at

    def find_copy(
        self, file: OpenFile, source: Source, found: Sequence[FoundFile], *, identities: Identities, now: float
    ) -> OpenFile | None:
        """Open the copy in which `source`, which `file` was before it was truncated, goes on; `None` without one."""
        held = {other.content.inode for other in self if other.source is not None}
        for one in found:
            if one.live or one.inode in held:
                continue
            try:
                content = open_content(one)
            except OSError:
                continue
            if content is None:
                continue
            if identities.copied_in(source, content):
                return OpenFile(content, one.live, one.linked, now, source, file.head, copy=True)
            content.close()
        return None

    def shut(self, file: OpenFile, source: Source | None) -> None:
        """Close a file that is done with, and remember which it was for as long as it is listed unchanged."""
        if not file.content.deleted():
            self._shut[file.content.inode] = (file.content.stamp(), source)
        file.content.close()
