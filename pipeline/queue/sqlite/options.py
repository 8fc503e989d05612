"""What a queue's URL says."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pipeline.errors import SettingsError
from pipeline.limits import MIB

DEFAULT_PARTITIONS: Final = 4
DEFAULT_GROUPS: Final = ("logger",)

_DAY: Final = 86_400
_BOUNDS: Final = {
    "partitions": (1, 1024),
    "max_bytes": (MIB, 2**50),
    "max_age_seconds": (1, 3650 * _DAY),
    "keep_seconds": (0, 365 * _DAY),
}
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteOptions:
    """A queue's file and its bounds. `max_bytes` and `max_age_seconds` together are the outage budget.

    Attributes:
        path: The database file; SQLite keeps `-wal` and `-shm` beside it.
        partitions: How many; fixed when the file is made. `None` takes the file's number, or 4 for a new one.
        max_bytes: Record bytes kept for consumers that are away; beyond it the oldest records go, and are counted.
        max_age_seconds: Age beyond which a record goes even if it was not read, and is counted then.
        keep_seconds: How long a record stays after every registered group has committed it.
        groups: Consumer groups registered when the file is made, so that their records are kept before their first
            start. Without any registered group, everything is kept within the outage budget.
    """

    path: Path
    partitions: int | None = None
    max_bytes: int = 8 * 1024 * MIB
    max_age_seconds: int = 3 * _DAY
    keep_seconds: int = 600
    groups: tuple[str, ...] = DEFAULT_GROUPS


def parse_url(url: str) -> SqliteOptions:
    """Read a queue's URL, as the package's docstring describes it.

    Raises:
        SettingsError: Not such a URL, or an option is unknown, given twice, or out of its range.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise SettingsError(f"QUEUE_URL={url!r}: {error}") from error
    path = _path(url, parts)
    texts = dict(pairs)
    if len(texts) != len(pairs):
        raise SettingsError(f"QUEUE_URL={url!r}: an option is given twice")
    groups = _groups(texts.pop("groups", ",".join(DEFAULT_GROUPS)))
    numbers = {name: _number(name, text) for name, text in texts.items()}
    return SqliteOptions(path=path, groups=groups, **numbers)


def check_group(group: str) -> str:
    """Return the name of a consumer group as it is.

    Raises:
        SettingsError: Not 1 to 64 letters, digits, dots, dashes and underscores.
    """
    if not _GROUP.fullmatch(group):
        raise SettingsError(f"consumer group {group!r}: 1 to 64 letters, digits, dots, dashes, underscores are allowed")
    return group


def _path(url: str, parts: SplitResult) -> Path:
    if parts.scheme != "sqlite" or parts.netloc or not parts.path.startswith("/") or parts.fragment:
        raise SettingsError(f"QUEUE_URL={url!r}: expected sqlite:///relative/path.db or sqlite:////absolute/path.db")
    path = unquote(parts.path[1:])
    if not path or path.endswith("/") or "\0" in path:
        raise SettingsError(f"QUEUE_URL={url!r}: names no file")
    return Path(path)


def _number(name: str, text: str) -> int:
    if name not in _BOUNDS:
        raise SettingsError(f"QUEUE_URL: unknown option {name!r}; known are {', '.join(_BOUNDS)}, groups")
    low, high = _BOUNDS[name]
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
    if not low <= number <= high:
        raise SettingsError(f"QUEUE_URL: {name}={text!r} is not a whole number from {low} to {high}")
    return number


def _groups(text: str) -> tuple[str, ...]:
    return tuple(check_group(group) for group in text.split(",")) if text else ()
