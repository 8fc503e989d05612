"""Settings that the services share, and how a service reads its own: once, from the environment, at its start."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.failpoints import check_spec

SECRET_CHARACTERS: Final = 16
"""Fewest characters of a secret that services share."""

_MAX_PORT = 65_535


_LISTEN = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.\-]*):([0-9]{1,5})")


def _check_listen(listen: str) -> str:
    match = _LISTEN.fullmatch(listen)
    if match is None or int(match[2]) > _MAX_PORT:
        raise ValueError(f"not host:port, [v6]:port or :port, with a port up to {_MAX_PORT}")
    return listen


Listen = Annotated[str, AfterValidator(_check_listen)]
"""`host:port`, `[v6]:port`, or `:port` for all addresses."""


class CommonSettings(BaseSettings):
    """What every service needs. Subclasses add their own fields, under full variable names as aliases."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    queue_url: str = Field(
        default="sqlite:///var/queue.db",
        validation_alias="QUEUE_URL",
        description="The queue: `sqlite:///relative/path`, `sqlite:////absolute/path` or `kafka://host:port/TOPIC`; "
        "options as query parameters.",
    )
    log_level: Annotated[str, StringConstraints(pattern="^(debug|info|warning|error)$")] = Field(
        default="info",
        validation_alias="LOG_LEVEL",
        description="Least level of the service's own log: debug to error.",
    )
    log_format: Annotated[str, StringConstraints(pattern="^(auto|json|console)$")] = Field(
        default="auto",
        validation_alias="LOG_FORMAT",
        description="`json`, `console`, or `auto`: console on a terminal.",
    )
    failpoint: Annotated[str, AfterValidator(check_spec)] = Field(
        default="",
        validation_alias="FAILPOINT",
        description="For fault tests only: `name[:n]` ends the process at that step.",
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: Names the variable, what it holds and what is allowed.
        """
        return load(cls)


StoreUrl = Annotated[str, StringConstraints(min_length=1)]
OwnUrl = Annotated[str, StringConstraints(pattern=r"^(|https?://[A-Za-z0-9.\-\[\]:]{1,255}/?)$")]
"""How others reach a service; empty: by the address that it listens on."""

InstanceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._\-]{0,249}$")]
"""Stable name of a member of a consumer group; empty for none."""


S = TypeVar("S", bound=CommonSettings)


def load(kind: type[S]) -> S:
    """See `CommonSettings.load`."""
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("; ".join(map(_told, error.errors()))) from None  # the error's cause repeats all values


def _told(problem: ErrorDetails) -> str:
    """One problem in words; without the value where that is a secret, or all settings at once."""
    name = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if not name:
        return message
    secret = "SECRET" in name.upper() or "PASSWORD" in name.upper()
    return f"{name}: {message}" if secret else f"{name}={problem['input']!r}: {message}"


def shared_secret(secret: SecretStr | None, file: str, *, variable: str) -> SecretStr | None:
    """The secret that services of one kind share, from its file if there is one; `None` for none.

    Checked here and not by pydantic, whose errors repeat what they are about.

    Args:
        secret: What the variable holds.
        file: What `<variable>_FILE` holds: a path; a line end at the content's end does not count.
        variable: Its name, for errors.

    Raises:
        SettingsError: It is set twice, too short, or its file cannot be read.
    """
    if file:
        if secret is not None:
            raise SettingsError(f"{variable} and {variable}_FILE: only one can be set")
        try:
            secret = SecretStr(Path(file).read_text(encoding="utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}_FILE: {type(error).__name__}") from error
    if secret is not None and len(secret.get_secret_value()) < SECRET_CHARACTERS:
        raise SettingsError(f"{variable}: fewer than {SECRET_CHARACTERS} characters")
    return secret


def split_listen(listen: str) -> tuple[str, int]:
    """Split `host:port` as `Listen` describes it; the host of `:port` is `0.0.0.0`."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach `listen`."""
    host, _ = split_listen(listen)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # another name, even one like 127.example.org, may be any address
