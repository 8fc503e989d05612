"""Durations as Kubernetes writes them: `90s`, `5m`, `1h30m`."""

import re
from datetime import timedelta
from typing import Annotated, Final

from msgspec import Meta

PATTERN: Final = r"^(?:[0-9]{1,4}h)?(?:[0-9]{1,5}m)?(?:[0-9]{1,6}s)?$"

Duration = Annotated[str, Meta(pattern=PATTERN, min_length=2, max_length=18)]
"""A duration as it is written; the custom resource's schema has the same pattern."""

_PARTS = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")


def length_of(duration: str) -> timedelta:
    """How long a duration is.

    Raises:
        ValueError: It is none.
    """
    match = _PARTS.fullmatch(duration)
    if match is None or not duration:
        raise ValueError(f"{duration!r} is no duration such as 90s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
