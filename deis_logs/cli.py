"""The command line: read, check, then run. Whatever is wrong with it ends with status 2 before any request."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deis_logs import options as opt
from deis_logs.errors import CliError, UsageError
from deis_logs.highlight import highlighter
from deis_logs.output import STDOUT, ReaderGoneError, Stdout, is_terminal, use_colour
from deis_logs.profile import Profile, Target, app_from_git, check_app, read_profile, resolve_target
from deis_logs.query import Filters
from deis_logs.render import ExportOutput, Output, Renderer, make_renderer

if TYPE_CHECKING:
    from deis_logs.client import Client

STDERR: Final = 2
STDOUT_FILE: Final = Path("-")
FOLLOW_LINES: Final = 10
HISTORY_LINES: Final = 100
TAIL_LINES: Final = 10_000
SEARCH_LINES: Final = 100_000

app = typer.Typer(
    name="deis-logs",
    help="Read the logs of apps. Data goes to stdout, words to stderr.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Lines = Annotated[
    int | None,
    typer.Option(
        "--lines", "-n", metavar="N", min=0, max=TAIL_LINES, help="The last N lines. Default: 10; 100 with --no-follow."
    ),
]
NoFollow = Annotated[bool, typer.Option("--no-follow", help="Print what is there, and end.")]
Limit = Annotated[int, typer.Option(metavar="N", min=1, max=SEARCH_LINES, help="Most lines to print.")]
Oldest = Annotated[bool, typer.Option("--oldest", help="The oldest lines that match, in place of the newest.")]
Json = Annotated[opt.AppsOutput, typer.Option("--output", "-o", help="text for people, json for programs.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; - is stdout.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an export that was interrupted.")]


@app.command("tail")
def tail_command(
    *,
    app: opt.App = None,
    lines: Lines = None,
    since: opt.Since = None,
    until: opt.Until = None,
    process: opt.Process = None,
    release: opt.Release = None,
    pod: opt.Pod = None,
    container: opt.Container = None,
    stream: opt.StreamOption = None,
    grep: opt.Grep = "",
    regex: opt.Regex = "",
    after: opt.After = None,
    before: opt.Before = None,
    context: opt.Context = None,
    output: opt.OutputOption = Output.TEXT,
    no_follow: NoFollow = False,
    color: opt.ColourOption = opt.Colour.AUTO,
    url: opt.Url = None,
    token_file: opt.TokenFile = None,
) -> None:
    """Print an app's last lines, and then each new one as it arrives."""
    fields = opt.Fields(process, release, pod, container, stream, grep, regex, after, before, context)
    filters = opt.read_filters(fields)
    if since is not None and lines is not None and not no_follow:
        raise typer.BadParameter("a follow with --since prints all lines since then", param_hint="-n")
    if lines is None and (no_follow or since is None):
        lines = HISTORY_LINES if no_follow else FOLLOW_LINES
    where = _find(app, url=url, token_file=token_file)
    query = opt.read_query(app=where.app, since=since, until=until, filters=filters)
    renderer = _renderer(output, color, filters)

    async def act(client: "Client") -> None:
        from deis_logs.commands import Tail, tail  # noqa: PLC0415 - see `_run`

        await tail(client, Tail(query=query, lines=lines, keep=not no_follow), renderer=renderer, stdout=Stdout())

    _run(where.target, act)


@app.command("search")
def search_command(
    *,
    app: opt.App = None,
    limit: Limit = HISTORY_LINES,
    oldest: Oldest = False,
    since: opt.Since = None,
    until: opt.Until = None,
    process: opt.Process = None,
    release: opt.Release = None,
    pod: opt.Pod = None,
    container: opt.Container = None,
    stream: opt.StreamOption = None,
    grep: opt.Grep = "",
    regex: opt.Regex = "",
    after: opt.After = None,
    before: opt.Before = None,
    context: opt.Context = None,
    output: opt.OutputOption = Output.TEXT,
    color: opt.ColourOption = opt.Colour.AUTO,
    url: opt.Url = None,
    token_file: opt.TokenFile = None,
) -> None:
    """Print the newest lines that match, in reading order."""
    fields = opt.Fields(process, release, pod, container, stream, grep, regex, after, before, context)
    filters = opt.read_filters(fields)
    where = _find(app, url=url, token_file=token_file)
    query = opt.read_query(app=where.app, since=since, until=until, filters=filters)
    renderer = _renderer(output, color, filters)

    async def act(client: "Client") -> None:
        from deis_logs.commands import search  # noqa: PLC0415 - see `_run`

        await search(client, query, limit=limit, oldest=oldest, renderer=renderer, stdout=Stdout())

    _run(where.target, act)


