"""The command line of canaries."""

import asyncio
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from deis_logs.errors import UsageError
from deis_logs.output import Stdout
from deis_logs.safe import visible
from deis_telemetry.options import (
    EVERY_SECONDS,
    PROGRAM,
    AnyNamespace,
    Json,
    Kubeconfig,
    TokenFile,
    Url,
    find_monitor,
)

_PATH: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

canaries = typer.Typer(
    name="canary",
    help="Canaries: how they stand, and what a person decides about them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class What(StrEnum):
    """What can wait for a person."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


OneCanary = Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The canary.", show_default=False)]
Picture = Annotated[Path | None, typer.Option(metavar="FILE", help="Write its picture there, as SVG.")]
Counts = Annotated[
    Path, typer.Argument(metavar="FILE", help="Counts: JSON of `canary counts`, or CSV.", show_default=False)
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="JSON; default: the recorded one.")]
Dot = Annotated[bool, typer.Option("--dot", help="For Graphviz.")]
Waits = Annotated[
    What | None, typer.Argument(metavar="[promote|rollback]", help="What must be waiting. Default: whichever does.")
]


@canaries.command("list")
def list_command(
    *, namespace: AnyNamespace = "", json: Json = False, url: Url = None, token_file: TokenFile = None
) -> None:
    """List canaries: phase, reason, releases, since when, and how near the evidence is to a rollback."""
    target = find_monitor(url=url, token_file=token_file)
    from deis_telemetry.canaries import list_canaries  # noqa: PLC0415 - 0.3 s, not for --help

    asyncio.run(list_canaries(target, namespace=namespace, as_json=json))


@canaries.command("show")
def show_command(
    canary: OneCanary,
    *,
    picture: Picture = None,
    json: Json = False,
    url: Url = None,
    token_file: TokenFile = None,
) -> None:
    """Show one canary: both values of each metric, their ratio, the evidence and what it takes."""
    target, path = find_monitor(url=url, token_file=token_file), check_path(canary)
    from deis_telemetry.canaries import show_canary  # noqa: PLC0415 - same

    asyncio.run(show_canary(target, path, picture=picture, as_json=json))


@canaries.command("counts")
def counts_command(canary: OneCanary, *, url: Url = None, token_file: TokenFile = None) -> None:
    """Print the minutes that a canary is judged by, its policy and the newest verdict, as JSON."""
    target, path = find_monitor(url=url, token_file=token_file), check_path(canary)
    from deis_telemetry.canaries import print_counts  # noqa: PLC0415 - same

    asyncio.run(print_counts(target, path))


@canaries.command("watch")
def watch_command(canary: OneCanary, *, url: Url = None, token_file: TokenFile = None) -> None:
    """Follow a canary until it is decided. Status: 0 promoted, 3 rolled back, 4 neither; also if it only would be."""
    target, path = find_monitor(url=url, token_file=token_file), check_path(canary)
    from deis_telemetry.canaries import watch_canary  # noqa: PLC0415 - same

    raise typer.Exit(asyncio.run(watch_canary(target, path, every_seconds=EVERY_SECONDS, program=PROGRAM)))


@canaries.command("simulate")
def simulate_command(
    counts: Counts,
    *,
    policy: PolicyFile = None,
    picture: Picture = None,
    json: Json = False,
    url: Url = None,
    token_file: TokenFile = None,
) -> None:
    """Replay recorded counts: what would have been decided at the end of each minute. Status: as of `watch`."""
    target = find_monitor(url=url, token_file=token_file)
    from deis_telemetry.canaries import simulate  # noqa: PLC0415 - same

    raise typer.Exit(asyncio.run(simulate(target, counts, policy=policy, picture=picture, as_json=json)))


@canaries.command("approve")
def approve_command(canary: OneCanary, what: Waits = None, *, kubeconfig: Kubeconfig = None) -> None:
    """Let happen what waits for a person: a promotion, or a rollback."""
    path = check_path(canary)
    from deis_telemetry.approving import approve  # noqa: PLC0415 - same

    _say(asyncio.run(approve(path, what=what.value if what is not None else "", kubeconfig=kubeconfig)))


@canaries.command("abort")
def abort_command(canary: OneCanary, *, kubeconfig: Kubeconfig = None) -> None:
    """Let the release go back, whatever the counts say."""
    path = check_path(canary)
    from deis_telemetry.approving import abort  # noqa: PLC0415 - same

    _say(asyncio.run(abort(path, kubeconfig=kubeconfig)))


def graph_command(*, dot: Dot = False, url: Url = None, token_file: TokenFile = None) -> None:
    """Show which canaries depend on which, with how they stand."""
    target = find_monitor(url=url, token_file=token_file)
    from deis_telemetry.canaries import show_graph  # noqa: PLC0415 - same

    asyncio.run(show_graph(target, as_dot=dot))


def check_path(path: str) -> str:
    """Return `path` if it can be a canary's.

    Raises:
        UsageError: It cannot.
    """
    if not _PATH.fullmatch(path):
        raise UsageError(f"{path[:80]!r} is not like NAMESPACE/NAME: see `{PROGRAM} canary list`")
    return path


def _say(words: str) -> None:
    stdout = Stdout()
    stdout.write(f"{visible(words)}\n".encode())
    stdout.flush()
