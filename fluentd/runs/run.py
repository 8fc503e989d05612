"""The files of one run of one container, read strictly in the order in which they were written.

The first file of the queue is read; the next one's turn comes when the one before is drained: its end was seen after
something had been written to the next, or it is gone for good. A drained file is watched a few seconds more, since a
runtime that reopens its log at a rotation may still hold the old file for a moment.
"""

from collections.abc import Sequence
from enum import Enum, auto

from fluentd.chunks.outgoing import Outgoing, declare_end
from fluentd.chunks.sending import Sending
from fluentd.chunks.surroundings import RunKey, Surroundings
from fluentd.files.discovery import FoundFile, Place, Stamp
from fluentd.files.dockerjson import DockerJsonToCri, looks_like_docker_json
from fluentd.files.held import HeldFiles
from fluentd.files.identity import Identities, Match
from fluentd.files.openfile import OpenFile
from fluentd.files.source import Known, Source, fingerprint
from fluentd.files.tail import Look, look
from pipeline.chunk import Flag
from pipeline.limits import FINGERPRINT_BYTES, RESUME_BYTES

TORN_SECONDS = 1.0
"""A file whose last line has no end delays the next file of its run this long: the rest may be on its way."""

GONE_SECONDS = 60.0
"""State of a source whose file is gone is kept this long: a folder that is away for a moment must not be sent again."""


class _Wait(Enum):
    HERE = auto()
    """Nothing to do with this file now."""
    DONE = auto()
    """Something was done: look again."""


_Step = Outgoing | _Wait


