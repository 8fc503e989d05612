"""The identity of a file, and how far it was read and acknowledged."""

import hashlib
from dataclasses import dataclass, field

import msgspec

from fluentd.controller import Voices
from fluentd.files.content import Content
from fluentd.rules.state import RuleState
from pipeline.chunk import SourceId
from pipeline.limits import FINGERPRINT_BYTES, RESUME_BYTES

_ID_BYTES = 16


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where reading goes on.

    Attributes:
        offset: Of the next byte.
        before: The bytes before it, `RESUME_BYTES` at most: the file must still hold them when reading goes on.
        open_line: Whether what was sent ends in the middle of a physical line.
        voices: Of the controller's log: whose the lines before it were; else `None`.
        rules: What rules must know of the bytes before it; `None` for nothing.
    """

    offset: int = 0
    before: bytes = b""
    open_line: bool = False
    voices: Voices | None = None
    rules: RuleState | None = None

    def after(self, data: bytes) -> "Position":
        """The position after sending `data`, the file's next bytes."""
        before = (self.before + data[-RESUME_BYTES:])[-RESUME_BYTES:]
        return Position(self.offset + len(data), before, not data.endswith(b"\n") if data else self.open_line)

    def closed(self) -> "Position":
        """The same position, after the open line was declared complete."""
        return Position(self.offset, self.before, open_line=False, voices=self.voices, rules=self.rules)

    def find_in(self, content: Content) -> "Position | None":
        """This position, or `None` when the bytes of `content` before it are others, or too few.

        Raises:
            OSError: The file cannot be read.
        """
        size = len(self.before)
        return self if content.read_at(self.offset - size, size) == self.before else None


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A position as the checkpoint holds it: with a hash in place of bytes, since logs do not belong there.

    Attributes:
        offset: See `Position`.
        hash: Of `Position.before`.
        open_line: See `Position`.
        voices: See `Position`.
        rules: See `Position`.
    """

    offset: int
    hash: bytes
    open_line: bool
    voices: Voices | None = None
    rules: RuleState | None = None

    @classmethod
    def of(cls, position: Position) -> "Mark":
        """The mark of a position."""
        return cls(position.offset, hash_before(position.before), position.open_line, position.voices, position.rules)

    def find_in(self, content: Content) -> Position | None:
        """The position in `content`, or `None` when its bytes are others, or too few.

        Raises:
            OSError: The file cannot be read.
        """
        size = min(self.offset, RESUME_BYTES)
        before = content.read_at(self.offset - size, size)
        if len(before) != size or hash_before(before) != self.hash:
            return None
        return Position(self.offset, before, self.open_line, self.voices, self.rules)


def hash_before(before: bytes) -> bytes:
    """Hash of the bytes before a position."""
    return hashlib.blake2b(before, digest_size=_ID_BYTES).digest()


def fingerprint(head: bytes, *, complete: bool = False) -> bytes:
    """The bytes that name a source: its first complete line, or `FINGERPRINT_BYTES` of a longer one; empty if neither.

    Args:
        head: The file's beginning.
        complete: The file will not grow: a line without its end names it, too.
    """
    head = head[:FINGERPRINT_BYTES]
    end = head.find(b"\n") + 1
    if end or complete or len(head) == FINGERPRINT_BYTES:
        return head[: end or None]
    return b""


def source_id(*, uid: str, container: str, restart: int, first_line: bytes, generation: int = 0) -> SourceId:
    """Name a source.

    Args:
        uid: Of the pod.
        container: Its name.
        restart: Restart number.
        first_line: See `fingerprint`.
        generation: 0, or more for a file that begins like an earlier one of its run and is not it (truncated, then
            written again): two sources must not share a name.
    """
    told = hashlib.blake2b(f"{uid}\0{container}\0{restart}\0".encode(errors="surrogateescape"), digest_size=_ID_BYTES)
    told.update(first_line)
    if generation:
        told.update(b"\0generation %d" % generation)
    return SourceId(told.digest())


class Known(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A source as the checkpoint holds it.

    Attributes:
        base: Its id at generation 0: what the file's beginning says.
        generation: See `source_id`.
        id: Its id.
        ordinal: See `Chunk.ordinal`.
        mark: How far the queue has it.
        size: Bytes known to be in the file, of which those after the mark are lost if it is never seen again.
    """

    base: bytes
    generation: int
    id: bytes
    ordinal: int
    mark: Mark
    size: int


@dataclass(slots=True, eq=False)
class Source:
    """A named file of a run, while the agent knows it.

    Attributes:
        base: See `Known`.
        generation: See `Known`.
        id: See `Known`.
        ordinal: See `Known`.
        position: How far it was read.
        resume: The checkpoint's mark, until a file was found that holds the bytes before it.
        acknowledged: How far the queue has it; the only field that the sender sets.
        size: See `Known`.
        persisted: Whether the checkpoint knows it: nothing is sent before.
        missing_since: When no file was found for it any more; 0 while there is one.
    """

    base: bytes
    generation: int
    id: SourceId
    ordinal: int
    position: Position = field(default_factory=Position)
    acknowledged: Position | Mark = field(default_factory=Position)
    size: int = 0
    resume: Mark | None = None
    persisted: bool = False
    missing_since: float = 0.0
    _told: tuple[Position | Mark, Known] | None = None

    @classmethod
    def restored(cls, known: Known) -> "Source":
        """A source that the checkpoint knew; its file is not found yet."""
        mark = known.mark
        position = Position(mark.offset, b"", mark.open_line, mark.voices, mark.rules)
        name = SourceId(known.id)
        source = cls(known.base, known.generation, name, known.ordinal, position, mark, known.size, mark)
        source.persisted = True
        return source

    def find_in(self, content: Content) -> Position | None:
        """Where reading goes on in `content`; `None` when it does not hold the bytes before that.

        Raises:
            OSError: The file cannot be read.
        """
        return (self.resume or self.position).find_in(content)

    def known(self) -> Known:
        """What the checkpoint keeps; the same object while that is unchanged, since it is asked for at each scan."""
        acknowledged = self.acknowledged
        if self._told is None or self._told[0] is not acknowledged or self._told[1].size != self.size:
            mark = Mark.of(acknowledged) if isinstance(acknowledged, Position) else acknowledged
            known = Known(self.base, self.generation, self.id, self.ordinal, mark, self.size)
            self._told = acknowledged, known
        return self._told[1]

    @property
    def unread_bytes(self) -> int:
        """Bytes known to be there and not read."""
        return max(0, self.size - self.position.offset)
