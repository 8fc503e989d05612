"""Who may write: shared keys and users, the protocol's handshake, and the apps that each may write.

HELO from the server, PING from the client with digests of the key and of the password, PONG from the server with a
digest of its own: neither side says a secret. No input or output here.

Source: Forward Protocol Specification v1, handshake messages.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from fluentd.forward.errors import RefusedError
from fluentd.forward.frame import text_of
from pipeline.errors import SettingsError
from pipeline.limits import KIB, MIB

HANDSHAKE_BYTES: Final = 4 * KIB
"""Longest PING: who is not known yet gets no more memory than this."""

_FILE_BYTES: Final = 1 * MIB
_NONCE_BYTES: Final = 16
_PING_PARTS: Final = 6
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Grant:
    """What a client may do.

    Attributes:
        client: Name of its key and its user: whose repetitions are doubles.
        apps: Apps that it may write; `None` for all.
    """

    client: str = ""
    apps: frozenset[str] | None = None

    def allows(self, app: str) -> bool:
        """Whether the client may write to `app`."""
        return self.apps is None or app in self.apps


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shared key, and the apps that it opens; all when it says none."""

    key: str
    apps: frozenset[str] | None = None


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's password, and the apps that the user may write; all when it says none."""

    password: str
    apps: frozenset[str] | None = None


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys and users by name. With no key, everybody may write to every app; with users, a user is asked for."""

    keys: dict[str, Key] = {}
    users: dict[str, User] = {}

    @property
    def asks(self) -> bool:
        """Whether clients must know a key."""
        return bool(self.keys)


def read_access(path: Path | None, *, shared_key: str) -> Access:
    """Keys and users of the settings.

    Args:
        path: File of `AGENT_FORWARD_ACCESS`, if there is one.
        shared_key: Of `AGENT_FORWARD_SHARED_KEY`, or empty: one more key, for all apps.

    Raises:
        SettingsError: The file cannot be read, or is not as it should be. Its values are not repeated.
    """
    access = Access()
    if path is not None:
        try:
            with path.open("rb") as file:
                access = msgspec.json.decode(file.read(_FILE_BYTES), type=Access)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SettingsError(f"AGENT_FORWARD_ACCESS={path}: {error}") from None
    keys = dict(access.keys)
    if shared_key:
        keys["AGENT_FORWARD_SHARED_KEY"] = Key(shared_key)
    if access.users and not keys:
        raise SettingsError(f"AGENT_FORWARD_ACCESS={path}: users need a shared key, too")
    if not all([one.key for one in keys.values()] + [one.password for one in access.users.values()]):
        raise SettingsError(f"AGENT_FORWARD_ACCESS={path}: a key or a password is empty")
    return Access(keys, access.users)


class Handshake:
    """One client's.

    Args:
        access: Keys and users.
        hostname: Of this server, as it tells it.
    """

    def __init__(self, access: Access, *, hostname: str) -> None:
        self._access, self._hostname = access, hostname.encode()
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._salt = secrets.token_bytes(_NONCE_BYTES) if access.users else b""

    def hello(self) -> bytes:
        """The HELO."""
        return _pack(["HELO", {"nonce": self._nonce, "auth": self._salt, "keepalive": True}])

    def check(self, ping: bytes | bytearray) -> tuple[Grant | None, bytes]:
        """Check a client's PING.

        Returns:
            What it may do, `None` for nothing at all; and the PONG.

        Raises:
            RefusedError: It is no PING.
        """
        hostname, salt, digest, user, password = _parse_ping(ping)
        found = [
            (name, key)
            for name, key in self._access.keys.items()
            if hmac.compare_digest(digest, _digest(salt, hostname, self._nonce, key.key.encode()))
        ]
        if not found:
            return None, _pack(["PONG", False, "shared key mismatch", "", ""])
        name, key = found[0]
        apps = key.apps
        if self._access.users:
            known = self._user(user, password)
            if known is None:
                return None, _pack(["PONG", False, "username/password mismatch", "", ""])
            name = f"{name}/{user.decode(errors='replace')}"
            apps = known.apps if apps is None else apps if known.apps is None else apps & known.apps
        own = _digest(salt, self._hostname, self._nonce, key.key.encode())
        return Grant(name, apps), _pack(["PONG", True, "", self._hostname.decode(), own.decode()])

    def _user(self, name: bytes, digest: bytes) -> User | None:
        user = self._access.users.get(name.decode(errors="replace"))
        # An unknown user takes as long as a known one.
        right = _digest(self._salt, name, (user.password if user else "").encode())
        return user if hmac.compare_digest(digest, right) and user is not None else None


def _parse_ping(ping: bytes | bytearray) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    try:
        parts = [bytes(text_of(memoryview(one))) for one in _raws.decode(ping)]
    except (msgspec.MsgspecError, RecursionError, RefusedError) as error:
        raise RefusedError("auth", f"no PING: {error}") from error
    if len(parts) != _PING_PARTS or parts[0] != b"PING":
        raise RefusedError("auth", "no PING")
    _, hostname, salt, digest, user, password = parts
    return hostname, salt, digest, user, password


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).hexdigest().encode()
