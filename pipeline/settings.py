"""Settings that the services share, and how a service reads its own: once, from the environment, at its start."""

import ipaddress
import re
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.failpoints import check_spec

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
