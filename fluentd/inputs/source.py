"""A virtual source: lines without a file, named and counted as if they stood in one.

Its name is new at each start of the process, so that offsets begin at 0 again without meaning bytes that a logger
has. Nothing can be read again from it: what a crash left unacknowledged, the client sends again under the next name.
"""

import uuid
from dataclasses import dataclass

import msgspec

from fluentd.files.source import source_id
from fluentd.rules.state import RuleState
from pipeline.chunk import Chunk, Flag, Origin, SourceId


@dataclass(slots=True, eq=False)
class VirtualSource:
    """One source, the only one of its run.

    Attributes:
        origin: Of its lines; a shared source says another app with each chunk.
        partition: Where all of it goes.
        id: See `pipeline.chunk.Chunk.source`.
        offset: How many bytes were made so far.
        seen: How many bytes of lines came before rules took some; names a line where rules draw by its name.
        rules: What rules know of the lines before.
    """

    origin: Origin
    partition: int
    id: SourceId
    offset: int = 0
    seen: int = 0
    rules: RuleState | None = None

    @classmethod
    def open(cls, *, node: str, name: str, uid: str, partition: int, app: str, process: str) -> "VirtualSource":
        """Make a source.

        Args:
            node: Name of this node.
            name: Of the input; stands for pod and container.
            uid: See `new_uid`.
            partition: Where all of it goes.
            app: Of its lines, a safe name.
            process: Process type, a safe name, or empty.
        """
        origin = Origin(node, "", name, uid, name, 0, app, process)
        return cls(origin, partition, source_id(uid=uid, container=name, restart=0, first_line=b""))

    def speak_for(self, app: str, process: str) -> None:
        """What comes now are lines of this app and process."""
        if self.origin.app != app or self.origin.process != process:
            self.origin = msgspec.structs.replace(self.origin, app=app, process=process)

    def chunk(self, data: bytes, *, final: bool = False) -> Chunk:
        """The next chunk; moves the source on.

        Args:
            data: Complete lines in the runtime's format.
            final: Whether the source ends after them.
        """
        start, self.offset = self.offset, self.offset + len(data)
        flags = Flag.FINAL if final else Flag.NONE
        return Chunk(self.origin, self.id, 0, start, self.offset, start, data, flags)

    def end(self) -> Chunk:
        """A chunk without data: nothing more comes."""
        return self.chunk(b"", final=True)


def new_uid() -> str:
    """A uid that no pod and no other virtual source has."""
    return str(uuid.uuid4())
