"""Who may read what: bearer tokens from a file, compared in constant time, read again when the file changes."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import Counter

from pipeline.errors import SettingsError
from pipeline.limits import MIB, NAME_BYTES

log = structlog.get_logger()

FILE_BYTES: Final = 1 * MIB
"""Longest file of tokens."""

RELOAD_SECONDS: Final = 1.0
"""The file is looked at this often, when requests come or follows are open."""

_TOKEN = re.compile(r"[!-~]{16,512}")
_NAME = re.compile(r"[!-~]{1,253}")


@dataclass(frozen=True, slots=True)
class Grant:
    """One token.

    Attributes:
        digest: SHA-256 of the token.
        name: Whose it is, for the service's own log.
        apps: Which apps it opens; `None` for all.
    """

    digest: bytes
    name: str
    apps: frozenset[str] | None

    def opens(self, app: str) -> bool:
        """Whether the app may be read and deleted with it."""
        return self.apps is None or app in self.apps


GRANT: Final = web.RequestKey("grant", Grant)
"""What a request's token allows; put there by the middleware, where a token is asked for."""

EVERYTHING: Final = Grant(b"", "local", None)
"""What a request has that needs no token."""


def parse_tokens(text: str) -> list[Grant]:
    """Read a file of tokens: `token name apps` a line, apps by commas or `*`; `#` begins a comment line.

    Raises:
        ValueError: A line is not of that form, or a token stands there twice; the message has its number, not its text.
    """
    grants: dict[bytes, Grant] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.split()
        if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _NAME.fullmatch(parts[1]):  # noqa: PLR2004 - fields
            raise ValueError(f"line {number} is not `token name apps`, the token of 16 to 512 printable characters")
        apps = None if parts[2] == "*" else frozenset(parts[2].split(","))
        if apps is not None and not all(0 < len(app) <= NAME_BYTES for app in apps):
            raise ValueError(f"line {number} does not name apps, separated by commas, or `*`")
        digest = hashlib.sha256(parts[0].encode()).digest()
        if digest in grants:
            raise ValueError(f"line {number} repeats a token")
        grants[digest] = Grant(digest, parts[1], apps)
    return list(grants.values())


def check_tokens(path: str, *, variable: str) -> None:
    """Make sure that a file of tokens can be read.

    Raises:
        SettingsError: Names the variable.
    """
    try:
        parse_tokens(_read(Path(path)))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable}={path}: {error}") from error


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise ValueError(f"longer than {FILE_BYTES} bytes")
    return content.decode()


class Secret:
    """What services that share it show each other.

    Args:
        text: The secret.
    """

    def __init__(self, text: str) -> None:
        self._digest = hashlib.sha256(text.encode()).digest()

    def is_shown(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header bears it."""
        kind, digest = _shown(authorization)
        is_right = hmac.compare_digest(digest, self._digest)
        return kind == "bearer" and is_right


class Access:
    """The tokens as they are now.

    Args:
        path: File of tokens; empty when none are needed.
        reload_failures: Counts the times that changed tokens were not usable.
        refused: Counts requests without a valid token.
        clock: Seconds, for `RELOAD_SECONDS` only.
    """

    def __init__(
        self,
        path: str,
        *,
        reload_failures: Counter,
        refused: Counter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(path) if path else None
        self._clock = clock
        self._looked_at = -RELOAD_SECONDS
        self._stamp: tuple[int, ...] | None = None
        self._grants: Sequence[Grant] = ()
        self._failed = reload_failures
        self._refused = refused

    def grant(self, authorization: str | None) -> Grant | None:
        """What a request may do by its `Authorization` header; `None` when it needs a token and has no valid one."""
        if self._path is None:
            return EVERYTHING
        self._reload()
        kind, digest = _shown(authorization)
        found = None
        for grant in self._grants:  # all of them, so that the time tells nothing
            if hmac.compare_digest(grant.digest, digest):
                found = grant
        if kind != "bearer" or found is None:
            self._refused.inc()
            return None
        return found

    def still_opens(self, grant: Grant, app: str) -> bool:
        """Whether a grant given earlier still opens the app."""
        if self._path is None:
            return True
        self._reload()
        return any(now.digest == grant.digest and now.opens(app) for now in self._grants)

    def _reload(self) -> None:
        if self._path is None or self._clock() - self._looked_at < RELOAD_SECONDS:
            return
        self._looked_at = self._clock()
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return
            # Also of a file that is not usable: it is looked at once, and again when it changes.
            self._stamp = stamp
            self._grants = parse_tokens(_read(self._path))
        except (OSError, ValueError) as error:
            self._failed.inc()
            log.warning("tokens not reloaded, the ones before stay valid", path=str(self._path), error=str(error))
        else:
            log.info("tokens loaded", path=str(self._path), tokens=len(self._grants))


def _shown(authorization: str | None) -> tuple[str, bytes]:
    """Kind and digest of what an `Authorization` header shows."""
    kind, _, shown = (authorization or "").partition(" ")
    return kind.lower(), hashlib.sha256(shown.strip().encode(errors="replace")).digest()
