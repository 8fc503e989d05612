"""Whose lines a message is: the app by the operator's rules, the process by the program that the message names.

A client states facility, program and host, and anybody who reaches the port may state anything: so a message never
names an app. Rules do, `facility:authpriv=security, name:etcd=etcd, host:db-*=database`: the first one that fits.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from fluentd.pods.names import safe_name
from fluentd.syslog.message import Message
from pipeline.names import MALFORMED_PROCESS

FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
"""By their numbers. Source: RFC 5424, table 1; names as in sys/syslog.h."""

_MOST_RULES: Final = 100
_KINDS: Final = ("facility", "name", "host")


@dataclass(frozen=True, slots=True)
class Rule:
    """Messages that have this go to that app.

    Attributes:
        kind: What is looked at: `facility`, `name` or `host`.
        pattern: What it must be; `*`, `?` and `[...]` as in file names.
        app: Where they go.
    """

    kind: str
    pattern: str
    app: str


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Parse rules: `kind:pattern=app`, separated by commas.

    Raises:
        ValueError: Names the rule and what is wrong with it.
    """
    rules = tuple(_parse_rule(rule.strip()) for rule in text.split(",") if rule.strip())
    if len(rules) > _MOST_RULES:
        raise ValueError(f"more than {_MOST_RULES} rules")
    return rules


def _parse_rule(text: str) -> Rule:
    selector, _, app = text.rpartition("=")
    kind, _, pattern = selector.partition(":")
    if kind not in _KINDS or not pattern:
        raise ValueError(f"{text!r} is not facility:NAME=APP, name:PROGRAM=APP or host:NAME=APP")
    if kind == "facility" and pattern not in FACILITIES:
        raise ValueError(f"{text!r}: facilities are {', '.join(FACILITIES)}")
    return Rule(kind, pattern, check_app(app))


def check_app(app: str) -> str:
    """Check the name of an app that an operator chose.

    Raises:
        ValueError: It is not one of letters, digits, dots, dashes and underscores.
    """
    if not app or safe_name(app) != app:
        raise ValueError(f"{app!r} is no name of an app: letters, digits, dots, dashes, underscores")
    return app


class Naming:
    """See the module.

    Args:
        rules: In order.
        app: Where messages go that no rule fits.
    """

    def __init__(self, rules: Sequence[Rule], *, app: str) -> None:
        self._rules, self._app = rules, app
        self._whose = functools.lru_cache(maxsize=4096)(self._find)

    def whose(self, message: Message | None) -> tuple[str, str]:
        """App and process of a message; `None` for what is none."""
        if message is None:
            return self._app, MALFORMED_PROCESS
        return self._whose(message.facility, message.name, message.host)

    def _find(self, facility: int, name: bytes, host: bytes) -> tuple[str, str]:
        program = name.decode(errors="backslashreplace")
        stated = {"facility": FACILITIES[facility], "name": program, "host": host.decode(errors="backslashreplace")}
        fitting = (rule.app for rule in self._rules if fnmatchcase(stated[rule.kind], rule.pattern))
        return next(fitting, self._app), safe_name(program) if program else ""
