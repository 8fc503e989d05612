"""Rules at work on the bytes of one run: what is sent of them now, and what waits for the bytes that follow.

The last lines of a file may wait: for the end of a line in pieces, in which a secret may go on, or for the next second,
which tells that a notice about dropped lines is complete. They wait `WAIT_SECONDS` at most.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from fluentd.chunks.outgoing import Outgoing, converted, make_chunk
from fluentd.chunks.surroundings import RuleSource
from fluentd.files.openfile import OpenFile
from fluentd.files.source import Source
from fluentd.files.tail import Look
from fluentd.rules.compiled import NOTHING, RunRules
from fluentd.rules.judge import Input, Judged
from fluentd.rules.parts import Hiding
from fluentd.rules.state import FRESH
from pipeline.chunk import Flag, Origin

WAIT_SECONDS: Final = 2.0
"""More than a second, so that what comes later is of another second; and more than it takes to write a long line."""

_NS: Final = 1_000_000_000


class Ruling:
    """Rules at work on one run.

    Args:
        book: Counts what is dropped and hidden.

    Attributes:
        rules: Of the run, as far as is known now; `None` for none.
        waits_from_ns: Time of the first line that waits, in whole seconds; 0 when none does.
    """

    def __init__(self, book: RuleSource) -> None:
        self.rules: RunRules | None = None
        self.waits_from_ns = 0
        self._book = book
        self._waiting: tuple[bytes, int] = (b"", 0)
        self._since = 0.0

    def concerns(self, source: Source) -> bool:
        """Whether anything is to be done with the next bytes of `source`."""
        return self.rules is not None or source.position.rules is not None

    @staticmethod
    def inherit(source: Source, others: Iterable[Source]) -> None:
        """Go on in a new file of the run where the one before it ended: in the middle of a line, maybe."""
        before = [other for other in others if other.ordinal < source.ordinal]
        if source.persisted or source.position.offset or not before:
            return
        state = max(before, key=lambda other: other.ordinal).position.rules
        if state is not None:
            source.position = source.acknowledged = msgspec.structs.replace(source.position, rules=state)

    def send_on(
        self,
        file: OpenFile,
        source: Source,
        seen: Look,
        *,
        origin: Origin,
        flags: Flag,
        ended: bool,
        now: float,
    ) -> tuple[Outgoing | None, int]:
        """Make a chunk of the next bytes of `source`, and move it on; see `fluentd.chunks.outgoing.send_on`.

        Args:
            file: The file.
            source: Its identity; its position is where the bytes begin.
            seen: The bytes.
            origin: Of the lines.
            flags: See `fluentd.chunks.outgoing.send_on`.
            ended: Whether nothing more is to be expected in the file.
            now: Monotonic seconds.

        Returns:
            The chunk, `None` when all of it waits, and how many lines of docker's format made no sense.
        """
        data, begin = seen.data, source.position
        taken, cri = converted(file.converter, data, mid_line=begin.open_line)
        whole = len(taken) == len(data)
        at_end = seen.at_end and whole
        given = Input(
            cri.data,
            len(taken),
            cri.line_offsets,
            begin.offset,
            source.id,
            mid_line=begin.open_line,
            final=at_end and _is_over(file, seen, ended=ended, now=now),
            more=not at_end,
            waited=self._has_waited(source, now),
        )
        judged = (self.rules or NOTHING).apply(given, begin.rules)
        if judged is None:
            return make_chunk(source, taken, origin=origin, made=cri, flags=flags), cri.malformed
        self._note(judged)
        if not judged.taken:
            return None, 0
        if judged.taken < len(data):
            flags &= ~Flag.FINAL
        made = msgspec.structs.replace(cri, data=judged.data, line_offsets=judged.line_offsets)
        state = None if judged.state == FRESH else judged.state
        outgoing = make_chunk(
            source, taken[: judged.taken], origin=origin, made=made, flags=flags, rules=state, mid_line=judged.mid_line
        )
        return outgoing, cri.malformed if judged.taken == len(taken) else 0

    def hiding(self, file: OpenFile, source: Source, seen: Look, *, ended: bool, now: float) -> Hiding | None:
        """What hides the secrets of one look where it becomes several chunks; `None` when nothing is to be done."""
        if not self.concerns(source):
            return None
        final = seen.at_end and _is_over(file, seen, ended=ended, now=now)
        return Hiding(
            self.rules or NOTHING,
            at_end=seen.at_end,
            waits=not (self._has_waited(source, now) or final),
            count=self._book.count,
            wait=self._wait,
        )

    def _wait(self, second: int) -> None:
        self.waits_from_ns = second * _NS

    def _has_waited(self, source: Source, now: float) -> bool:
        """Whether the bytes at the position of `source` have waited long enough for those that follow."""
        waiting = (source.id, source.position.offset)
        if waiting != self._waiting:
            self._waiting, self._since = waiting, now
        return now - self._since >= WAIT_SECONDS

    def _note(self, judged: Judged) -> None:
        self._wait(judged.waits_from)
        if judged.taken:
            self._book.count(judged)


def _is_over(file: OpenFile, seen: Look, *, ended: bool, now: float) -> bool:
    """Whether nothing will follow what was seen, or nothing has for a while."""
    return now - file.grown_at >= WAIT_SECONDS or (ended and not seen.rest_bytes)
