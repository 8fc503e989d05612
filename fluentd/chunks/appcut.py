"""Chunks of the Deis controller's log, cut where the app changes: each is still consecutive bytes of the one source.

Who made a line of an app's log is told by its process: no label and no name of a pod can be `CONTROLLER_PROCESS`, since
names from outside get a safe form (see `fluentd.pods.names.safe_name`), which has no `@`.
"""

from collections.abc import Iterable
from copy import copy
from itertools import accumulate
from typing import Final, Protocol

import msgspec

from fluentd.chunks.outgoing import Outgoing, converted, fit_chunk, make_chunk, send_on
from fluentd.controller import PLATFORM, Voices, segments
from fluentd.files.discovery import Place
from fluentd.files.dockerjson import DockerJsonToCri
from fluentd.files.source import Source
from fluentd.pods.names import process_of
from fluentd.rules.judge import Input
from fluentd.rules.parts import Hiding, Parts
from fluentd.rules.state import FRESH
from pipeline.chunk import AppId, Flag, Origin
from pipeline.names import CONTROLLER_PROCESS

_NAME: Final = "deis-controller"
_SILENCE: Final = Voices()


def is_controller(place: Place, *, namespace: str) -> bool:
    """Whether a container is the Deis controller.

    Told by all that its path says, and only in the platform's own namespace, where no app has a pod: a container or an
    app of the same name elsewhere is an app's.

    Args:
        place: Of the container.
        namespace: Of the platform; empty for a platform without a controller.
    """
    return (
        bool(namespace)
        and place.namespace == namespace
        and place.container == _NAME
        and (place.pod == _NAME or process_of(place.pod, app="", node="") == _NAME)
    )


class AppCutter:
    """Cuts the chunks of one run of the controller.

    Args:
        known: The run's sources, as the checkpoint has them.
    """

    def __init__(self, known: Iterable[Source]) -> None:
        # A message that began in the file before goes on in the next one.
        heard = [source for source in known if source.position.voices is not None]
        self._voices = max(heard, key=lambda source: source.ordinal).position.voices if heard else None

    def send_on(
        self,
        source: Source,
        data: bytes,
        *,
        origin: Origin,
        converter: DockerJsonToCri | None,
        flags: Flag,
        hiding: Hiding | None = None,
    ) -> tuple[list[Outgoing], int]:
        """Make chunks of the next bytes of `source`, and move it on; see `fluentd.chunks.outgoing.send_on`.

        Args:
            source: Its position is where `data` begins.
            data: As `cut_chunk` cuts.
            origin: Of the platform's own lines.
            converter: See `OpenFile`.
            flags: `Flag.FINAL` when nothing will follow.
            hiding: Hides secrets, if any are to be hidden.

        Returns:
            The chunks, at least one unless all lines wait, and how many lines of docker's format made no sense.
        """
        begin, size = source.position, len(data)
        before = begin.voices or (self._voices if not begin.offset else None) or _SILENCE
        if converter is not None:
            data = fit_chunk(copy(converter), data, mid_line=begin.open_line)[0]
        lines = _lines(data, converter, mid_line=begin.open_line)
        send: _Send = _send_as_they_are
        if hiding is not None:
            hidden = _Hidden(hiding, Parts(lines, ended=data.endswith(b"\n"), mid_line=begin.open_line))
            ready = hidden.ready(len(lines), more=not hiding.at_end or len(data) < size)
            lines, data, send = lines[:ready], data[: _ends(data)[ready]], hidden.send_on
        if not lines:
            return [], 0
        flags = flags if len(data) == size else flags & ~Flag.FINAL
        made, malformed = _send_segments(
            source, data, lines, before=before, send=send, origin=origin, converter=converter, flags=flags
        )
        self._voices = source.position.voices
        return made, malformed


