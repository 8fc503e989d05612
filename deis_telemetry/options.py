"""Options that several commands have, and which monitor they ask."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from deis_logs.profile import Service, Target, read_profile, resolve_target

PROGRAM: Final = "deis-telemetry"

MONITOR: Final = Service(
    name="monitor", variables="DEIS_TELEMETRY", label="metrics", url="http://127.0.0.1:8089", tells_absent=True
)
"""What is asked about metrics and canaries."""

EVERY_SECONDS: Final = 5.0
"""How often what is watched is asked for again."""

Url = Annotated[
    str | None,
    typer.Option(
        envvar="DEIS_TELEMETRY_URL", show_envvar=False, metavar="URL", help="The monitor (DEIS_TELEMETRY_URL)."
    ),
]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="PATH", help="File that holds the token, in place of DEIS_TELEMETRY_TOKEN.")
]
Kubeconfig = Annotated[Path | None, typer.Option(metavar="PATH", help="How the API server is reached.")]
AnyNamespace = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Only there. Default: any.")]
Json = Annotated[bool, typer.Option("--json", help="What the monitor answers, for programs.")]


def find_monitor(*, url: str | None, token_file: Path | None) -> Target:
    """Decide which monitor is asked; see `resolve_target`."""
    profile = read_profile(os.environ, Path(os.environ.get("HOME") or "/"))
    return resolve_target(url=url, token_file=token_file, env=os.environ, profile=profile, service=MONITOR)
