"""Chunks of the Deis controller's log, cut where the app changes: each is still consecutive bytes of the one source.

Who made a line of an app's log is told by its process: no label and no name of a pod can be `CONTROLLER_PROCESS`, since
names from outside get a safe form (see `fluentd.pods.safe_name`), which has no `@`.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from itertools import accumulate
from typing import Final

import msgspec

from fluentd.controller import PLATFORM, Segment, Voices, segments
from fluentd.discovery import Place
from fluentd.dockerjson import DockerJsonToCri
from fluentd.outgoing import Outgoing, fit_chunk, send_on
from fluentd.pods import process_of
from fluentd.source import Source
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
        self, source: Source, data: bytes, *, origin: Origin, converter: DockerJsonToCri | None, flags: Flag
    ) -> tuple[list[Outgoing], int]:
        """Make chunks of the next bytes of `source`, and move it on; see `fluentd.outgoing.send_on`.

        Returns:
            The chunks, at least one, and how many lines of docker's format made no sense.
        """
        begin = source.position
        voices = begin.voices or (self._voices if not begin.offset else None) or _SILENCE
        if converter is not None:
            data = fit_chunk(copy(converter), data, mid_line=begin.open_line)[0]
        parts = list(segments(_lines(data, converter, mid_line=begin.open_line), voices, mid_line=begin.open_line))
        made, malformed = [], 0
        for part, stop in zip(parts, _stops(data, parts), strict=True):
            outgoing, bad = send_on(
                source,
                data[source.position.offset - begin.offset : stop],
                origin=_whose(origin, part.app),
                converter=converter,
                flags=flags if stop == len(data) else Flag.NONE,
            )
            source.position = msgspec.structs.replace(outgoing.after, voices=part.voices)
            made.append(Outgoing(outgoing.chunk, source, source.position))
            malformed += bad
        self._voices = source.position.voices
        return made, malformed


def _lines(data: bytes, converter: DockerJsonToCri | None, *, mid_line: bool) -> list[bytes]:
    """Lines in the runtime's format, one for each line of `data`."""
    converted = data if converter is None else copy(converter).convert(data, mid_line=mid_line).data
    lines = converted.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _stops(data: bytes, parts: Sequence[Segment]) -> list[int]:
    """Where each part ends in `data`."""
    starts = list(accumulate((len(line) + 1 for line in data.split(b"\n")), initial=0))
    return [*(starts[part.first_line] for part in parts[1:]), len(data)]


def _whose(origin: Origin, app: AppId) -> Origin:
    """Origin of lines about `app`. The platform's own are the namespace's: no app has its name."""
    if app == PLATFORM:
        return msgspec.structs.replace(origin, app=origin.namespace)
    return msgspec.structs.replace(origin, app=app, process=CONTROLLER_PROCESS, release="")
