"""Times that messages state.

RFC 5424 has RFC 3339. RFC 3164 has `Nov 24 12:00:00`, without year and zone: the zone is a setting, and the year is the
newest one in which the time is not to come, but for a day by which clocks may differ. So a message of 31 December that
comes on 1 January is a second old, and so is one the other way round.
"""

import functools
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from pipeline.cri import parse_header

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_STAMP = re.compile(rb"([A-Z][a-z]{2}) ([ 0-3]?\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?")
_HEADER: Final = b" stdout F "
_NS: Final = 1_000_000_000
_AHEAD: Final = timedelta(days=1)


def rfc3339_ns(text: bytes) -> int | None:
    """Nanoseconds since the epoch; `None` for another form, or beyond 64 bits. The runtime's lines begin like it."""
    header = parse_header(text + _HEADER)
    return header.time_ns if header is not None and header.content_start == len(text) + len(_HEADER) else None


def stamp_ns(text: bytes, *, now_ns: int, zone: tzinfo) -> int | None:
    """Nanoseconds since the epoch of `Nov 24 12:00:00`, with a fraction or without; `None` for another form.

    Args:
        text: The stamp.
        now_ns: Nanoseconds since the epoch.
        zone: Of the sender's clock.
    """
    match = _STAMP.fullmatch(text)
    if match is None or match[1] not in _MONTHS:
        return None
    clock = (_MONTHS.index(match[1]) + 1, int(match[2]), int(match[3]), int(match[4]), int(match[5]))
    seconds = _in_its_year(clock, now_ns // _NS // 60, zone)
    return None if seconds is None else seconds * _NS + int((match[6] or b"").ljust(9, b"0"))


def zone_of(name: str) -> tzinfo:
    """A time zone by its name. UTC needs no files, which small images do not have.

    Raises:
        ValueError: This machine knows none of that name.
    """
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValueError("no time zone that this machine knows, such as UTC or Europe/Berlin") from error


@functools.lru_cache(maxsize=256)
def _in_its_year(clock: tuple[int, int, int, int, int], now_minutes: int, zone: tzinfo) -> int | None:
    """Seconds since the epoch, in the newest year that it can be; messages that come together share it."""
    latest = timedelta(minutes=now_minutes) + _AHEAD
    year = (_EPOCH + latest).year
    for one in (year, year - 1):
        try:
            moment = datetime(one, *clock, tzinfo=zone) - _EPOCH
        except ValueError:  # 29 February, and what is no time at all
            continue
        if moment <= latest:
            return moment // timedelta(seconds=1)
    return None