def _send_segments(
    source: Source,
    data: bytes,
    lines: list[bytes],
    *,
    before: Voices,
    send: "_Send",
    origin: Origin,
    converter: DockerJsonToCri | None,
    flags: Flag,
) -> tuple[list[Outgoing], int]:
    """Make a chunk of each segment of `data`, of which `lines` are the lines; see `AppCutter.send_on`."""
    begin, ends = source.position, _ends(data)
    parts = list(segments(lines, before, mid_line=begin.open_line))
    stops = [*(part.first_line for part in parts[1:]), len(lines)]
    made, malformed = list[Outgoing](), 0
    for part, stop in zip(parts, stops, strict=True):
        outgoing, bad = send(
            source,
            data[source.position.offset - begin.offset : ends[stop]],
            stop,
            origin=_whose(origin, part.app),
            converter=converter,
            flags=flags if stop == len(lines) else flags & ~Flag.FINAL,
        )
        taken, voices = source.position.offset - begin.offset, part.voices
        if taken < ends[stop]:  # marks made too much of it for one chunk: the rest comes with the next look
            voices = list(segments(lines[: ends.index(taken)], before, mid_line=begin.open_line))[-1].voices
        source.position = msgspec.structs.replace(outgoing.after, voices=voices)
        made.append(Outgoing(outgoing.chunk, source, source.position))
        malformed += bad
        if taken < ends[stop]:
            break
    return made, malformed


class _Send(Protocol):
    """Makes a chunk of the lines of one part, which end before line `stop`, and moves the source on."""

    def __call__(
        self,
        source: Source,
        data: bytes,
        stop: int,
        /,
        *,
        origin: Origin,
        converter: DockerJsonToCri | None,
        flags: Flag,
    ) -> tuple[Outgoing, int]: ...


def _send_as_they_are(
    source: Source, data: bytes, stop: int, /, *, origin: Origin, converter: DockerJsonToCri | None, flags: Flag
) -> tuple[Outgoing, int]:
    del stop
    return send_on(source, data, origin=origin, converter=converter, flags=flags)


class _Hidden:
    """Makes chunks without their secrets."""

    def __init__(self, hiding: Hiding, parts: Parts) -> None:
        self._hiding, self._parts = hiding, parts

    def ready(self, count: int, *, more: bool) -> int:
        """How many of `count` lines can go."""
        if not self._hiding.waits:
            return count
        ready = self._parts.ready(more=more)
        if ready < count:
            self._hiding.wait(self._parts.second(ready))
        return ready

    def send_on(
        self,
        source: Source,
        data: bytes,
        stop: int,
        /,
        *,
        origin: Origin,
        converter: DockerJsonToCri | None,
        flags: Flag,
    ) -> tuple[Outgoing, int]:
        """See `_Send`."""
        begin = source.position
        data, cri = converted(converter, data, mid_line=begin.open_line)
        given = Input(
            cri.data,
            len(data),
            cri.line_offsets,
            begin.offset,
            source.id,
            mid_line=begin.open_line,
            final=True,
        )
        judged = self._parts.judge(given, stop, self._hiding.rules, begin.rules)
        if judged is None:
            return make_chunk(source, data, origin=origin, made=cri, flags=flags), cri.malformed
        self._hiding.count(judged)
        if judged.taken < len(data):
            flags &= ~Flag.FINAL
        made = msgspec.structs.replace(cri, data=judged.data, line_offsets=judged.line_offsets)
        state = None if judged.state == FRESH else judged.state
        return make_chunk(
            source, data[: judged.taken], origin=origin, made=made, flags=flags, rules=state
        ), cri.malformed


def _lines(data: bytes, converter: DockerJsonToCri | None, *, mid_line: bool) -> list[bytes]:
    """Lines in the runtime's format, one for each line of `data`."""
    converted = data if converter is None else copy(converter).convert(data, mid_line=mid_line).data
    lines = converted.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _ends(data: bytes) -> list[int]:
    """Where the lines before each line, and before the end, end in `data`."""
    ends = list(accumulate((len(line) + 1 for line in data.split(b"\n")), initial=0))
    return ends[:-1] if data.endswith(b"\n") else [*ends[:-1], len(data)]


def _whose(origin: Origin, app: AppId) -> Origin:
    """Origin of lines about `app`. The platform's own are the namespace's: no app has its name."""
    if app == PLATFORM:
        return msgspec.structs.replace(origin, app=origin.namespace)
    return msgspec.structs.replace(origin, app=app, process=CONTROLLER_PROCESS, release="")
