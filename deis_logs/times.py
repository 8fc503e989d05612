"""Moments: what people type for `--since` and `--until`, and what the logger writes."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT_NS: Final = {"s": _NS, "m": 60 * _NS, "h": 3600 * _NS, "d": 86400 * _NS, "w": 7 * 86400 * _NS}
_TEXT_CHARACTERS: Final = 64  # no moment is longer; keeps absurd numbers from being computed with

_DURATION = re.compile(r"(?:[0-9]{1,12}[smhdw])+")
_DURATION_PART = re.compile(r"([0-9]+)([smhdw])")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))?"
)
WANTED: Final = "a duration before now such as 90s, 5m, 1h30m, 7d, or a time such as 2026-11-24T12:00:00Z"


def parse_moment(text: str, *, now_ns: int) -> int:
    """Parse a duration before now, or an RFC 3339 time; one without a zone is local time.

    Args:
        text: What was typed.
        now_ns: Now, nanoseconds since the epoch.

    Returns:
        Nanoseconds since the epoch, never negative.

    Raises:
        ValueError: The text is neither; the message says what is wanted.
    """
    text = text.strip()
    if len(text) <= _TEXT_CHARACTERS:
        if _DURATION.fullmatch(text):
            back_ns = sum(int(count) * _UNIT_NS[unit] for count, unit in _DURATION_PART.findall(text))
            return max(0, now_ns - back_ns)
        moment_ns = _parse_time(text)
        if moment_ns is not None:
            return moment_ns
    raise ValueError(f"{text[:_TEXT_CHARACTERS]!r} is not {WANTED}")


def parse_time(text: str) -> int | None:
    """Parse an RFC 3339 time into nanoseconds since the epoch; `None` when it is none."""
    return _parse_time(text) if len(text) <= _TEXT_CHARACTERS else None


def _parse_time(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zulu, sign, zone_hours, zone_minutes = match.groups()
    try:
        zone = UTC if zulu else _zone(sign, zone_hours, zone_minutes)
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=zone
        )
        moment_ns = (moment.astimezone(UTC) - _EPOCH) // timedelta(seconds=1) * _NS
    except (ValueError, OverflowError, OSError):  # OSError: local time of a year that the C library refuses
        return None
    moment_ns += int((fraction or "0").ljust(9, "0"))
    return moment_ns if 0 <= moment_ns < 2**63 else None


def _zone(sign: str | None, hours: str, minutes: str) -> timezone | None:
    if sign is None:
        return None  # astimezone() takes a time without zone as local
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def format_time(time_ns: int) -> str:
    """Format nanoseconds since the epoch as RFC 3339 in UTC, with nine decimals."""
    seconds, fraction = divmod(time_ns, _NS)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
