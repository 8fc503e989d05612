"""Which source an open file is: a new one, one that is known, or a copy of one."""

from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from fluentd.files.content import Content
from fluentd.files.openfile import OpenFile
from fluentd.files.source import Known, Source, fingerprint, source_id
from pipeline.limits import FINGERPRINT_BYTES


class Match(Enum):
    """What a file turned out to be."""

    NAMED = auto()
    """A source, new or known, which is read on in this file."""
    COPY = auto()
    """It holds nothing that is not, or will not be, read elsewhere."""


class Identified(NamedTuple):
    """Which source a file is.

    Attributes:
        match: See `Match`.
        source: What it is, or is a copy of.
        overlooked: It begins like a source that is known, and is not it: it was truncated while nobody looked.
    """

    match: Match
    source: Source
    overlooked: bool = False


class Identities:
    """The sources of one run, new and old, by what their files begin with.

    Args:
        uid: Of the pod.
        container: Its name.
        restart: Restart number.
        next_ordinal: What the next new source gets.
        known: What the checkpoint says.
    """

    def __init__(
        self, *, uid: str, container: str, restart: int, next_ordinal: int = 0, known: tuple[Known, ...] = ()
    ) -> None:
        self._uid, self._container, self._restart = uid, container, restart
        self.next_ordinal = next_ordinal
        self._sources: dict[bytes, list[Source]] = {}
        for one in known:
            self._sources.setdefault(one.base, []).append(Source.restored(one))

    def __iter__(self) -> Iterator[Source]:
        return (source for sources in self._sources.values() for source in sources)

    def __len__(self) -> int:
        return len(self._sources)

    def forget(self, source: Source) -> None:
        """No file of `source` is there any more."""
        rest = [other for other in self._sources[source.base] if other is not source]
        if rest:
            self._sources[source.base] = rest
        else:
            del self._sources[source.base]

    def base_of(self, first_line: bytes) -> bytes:
        """What a file's beginning says."""
        return source_id(uid=self._uid, container=self._container, restart=self._restart, first_line=first_line)

    def identify(self, file: OpenFile, first_line: bytes, held: set[int]) -> Identified:
        """Find out which source `file` is; give it a name if it is a new one.

        Args:
            file: Not named yet.
            first_line: Its `fingerprint`.
            held: `id()` of the sources that have an open file.

        Raises:
            OSError: The file cannot be read.
        """
        base = self.base_of(first_line)
        rivals = self._sources.get(base, [])
        # What was truncated is none of the sources up to then. It may be one that a copy has made known since.
        after = -1 if file.regrown is None else file.regrown.ordinal
        likely = [source for source in rivals if source.ordinal > after]
        for source in likely:
            # A live file may take over from its own copy, when that was found first.
            if (file.live or id(source) not in held) and (found := _resume(source, file.content)) is not None:
                return Identified(found, source)
        for source in likely:
            if _is_copy(file, source, held=id(source) in held):
                return Identified(Match.COPY, source)
        overlooked = bool(rivals) and file.regrown is None
        return Identified(Match.NAMED, self._begin(base, first_line, rivals), overlooked=overlooked)

    def copied_in(self, source: Source, content: Content) -> bool:
        """Whether `content` is a copy of `source` that goes on where reading of it stopped.

        Raises:
            OSError: The file cannot be read.
        """
        first_line = fingerprint(content.read_at(0, FINGERPRINT_BYTES), complete=True)
        return self.base_of(first_line) == source.base and source.find_in(content) is not None

    def _begin(self, base: bytes, first_line: bytes, rivals: list[Source]) -> Source:
        generation = max((rival.generation + 1 for rival in rivals), default=0)
        name = source_id(
            uid=self._uid,
            container=self._container,
            restart=self._restart,
            first_line=first_line,
            generation=generation,
        )
        source = Source(base, generation, name, self.next_ordinal)
        self.next_ordinal += 1
        self._sources.setdefault(base, []).append(source)
        return source


def _resume(source: Source, content: Content) -> Match | None:
    """Go on with `source` in `content`, if it holds what was read of it."""
    position = source.position
    # A compressed file that is as long as what was sent needs no decompression to know that nothing is left in it.
    if content.complete and not position.open_line and 0 < position.offset == content.size():
        return Match.COPY
    found = source.find_in(content)
    if found is None:
        return None
    source.position, source.resume = found, None
    return Match.NAMED


def _is_copy(file: OpenFile, source: Source, *, held: bool) -> bool:
    """Whether a file that begins like `source` is a copy of it, from which nothing need be read.

    A copy may be shorter than what was read: lines can come between copytruncate's copy and its truncation. One that is
    being compressed in place looks damaged. What the runtime writes to is never a copy.
    """
    if file.live:
        return False
    if file.content.size() < source.position.offset or file.content.damaged:
        return True
    return held and source.find_in(file.content) is not None
