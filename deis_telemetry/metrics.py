"""What `deis-telemetry metrics` does: ask, and show; again and again if that is wanted."""

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

from rich.console import Console

from deis_logs.client import connect
from deis_logs.output import STDOUT, Stdout, is_terminal
from deis_logs.profile import Target
from deis_telemetry.known import read_overview
from deis_telemetry.shown import heading, table_of

_SILENCE_SECONDS = 30.0
_WIDE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for.

    Attributes:
        app: The app.
        namespace: Only there; empty for any.
        metric: Only this one; empty for all.
        by: Labels that series are told apart by, separated by commas.
        window_seconds: Of the values.
    """

    app: str
    namespace: str
    metric: str
    by: str
    window_seconds: int

    @property
    def path(self) -> str:
        """Of the request."""
        return f"/v1/metrics/{quote(self.app, safe='')}"

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Of the request."""
        given = (("namespace", self.namespace), ("metric", self.metric))
        return [
            ("by", self.by),
            ("window", str(self.window_seconds)),
            *((name, value) for name, value in given if value),
        ]


async def show_metrics(target: Target, asked: Asked, *, as_json: bool, every_seconds: float | None) -> None:
    """Show an app's metrics once, or again each `every_seconds`."""
    console = Console(width=None if is_terminal(STDOUT) else _WIDE, highlight=False)
    async with connect(target) as client:
        while True:
            async with client.get(asked.path, asked.parameters, silence_seconds=_SILENCE_SECONDS) as answer:
                body = await answer.read()
            if as_json:
                stdout = Stdout()
                stdout.write(body.rstrip(b"\n") + b"\n")
                stdout.flush()
            else:
                _show(console, body, anew=every_seconds is not None)
            if every_seconds is None:
                return
            await asyncio.sleep(every_seconds)


def _show(console: Console, body: bytes, *, anew: bool) -> None:
    overview = read_overview(body)
    if anew and console.is_terminal:
        console.clear()
    console.print(heading(overview), markup=False)
    console.print(table_of(overview))
