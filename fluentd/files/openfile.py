"""A file of a run while it is held open."""

from dataclasses import dataclass

from fluentd.files.content import Content
from fluentd.files.dockerjson import DockerJsonToCri
from fluentd.files.source import Source


@dataclass(slots=True, eq=False)
class OpenFile:
    """A file of a run while it is held open.

    Attributes:
        content: Its bytes.
        live: Whether it has the name that the runtime writes to.
        linked: Whether it was found by a link, so that inotify does not see its writes.
        grown_at: When it was last seen to grow, or was opened; monotonic seconds.
        source: Its identity, once it has a first line.
        head: What it begins with, once it has a source.
        end: The most bytes that were seen in it.
        regrown: The source that it was before it was truncated; `None` if it was none.
        copy: It is the copy that copytruncate made of its source.
        converter: Turns docker's format into the runtime interface's; `None` when it has that already.
    """

    content: Content
    live: bool
    linked: bool
    grown_at: float
    source: Source | None = None
    head: bytes = b""
    end: int = 0
    regrown: Source | None = None
    copy: bool = False
    converter: DockerJsonToCri | None = None

    @property
    def static(self) -> bool:
        """Whether nobody writes to it any more, by its nature."""
        return self.copy or self.content.complete

    def saw(self, end: int, *, now: float) -> None:
        """Note that the file has `end` bytes at least."""
        if end > self.end:
            self.end = end
            self.grown_at = now
