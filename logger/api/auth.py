"""Who may reach /v1: those with a token, unless nothing but this machine can."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from logger.settings import LoggerSettings
from pipeline.auth import Access, check_tokens
from pipeline.errors import SettingsError
from pipeline.settings import is_loopback


def check_access(settings: LoggerSettings) -> None:
    """Refuse settings that would open /v1 to the network, or tokens that cannot be read.

    Raises:
        SettingsError: Names the variable.
    """
    if settings.tokens:
        check_tokens(settings.tokens, variable="LOGGER_TOKENS")
    elif not is_loopback(settings.listen):
        raise SettingsError(
            f"LOGGER_LISTEN={settings.listen} can be reached from other machines: set LOGGER_TOKENS to a file of "
            "tokens, or listen on 127.0.0.1"
        )


def make_access(tokens: str, *, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> Access:
    """The tokens of the file `tokens` as they are now; see `pipeline.auth.Access`."""
    return Access(
        tokens,
        reload_failures=Counter(
            "logger_tokens_reload_failures", "Times that a changed LOGGER_TOKENS was not usable.", registry=registry
        ),
        refused=Counter("logger_tokens_refused", "Requests without a valid token.", registry=registry),
        clock=clock,
    )
