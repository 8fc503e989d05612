"""What is made of the frames of one read: lines of an app go into one chunk, however many frames they came in."""

from dataclasses import dataclass, field

from fluentd.inputs.delivery import Delivery
from fluentd.inputs.intake import Lines


@dataclass(slots=True)
class Gathered:
    """Frames that came together. The queue has all of them, or none is answered.

    Attributes:
        delivery: Of all their lines.
        answers: Chunks to be acknowledged, in the order of their frames, each with what its answer waits for: the
            delivery of these frames, or for a double that of the first one.
        keys: Of `frame_key`, of the frames that are known by now and must be forgotten if they are not put.
        size: Bytes of lines not yet put.
    """

    delivery: Delivery = field(default_factory=Delivery)
    answers: list[tuple[str | bytes, Delivery]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    size: int = 0
    _data: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    _messages: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, lines: Lines) -> None:
        """Lines to be put."""
        whose = (lines.app, lines.process)
        self._data.setdefault(whose, []).append(lines.data)
        self._messages[whose] = self._messages.get(whose, 0) + lines.messages
        self.size += len(lines.data)

    def take(self) -> list[Lines]:
        """All lines not yet put, by app."""
        taken = [
            Lines(app, process, b"".join(data), self._messages[app, process])
            for (app, process), data in self._data.items()
        ]
        self._data.clear()
        self._messages.clear()
        self.size = 0
        return taken
