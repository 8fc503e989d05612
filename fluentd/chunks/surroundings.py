"""What all runs share: whose lines they are, what is beside a file, and who counts what nobody sees otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fluentd.files.discovery import FoundFile, Place
from pipeline.chunk import Origin

if TYPE_CHECKING:
    from fluentd.rules.compiled import RunRules
    from fluentd.rules.judge import Judged


class RunKey(NamedTuple):
    """One run of one container, for ever."""

    uid: str
    container: str
    restart: int


class Tally(Protocol):
    """Counts what nobody sees otherwise."""

    def lost(self, reason: str, size: int) -> None:
        """`size` bytes were known to be there, and will never be read."""

    def truncated(self) -> None:
        """A file was truncated: what nobody saw in it is lost, too."""

    def damaged(self) -> None:
        """A compressed file ended in the middle."""

    def malformed(self, lines: int) -> None:
        """`lines` of a file in docker's format are not; they are sent as they are."""


class RuleSource(Protocol):
    """Knows the rules of every run, and counts what they do."""

    def of(self, place: Place, origin: Origin) -> "RunRules | None":
        """Rules for the lines of one run; `None` when there are none."""

    def of_platform(self, place: Place, origin: Origin) -> "RunRules | None":
        """Rules for lines that are about any app: they hide what is to be hidden for one of them, and do no more."""

    def count(self, judged: "Judged") -> None:
        """Count what was dropped and hidden."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runs share.

    Attributes:
        origin: Whose lines a run's are, as far as is known now.
        siblings: Lists the files of one run now.
        tally: See `Tally`.
        close_seconds: How long a drained file is still watched.
        rules: See `RuleSource`; `None` for no rules at all.
        platform: Namespace of the platform, whose controller speaks about apps; empty where there is none.
    """

    origin: Callable[[Place, int], Origin]
    siblings: Callable[[Place, int], list[FoundFile]]
    tally: Tally
    close_seconds: float
    platform: str = ""
    rules: RuleSource | None = None
