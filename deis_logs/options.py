"""The options that commands share, and what is made of them; whatever is wrong is told before any request."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from deis_logs.query import Filters, Query
from deis_logs.render import ExportOutput, Output
from deis_logs.times import parse_moment
from pipeline.limits import NAME_BYTES

TEXT_CHARACTERS: Final = 2000
"""Longest `--grep` or `--regex`: it travels in the request's first line."""

VALUES: Final = 50
"""Most values of one repeatable option, for the same reason."""

CONTEXT_LINES: Final = 1000
"""Most lines of context, as the logger has it."""


class Colour(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class AppsOutput(StrEnum):
    """Formats of `apps`."""

    TEXT = "text"
    JSON = "json"


class Stream(StrEnum):
    """Where a container wrote a line."""

    STDOUT = "stdout"
    STDERR = "stderr"


Values: TypeAlias = list[str] | None

App = Annotated[
    str | None,
    typer.Option("--app", "-a", metavar="APP", help="The app. Default: that of the git remote of this directory."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From this time on: 90s, 5m, 1h30m, 7d before now, or an RFC 3339 time."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Up to this time, which is not included.")]
Process = Annotated[
    Values, typer.Option("--process", "-p", metavar="TYPE", help="Only this process type, such as web. Repeatable.")
]
Release = Annotated[Values, typer.Option(metavar="VERSION", help="Only this release, such as v3. Repeatable.")]
Pod = Annotated[Values, typer.Option(metavar="POD", help="Only this pod, by its full name. Repeatable.")]
Container = Annotated[Values, typer.Option(metavar="NAME", help="Only this container. Repeatable.")]
StreamOption = Annotated[list[Stream] | None, typer.Option("--stream", help="Only this stream. Repeatable.")]
Grep = Annotated[str, typer.Option(metavar="TEXT", help="Only lines that contain this text.")]
Regex = Annotated[str, typer.Option(metavar="RE2", help="Only lines that match this RE2 expression somewhere.")]
After = Annotated[
    int | None,
    typer.Option("--after", "-A", metavar="N", min=0, max=CONTEXT_LINES, help="Lines of context after a match."),
]
Before = Annotated[
    int | None,
    typer.Option("--before", "-B", metavar="N", min=0, max=CONTEXT_LINES, help="Lines of context before a match."),
]
Context = Annotated[
    int | None,
    typer.Option("--context", "-C", metavar="N", min=0, max=CONTEXT_LINES, help="Lines of context on both sides."),
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="text for people, json for programs, raw for the bytes as written.")
]
ExportOutputOption = Annotated[
    ExportOutput, typer.Option("--output", "-o", help="text, json, raw (the bytes as written), or csv.")
]
ColourOption = Annotated[Colour, typer.Option("--color", help="Colour; auto is on a terminal without NO_COLOR.")]
Url = Annotated[
    str | None,
    typer.Option(envvar="DEIS_LOGS_URL", show_envvar=False, metavar="URL", help="The logger (DEIS_LOGS_URL)."),
]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="PATH", help="File that holds the token, in place of DEIS_LOGS_TOKEN.")
]


@dataclass(frozen=True, slots=True)
class Fields:
    """The filters as typed."""

    process: Values
    release: Values
    pod: Values
    container: Values
    stream: list[Stream] | None
    grep: str
    regex: str
    after: int | None
    before: int | None
    context: int | None


def read_filters(typed: Fields) -> Filters:
    """Make filters of what was typed.

    Raises:
        typer.BadParameter: Names the option.
    """
    if not (typed.grep or typed.regex) and any((typed.after, typed.before, typed.context)):
        raise typer.BadParameter("context is that of a match: give --grep or --regex too", param_hint="-A/-B/-C")
    for name, text in (("--grep", typed.grep), ("--regex", typed.regex)):
        if len(text) > TEXT_CHARACTERS or not _is_text(text):
            raise typer.BadParameter(f"not UTF-8, or over {TEXT_CHARACTERS} characters", param_hint=name)
    return Filters(
        process=_values("--process", typed.process),
        release=_values("--release", typed.release),
        pod=_values("--pod", typed.pod),
        container=_values("--container", typed.container),
        stream=tuple(dict.fromkeys(value.value for value in typed.stream or ())),
        text=typed.grep,
        regex=typed.regex,
        before=(typed.before if typed.before is not None else typed.context) or 0,
        after=(typed.after if typed.after is not None else typed.context) or 0,
    )


def _values(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(values or ()))
    if len(found) > VALUES:
        raise typer.BadParameter(f"more than {VALUES} values", param_hint=name)
    if not all(value and len(value) <= NAME_BYTES and _is_text(value) for value in found):
        raise typer.BadParameter(f"a name has 1 to {NAME_BYTES} characters", param_hint=name)
    return found


def _is_text(value: str) -> bool:
    """Whether `value` was UTF-8 on the command line: Python keeps other bytes as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def read_query(*, app: str, since: str | None, until: str | None, filters: Filters) -> Query:
    """Make a query; durations count from now.

    Raises:
        typer.BadParameter: Names the option.
    """
    now_ns = time.time_ns()
    since_ns = _moment("--since", since, now_ns)
    until_ns = _moment("--until", until, now_ns)
    if since_ns is not None and until_ns is not None and until_ns <= since_ns:
        raise typer.BadParameter("is not after --since", param_hint="--until")
    return Query(app=app, since_ns=since_ns, until_ns=until_ns, filters=filters)


def _moment(name: str, text: str | None, now_ns: int) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment(text, now_ns=now_ns)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=name) from error


def typed_options(*, app: str, since: str | None, until: str | None, output: str, filters: Filters) -> dict[str, str]:
    """Return what decides on the content of an export, as typed: a resumed one is compared by it."""
    typed = {"--app": app, "--since": since or "", "--until": until or "", "--output": str(output)}
    for parameter, value in filters.parameters():
        name = "--grep" if parameter == "text" else f"--{parameter}"
        typed[name] = f"{typed[name]} {value}" if name in typed else value
    return typed