class Run:
    """See the module.

    Args:
        place: Where its files are.
        restart: Restart number.
        partition: All of its bytes go there, for ever.
        around: See `Surroundings`.
        next_ordinal: Of the checkpoint, else 0.
        known: Of the checkpoint, else nothing.

    Attributes:
        superseded: A later run of the container writes already, so that nothing more comes here.
        caught_up: Whether the last look found nothing more to send, and nothing that waits.
        unsaved: Whether a new source waits for the checkpoint to know it.
        problem: Why a file could not be read, empty when all could.
        active_at: When something was last found to send; monotonic seconds.
        complete_ns: Everything written before this wall time was read.
        written_ns: When its files were last written to, as they were last listed; wall time.
    """

    def __init__(
        self,
        *,
        place: Place,
        restart: int,
        partition: int,
        around: Surroundings,
        next_ordinal: int = 0,
        known: tuple[Known, ...] = (),
    ) -> None:
        self.place, self.restart, self.partition = place, restart, partition
        self.identities = Identities(
            uid=place.uid, container=place.container, restart=restart, next_ordinal=next_ordinal, known=known
        )
        self.superseded = False
        self.caught_up = False
        self.unsaved = False
        self.problem = ""
        self.active_at = 0.0
        self.complete_ns = 0
        self.written_ns = 0
        self._around = around
        self._held = HeldFiles()
        self._stamp: Stamp | None = None
        self._rested: Stamp | None = None
        self._now = 0.0
        self._sending = Sending(place=place, restart=restart, identities=self.identities, around=around)

    @property
    def key(self) -> RunKey:
        """See `RunKey`."""
        return RunKey(self.place.uid, self.place.container, self.restart)

    @property
    def open_files(self) -> list[OpenFile]:
        """Files held open."""
        return list(self._held)

    @property
    def settled(self) -> bool:
        """Whether nothing can happen here without an event: no file waits for its turn or for its time."""
        alone = not self._held.late and len(self._held.queue) <= 1 and not any(file.linked for file in self._held.queue)
        return self.caught_up and alone and not self.waits_from_ns

    def is_still(self, *, before_ns: int) -> bool:
        """Whether all that was written up to now was read, as the kernel's sizes and times say; asked once a scan.

        They say so when they are the same as before a look that found nothing, and were old enough then for another
        write to show: times move in steps.

        Args:
            before_ns: Older than this is old enough; wall time.
        """
        if self._rested is not None and self._held.queue and self._held.queue[0].content.stamp() == self._rested:
            return True
        self._stamp = self._rested = None
        # Of a deleted file and of one that is superseded, more is to be done in a while, though they will not change.
        if self.settled and self._held.queue and not self.superseded and not self._held.queue[0].content.deleted():
            stamp = self._held.queue[0].content.stamp()
            self._stamp = stamp if max(stamp[1:]) < before_ns else None
        return False

    def rest(self) -> None:
        """It was looked at just now, and nothing was found; see `is_still`."""
        self._rested = self._stamp

    @property
    def waits_from_ns(self) -> int:
        """See `fluentd.chunks.ruling.Ruling`."""
        return self._sending.waits_from_ns

    @property
    def waits_for_bytes(self) -> bool:
        """Whether more may come here, or there is something that cannot be read."""
        return self._held.waits_for_bytes

    @property
    def over(self) -> bool:
        """Whether nothing of it is left."""
        return self._held.over and not len(self.identities)

    def close(self) -> None:
        """Give back all descriptors."""
        self._held.close()

    def update(self, found: Sequence[FoundFile], *, now: float) -> None:
        """Take in a listing of the run's files; see `HeldFiles.update`."""
        self._stamp = self._rested = None
        self.written_ns = max([one.stamp[1] for one in found], default=self.written_ns)
        self._held.update(found, now=now)

    def forget_gone(self, *, now: float) -> None:
        """Drop sources whose files have been gone for a while, and count what was known and not read of them."""
        if any(file.source is None for file in self._held.queue):
            return  # it may still turn out to be one of them
        held = self._held.sources()
        for source in list(self.identities):
            if id(source) in held:
                source.missing_since = 0.0
            elif not source.missing_since:
                source.missing_since = now
            elif now - source.missing_since >= GONE_SECONDS and source.acknowledged.offset >= source.position.offset:
                if source.unread_bytes:
                    self._around.tally.lost("deleted", source.unread_bytes)
                self.identities.forget(source)

    def next_chunk(self, *, now: float) -> Outgoing | None:
        """The next chunk to send; `None` when there is none now (see `caught_up`).

        Args:
            now: Monotonic seconds.
        """
        self._now = now
        self.unsaved = False
        if (ready := self._sending.next_ready()) is not None:
            self.caught_up = False
            return ready
        self.caught_up = not self._held.incomplete
        self.problem = self._held.unopened
        try:
            outgoing = self._late_chunk() or self._current_chunk()
        except OSError as error:
            self.problem = f"{self.place.path}: {error.strerror or error}"
            self.caught_up = False
            return None
        if outgoing is not None:
            self.active_at = now
        return outgoing

    def _current_chunk(self) -> Outgoing | None:
        while self._held.queue:
            file = self._held.queue[0]
            ended = self._ended(file)  # before the read: what is written after it belongs to the next look
            step = self._step(file, self._held.queue, ended=ended)
            if step is _Wait.HERE:
                return None
            if isinstance(step, Outgoing):
                return step
        return None

    def _late_chunk(self) -> Outgoing | None:
        for file in list(self._held.late):
            step: _Step = _Wait.DONE
            while step is _Wait.DONE and file in self._held.late:
                step = self._step(
                    file, self._held.late, ended=file.static or self._idle(file) >= self._around.close_seconds
                )
            if isinstance(step, Outgoing):
                return step
        return None

    def _step(self, file: OpenFile, line: list[OpenFile], *, ended: bool) -> _Step:
        """Look at one file of `line`, the queue or the late ones, and do what follows from it."""
        if file.source is None:
            return self._name(file, line, ended=ended)
        if not file.source.persisted:
            self.unsaved = True
            self.caught_up = False
            return _Wait.HERE
        seen = self._look(file, file.source)
        if seen.replaced:
            return self._replace(file, file.source, line)
        if seen.data:
            return self._sending.send(file, file.source, seen, now=self._now, ended=ended) or _Wait.HERE
        return self._at_end(file, file.source, seen, line, ended=ended)

    def _idle(self, file: OpenFile) -> float:
        return self._now - file.grown_at

    def _ended(self, file: OpenFile) -> bool:
        """Whether nothing more is to be expected in the file that is read."""
        followers = self._held.queue[1:]
        if file.static or len(followers) > 1 or any(other.content.size() for other in followers):
            return True
        if self._idle(file) < self._around.close_seconds:
            return False
        return self.superseded or file.content.deleted()

    def _at_end(self, file: OpenFile, source: Source, seen: Look, line: list[OpenFile], *, ended: bool) -> _Step:
        torn = bool(seen.rest_bytes) or source.position.open_line
        if torn and (ended or self._idle(file) < self._around.close_seconds):
            self.caught_up = False
        if not ended or (torn and not file.static and self._idle(file) < TORN_SECONDS):
            return _Wait.HERE
        if torn and not (file.copy and not seen.rest_bytes):
            return self._send_rest(file, source)
        line.remove(file)
        if line is self._held.queue and not file.static:
            self._held.late.append(file)
            return _Wait.DONE
        return self._finish(file, source)

    def _finish(self, file: OpenFile, source: Source) -> _Step:
        """Close a file that is read to its end."""
        if file.content.damaged:
            self._around.tally.damaged()
        self._held.shut(file, source)
        return self._declare_end(source)

    def _look(self, file: OpenFile, source: Source, *, final: bool = False) -> Look:
        position = source.position
        seen = look(file.content, position, head=file.head, final=final)
        if not seen.replaced:
            end = position.offset + len(seen.data) + seen.rest_bytes
            file.saw(end, now=self._now)
            known = end if seen.at_end or file.content.complete else file.content.size()
            source.size = max(source.size, end, known)
        return seen

    def _name(self, file: OpenFile, line: list[OpenFile], *, ended: bool) -> _Step:
        head = file.content.read_at(0, FINGERPRINT_BYTES)
        file.saw(len(head), now=self._now)
        given_up = ended and (file.static or self._idle(file) >= TORN_SECONDS)
        if first_line := fingerprint(head, complete=given_up):
            return self._identify(file, line, first_line)
        if given_up:  # nothing was ever written to it
            line.remove(file)
            self._held.shut(file, None)
            return _Wait.DONE
        if head and (ended or self._idle(file) < self._around.close_seconds):
            self.caught_up = False
        return _Wait.HERE

    def _identify(self, file: OpenFile, line: list[OpenFile], first_line: bytes) -> _Step:
        held = {id(other.source) for other in self.open_files if other.source is not None}
        found = self.identities.identify(file, first_line, held)
        if found.overlooked:
            self._around.tally.truncated()
        if found.match is Match.COPY:
            line.remove(file)
            self._held.shut(file, found.source)
            return _Wait.DONE
        for other in [other for other in self._held.late if other.source is found.source]:
            self._held.late.remove(other)
            self._held.shut(other, other.source)
        self._sending.begin(found.source)
        file.source, file.head = found.source, first_line[:RESUME_BYTES]
        file.end = max(file.end, found.source.position.offset)
        if looks_like_docker_json(first_line):
            file.converter = DockerJsonToCri()
        return _Wait.DONE

    def _replace(self, file: OpenFile, source: Source, line: list[OpenFile]) -> _Step:
        """The file was truncated: read the rest of what it was from its copy, if there is one, then what it is now."""
        self._around.tally.truncated()
        if file.static:
            line.remove(file)
            self._held.shut(file, source)
            return self._declare_end(source)
        found = self._around.siblings(self.place, self.restart)
        self.update(found, now=self._now)
        at = self._held.regrow(file, source, line, now=self._now)
        self._held.order(found)
        copy = self._held.find_copy(file, source, found, identities=self.identities, now=self._now)
        if copy is None:
            return self._declare_end(source)
        line.insert(0 if line is self._held.queue else at, copy)
        return _Wait.DONE

    def _declare_end(self, source: Source) -> _Step:
        if lost_bytes := source.unread_bytes:
            self._around.tally.lost("truncated", lost_bytes)
        return declare_end(source, origin=self._sending.whose(now=self._now)) or _Wait.DONE

    def _send_rest(self, file: OpenFile, source: Source) -> _Step:
        """Send a last line that has no end, now that none will come."""
        seen = self._look(file, source, final=True)
        if seen.replaced:
            return _Wait.HERE
        return self._sending.send(file, source, seen, now=self._now, flags=Flag.FINAL) or _Wait.HERE