@app.command("apps")
def apps_command(*, output: Json = opt.AppsOutput.TEXT, url: opt.Url = None, token_file: opt.TokenFile = None) -> None:
    """List the apps that you may read."""
    profile = _profile()
    target = resolve_target(url=url, token_file=token_file, env=os.environ, profile=profile)

    async def act(client: "Client") -> None:
        from deis_logs.commands import apps  # noqa: PLC0415 - see `_run`

        as_json = output is opt.AppsOutput.JSON
        await apps(client, as_json=as_json, stdout=Stdout(), terminal=is_terminal(STDOUT))

    _run(target, act)


@app.command("export")
def export_command(
    file: File = STDOUT_FILE,
    *,
    app: opt.App = None,
    since: opt.Since = None,
    until: opt.Until = None,
    process: opt.Process = None,
    release: opt.Release = None,
    pod: opt.Pod = None,
    container: opt.Container = None,
    stream: opt.StreamOption = None,
    grep: opt.Grep = "",
    regex: opt.Regex = "",
    after: opt.After = None,
    before: opt.Before = None,
    context: opt.Context = None,
    output: opt.ExportOutputOption = ExportOutput.TEXT,
    resume: Resume = False,
    url: opt.Url = None,
    token_file: opt.TokenFile = None,
) -> None:
    """Write all lines that match, without a limit; into a file it can be resumed."""
    fields = opt.Fields(process, release, pod, container, stream, grep, regex, after, before, context)
    to_stdout = file == STDOUT_FILE
    if to_stdout and resume:
        raise typer.BadParameter("what went to stdout cannot be resumed: name a file", param_hint="--resume")
    where = _find(app, url=url, token_file=token_file)
    query = opt.read_query(app=where.app, since=since, until=until, filters=opt.read_filters(fields))
    typed = opt.typed_options(app=where.app, since=since, until=until, output=output, filters=query.filters)

    async def act(client: "Client") -> None:
        from deis_logs.commands import ExportPlan, export  # noqa: PLC0415 - see `_run`

        plan = ExportPlan(query=query, file=None if to_stdout else file, resume=resume, output=output, typed=typed)
        await export(client, plan, stdout=Stdout(), terminal=is_terminal(STDERR))

    try:
        _run(where.target, act)
    except ReaderGoneError as error:
        raise CliError("stdout was closed before the export was complete") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    app: str
    target: Target


def _find(app: str | None, *, url: str | None, token_file: Path | None) -> _Where:
    """Find the app and the logger; everything typed is checked before git or a file is looked at."""
    named = check_app(app) if app is not None else None
    profile = _profile()
    target = resolve_target(url=url, token_file=token_file, env=os.environ, profile=profile)
    return _Where(app=named or _app_of_directory(profile), target=target)


def _profile() -> Profile | None:
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home directory, as containers have them
        home = Path("/")
    return read_profile(os.environ, home)


def _app_of_directory(profile: Profile | None) -> str:
    if profile is None or not profile.host:
        raise UsageError("which app? Give -a APP, or log in with `deis login` and run this where the app's git is")
    app = app_from_git(profile.host, directory=Path.cwd())
    if app is None:
        raise UsageError(f"which app? Give -a APP: no git remote of this directory belongs to {profile.host}")
    return app


def _renderer(output: Output, colour: opt.Colour, filters: Filters) -> Renderer:
    coloured = use_colour(colour, os.environ, terminal=is_terminal(STDOUT))
    highlight = highlighter(text=filters.text, regex=filters.regex) if coloured and output is Output.TEXT else None
    return make_renderer(output, colour=coloured, highlight=highlight)


def _run(target: Target, act: Callable[["Client"], Awaitable[None]]) -> None:
    """Run `act` with a client. aiohttp is loaded here and not before: `--help` and usage errors are instant."""
    from deis_logs.client import connect  # noqa: PLC0415 - the reason above

    async def connected() -> None:
        async with connect(target) as client:
            await act(client)

    asyncio.run(connected())
