"""Which containers are read at all: asked for each container's directory, and answered at once."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import Protocol

from fluentd.files.discovery import Place


class Standing(Enum):
    """Whether a container is read."""

    READ = auto()
    WAIT = auto()
    """Not known yet, and worth waiting for: the answer changes in a bounded time. Its files are held open."""
    SKIP = auto()
    """Not read; its files are not even opened."""


class Gate(Protocol):
    """Tells what is read. Answers may change at any time."""

    @property
    def changes(self) -> int:
        """Grows when an answer may have become another, but for one that ends a wait."""

    def standing(self, place: Place) -> Standing:
        """Whether a container is read now."""

    def retain(self, places: Iterable[Place]) -> None:
        """These are all the containers that have files here: others need no answer any more."""
