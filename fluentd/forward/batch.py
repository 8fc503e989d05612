"""Entries of a frame become lines by app, in portions: whoever puts them may wait between two."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fluentd.forward.frame import Frame
from fluentd.forward.naming import Naming
from fluentd.forward.record import UndecodableError, decode_entry, message_of, time_ns_of, undecodable
from fluentd.inputs.intake import Lines
from fluentd.inputs.lines import cri_lines
from pipeline.limits import KIB

if TYPE_CHECKING:
    from array import array

PORTION_BYTES = 64 * KIB
"""About so many bytes of entries become one portion; decoding them takes a few milliseconds."""


@dataclass(slots=True)
class Portion:
    """Some entries' lines.

    Attributes:
        lines: Of each app that they name.
        odd: How many entries were unusual, by reason: `time`, `record` (none), `undecodable`. All were kept.
    """

    lines: list[Lines] = field(default_factory=list)
    odd: dict[str, int] = field(default_factory=dict)


def portions(frame: Frame, ends: "array[int]", *, naming: Naming, now_ns: int) -> Iterator[Portion]:
    """Decode a frame's entries.

    Args:
        frame: With its entries decompressed.
        ends: Of `entry_ends`.
        naming: How entries name their app.
        now_ns: Time of entries that state none; nanoseconds since the epoch.
    """
    first = 0
    while first < len(ends) - 1:
        last = first + 1
        while last < len(ends) - 1 and ends[last + 1] - ends[first] <= PORTION_BYTES:
            last += 1
        yield _portion(frame, ends[first : last + 1], naming, now_ns)
        first = last


def _portion(frame: Frame, ends: "array[int]", naming: Naming, now_ns: int) -> Portion:
    portion, found = Portion(), dict[tuple[str, str], list[bytes]]()
    own_fields, body, start = naming.own_fields, frame.body, ends[0]
    for end in ends[1:]:
        raw, start = body[start:end], end
        try:
            time, record = decode_entry(raw)
            message = message_of(record, own_fields=own_fields)
        except UndecodableError:
            time, record, message = None, {}, undecodable(raw)
            _count(portion, "undecodable")
        time_ns, odd = time_ns_of(time, now_ns=now_ns)
        if odd:
            _count(portion, "time")
        if not isinstance(record, dict):
            _count(portion, "record")
        found.setdefault(naming.whose(frame.tag, record), []).append(cri_lines(time_ns, message))
    portion.lines = [Lines(app, process, b"".join(lines), len(lines)) for (app, process), lines in found.items()]
    return portion


def _count(portion: Portion, reason: str) -> None:
    portion.odd[reason] = portion.odd.get(reason, 0) + 1
