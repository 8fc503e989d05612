"""One chunk, line by line: which lines stay, what is hidden in them, what is told of those that the rate limit took.

A notice, "N lines dropped since T (rate limit)", comes once for each second in which lines were dropped, at the last
line of that second: in its place if that line is dropped, else behind it, at the offset of its second byte. That it is
the last one shows the line after it, so the last line of a chunk waits while there is something to tell.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fluentd.pods.podrules import RateLimit
from fluentd.rules import limit as bucket
from fluentd.rules.lines import LOOSE, SLOTS, Line, pack_offsets, split_lines, time_of, unpack_offsets, whole_lines
from fluentd.rules.redact import Redactor, Secret, hide
from fluentd.rules.state import RuleState, Verdict, Working
from pipeline.cri import STDERR, STDOUT, format_line, format_time

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes that a chunk could be made of.

    Attributes:
        data: Lines in the runtime's format, as `cut_chunk` cuts.
        size: Bytes of the source that they stand for.
        line_offsets: See `Chunk`; empty where `data` is the source's bytes.
        start: Offset of the first byte in the source.
        source: Its id.
        mid_line: Whether `data` begins inside a physical line.
        final: Nothing will follow, or nothing has for a while.
        more: Bytes follow that had no room.
        waited: The first line has waited long enough for the end of a line in pieces.
        ahead: So many lines at the end are only looked at, since pieces before them go on there. For `final` ones.
    """

    data: bytes
    size: int
    line_offsets: bytes = b""
    start: int = 0
    source: bytes = b""
    mid_line: bool = False
    final: bool = False
    more: bool = False
    waited: bool = False
    ahead: int = 0

    def offsets(self, lines: Sequence[Line]) -> Sequence[int]:
        """Where each line starts, from the chunk's start."""
        if not self.line_offsets:
            return [line.start for line in lines]
        return unpack_offsets(self.line_offsets)


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a chunk.

    Attributes:
        data: What is sent.
        line_offsets: See `Chunk`.
        taken: Bytes of the source that this is of; the rest waits for what follows. 0: all of it waits.
        state: After these bytes.
        waits_from: Second of the first line that waits; 0 when none does.
        mid_line: Whether `data` begins inside a physical line.
        dropped: Lines and bytes by verdict.
        hidden: Secrets by kind.
    """

    data: bytes
    line_offsets: bytes
    taken: int
    state: RuleState
    waits_from: int
    mid_line: bool
    dropped: dict[int, list[int]]
    hidden: dict[str, int]


class LineRules(Protocol):
    """What is decided for each line by itself."""

    def judge(self, content: bytes, stream: int, *, source: bytes, offset: int) -> Verdict:
        """The verdict on a line by its first piece: `KEEP`, or why it is dropped."""


class Judge:
    """Judges one chunk.

    Args:
        given: The bytes.
        state: Before them.
        rules: Of the run.
        limit: Its rate limit, if any.
        redactor: Hides secrets, if any are to be hidden.
    """

    def __init__(
        self,
        given: Input,
        state: RuleState,
        *,
        rules: LineRules | None,
        limit: RateLimit | None,
        redactor: Redactor | None,
    ) -> None:
        self._given, self._state = given, state
        self._rules, self._limit, self._redactor = rules, limit, redactor
        self._lines = split_lines(given.data, mid_line=given.mid_line)
        self._offsets = given.offsets(self._lines)
        self._stop = len(self._lines)
        self._verdicts: list[int] = []
        self._notices: dict[int, bytes] = {}
        self._contents: dict[int, bytes] = {}
        self._hidden: dict[str, int] = {}

    def run(self) -> Judged:
        """Judge."""
        waits = self._redactor is not None and not self._given.final and not self._given.waited
        self._stop = self._whole(len(self._lines)) if waits else len(self._lines) - self._given.ahead
        work = self._decide_all()
        if self._must_wait(work):
            stop = self._whole(self._stop - 1) if self._redactor is not None else self._stop - 1
            if stop or not self._given.more:
                self._stop = stop
                work = self._decide_all()
        if self._redactor is not None and self._stop:
            self._redact(work, self._redactor)
        return self._judged(work)

    def _decide_all(self) -> Working:
        """Decide about the lines up to `_stop`."""
        work = Working.of(self._state)
        self._verdicts.clear()
        self._notices.clear()
        for index in range(self._stop):
            self._decide(index, work)
        return work

    def _whole(self, stop: int) -> int:
        return whole_lines(self._lines, stop, more=self._given.more)

    def _must_wait(self, work: Working) -> bool:
        """Whether the last line waits for the next one: that line tells whether a notice belongs here."""
        all_lines = 0 < self._stop == len(self._lines)
        return bool(work.dropped) and not self._given.final and all_lines and self._lines[-1].ended

    def _decide(self, index: int, work: Working) -> None:
        """The verdict on one line, and whether there is something to tell at it."""
        line = self._lines[index]
        bucket.refill(work, self._limit, line.second)
        slot = line.stream
        size = line.stop - line.start
        verdict = work.verdicts[slot]
        first = verdict == Verdict.UNDECIDED
        if line.going_on:
            first, verdict = False, verdict or Verdict.KEEP
        if first:
            verdict = self._verdict(line, index, size, work)
            if verdict == Verdict.LIMIT:
                work.since = work.since if work.dropped else work.second
                work.dropped += 1
        elif verdict == Verdict.KEEP and self._limit is not None:
            bucket.charge_piece(work, self._limit, size)
        if verdict != Verdict.KEEP:
            work.count(verdict, int(first), size)
        self._go_on(line, verdict, work)
        self._verdicts.append(verdict)
        if work.dropped and self._is_last_of_second(index, work):
            self._tell(index, verdict, work)

    def _verdict(self, line: Line, index: int, size: int, work: Working) -> Verdict:
        """The verdict on a line that begins here."""
        if self._rules is not None:
            verdict = self._rules.judge(
                line.content_of(self._given.data),
                line.stream,
                source=self._given.source,
                offset=self._given.start + self._offsets[index],
            )
            if verdict != Verdict.KEEP:
                return verdict
        if self._limit is not None and not bucket.admit(work, self._limit, size):
            return Verdict.LIMIT
        return Verdict.KEEP

    @staticmethod
    def _go_on(line: Line, verdict: int, work: Working) -> None:
        """Remember the verdict for what goes on: the next piece, or the rest of the physical line."""
        if line.parsed:
            work.verdicts[line.stream] = verdict if line.partial else Verdict.UNDECIDED
        work.verdicts[LOOSE] = Verdict.UNDECIDED if line.ended else verdict

    def _is_last_of_second(self, index: int, work: Working) -> bool:
        if index + 1 == len(self._lines):
            return self._given.final
        return self._lines[index + 1].second > work.second

    def _tell(self, index: int, verdict: int, work: Working) -> None:
        """Put the notice at a line, if one fits there without becoming a part of a line in pieces."""
        line = self._lines[index]
        kept = verdict == Verdict.KEEP
        if not line.ended and not (self._given.final and not kept):
            return
        if kept and not line.parsed:
            return
        whole = [slot for slot in (STDOUT, STDERR) if work.verdicts[slot] != Verdict.KEEP]
        if not whole:
            return
        stream = line.stream if line.stream in whole else whole[0]
        self._notices[index] = notice(self._given.data, line, stream, work)

    def _redact(self, work: Working, redactor: Redactor) -> None:
        """Hide the secrets of the lines that stay, each line whole even where it is in pieces.

        Lines that are dropped are looked at as well: a key may begin in one of them, and go on in lines that stay.
        """
        suspects = self._suspects(redactor)
        groups: list[list[int]] = [[] for _ in range(SLOTS)]
        for index, line in enumerate(self._lines):
            group = groups[line.stream]
            if index >= self._stop and not group:
                if not any(groups):
                    return
                continue
            group.append(index)
            if not line.partial or index == len(self._lines) - 1:
                self._redact_group(group, line.stream, work, redactor, suspects)
                group.clear()
        for slot, group in enumerate(groups):
            if group:
                self._redact_group(group, slot, work, redactor, suspects)

    def _suspects(self, redactor: Redactor) -> set[int] | None:
        """Lines to look at; `None` for all."""
        if redactor.each_line:
            return None
        starts = [line.start for line in self._lines]
        return {bisect_right(starts, place) - 1 for place in redactor.hits(self._given.data)}

    def _redact_group(
        self, group: list[int], slot: int, work: Working, redactor: Redactor, suspects: set[int] | None
    ) -> None:
        plain = not work.block[slot] and not work.hidden[slot]
        if plain and len(group) == 1 and suspects is not None and group[0] not in suspects:
            return
        data = self._given.data
        contents = [self._lines[index].content_of(data) for index in group]
        sent = sum(len(content) for index, content in zip(group, contents, strict=True) if index < self._stop)
        joined = b"".join(contents)
        begun = min(work.hidden[slot], len(joined))
        found, work.block[slot] = redactor.find(joined[begun:], work.block[slot])
        secrets = [Secret(begun + one.start, begun + one.stop, one.kind) for one in found]
        work.hidden[slot] = max(0, work.hidden[slot] - sent)
        if begun:
            secrets.insert(0, Secret(-1, begun, ""))
        at = 0
        for index, content in zip(group, contents, strict=True):
            if index < self._stop:
                self._contents[index] = hide(joined, secrets, start=at, stop=at + len(content))
            at += len(content)
        shown = group[0] < self._stop and self._verdicts[group[0]] == Verdict.KEEP
        for secret in secrets:
            if 0 <= secret.start < sent:
                work.hidden[slot] = max(work.hidden[slot], secret.stop - sent)
                if shown:
                    self._hidden[secret.kind] = self._hidden.get(secret.kind, 0) + 1

    def _judged(self, work: Working) -> Judged:
        data, out, offsets = self._given.data, list[bytes](), list[int]()
        for index in range(self._stop):
            line, offset, notice = self._lines[index], self._offsets[index], self._notices.get(index)
            if self._verdicts[index] == Verdict.KEEP:
                offsets.append(offset)
                content = self._contents.get(index)
                if content is None:
                    out.append(data[line.start : line.stop])
                else:
                    out += (data[line.start : line.content], content, b"\n" * line.ended)
                offset += 1
            if notice is not None:
                offsets.append(offset)
                out.append(notice)
        taken, waits_from = self._given.size, 0
        if self._stop < len(self._lines):
            taken = self._offsets[self._stop]
            waits_from = max(1, self._lines[self._stop].second or work.second)
        sent = b"".join(out)
        same = sent == data[: len(sent)] and not self._given.line_offsets and len(sent) == taken
        return Judged(
            sent,
            b"" if same else pack_offsets(offsets),
            taken,
            work.freeze(),
            waits_from,
            self._given.mid_line and self._stop > 0 and self._verdicts[0] == Verdict.KEEP,
            work.counted,
            self._hidden,
        )


def notice(data: bytes, line: Line, stream: int, work: Working) -> bytes:
    """The stored line that tells what the rate limit took, at the time of `line`; it is told then."""
    time = time_of(data, line) if line.parsed else format_time(work.second * _NS)
    text = b"%d lines dropped since %s (rate limit)" % (work.dropped, format_time(work.since * _NS))
    work.dropped = work.since = 0
    return format_line(time, stream, text)
