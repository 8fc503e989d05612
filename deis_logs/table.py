"""The list of apps as a table, on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deis_logs.lines import App
from deis_logs.safe import visible


def print_apps(apps: Sequence[App]) -> None:
    """Print the table to stdout."""
    table = Table(box=None, pad_edge=False)
    for name in ("APP", "FIRST LINE", "LAST LINE"):
        table.add_column(name)
    table.add_column("LINES", justify="right")
    for app in apps:
        count = f"{app.lines:,}" if app.lines is not None else "-"
        cells = (app.app, (app.first_time or "-")[:19], (app.last_time or "-")[:19], count)
        table.add_row(*(Text(visible(cell)) for cell in cells))
    Console().print(table)
