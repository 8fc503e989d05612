"""Trace ids in lines."""

import re
from typing import Final

import numpy as np

from monitor.rules.rows import Text

# Plain letters are searched for at the speed of memory; most logs have none of these.
_HINT: Final = re.compile(rb"race")
_TRACE: Final = re.compile(
    rb'race(?:[_.-]?[iI][dD]|parent)\\?"?\s*[=:]\s*\\?"?(?:[0-9a-f]{2}-)?'
    rb"([0-9a-fA-F]{32}|[0-9a-fA-F]{16})(?![0-9a-zA-Z])"
)


def traces_of(text: Text) -> dict[int, str]:
    """The first trace id of each line that has one, by the line's index: `trace_id=`, `"traceId":"`, `traceparent:`."""
    at = np.array([match.start() for match in _HINT.finditer(text.buffer)] if len(text) else [], np.int64)
    at = at[at >= text.starts[:1].sum()]  # in a buffer of more lines than these
    lines = np.searchsorted(text.starts, at, side="right") - 1
    stops = text.stops[lines]
    found: dict[int, str] = {}
    for line, place, stop in zip(lines.tolist(), at.tolist(), stops.tolist(), strict=True):
        match = _TRACE.match(text.buffer, place, stop) if line not in found else None
        if match is not None and match[1].strip(b"0"):
            found[line] = match[1].decode()
    return found
