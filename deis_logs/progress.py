"""How far an export is, on stderr when that is a terminal."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deis_logs.safe import visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class NoProgress:
    """Says nothing."""

    def advance(self, *, lines: int, size_bytes: int, time: str) -> None:
        """Take note of how much has been written in all, and the time of its last line."""


class BarProgress:
    """A line that moves. How many lines there will be is not known: it shows how many and from when."""

    def __init__(self, bar: "Bar", task: "TaskID") -> None:
        self._bar = bar
        self._task = task

    def advance(self, *, lines: int, size_bytes: int, time: str) -> None:
        """Take note of how much has been written in all, and the time of its last line."""
        self._bar.update(self._task, completed=size_bytes, lines=f"{lines:,}", time=visible(time[:19]))


@contextlib.contextmanager
def open_progress(*, terminal: bool) -> Iterator[NoProgress | BarProgress]:
    """Show progress inside the block if stderr is a terminal."""
    if not terminal:
        yield NoProgress()
        return
    from rich.console import Console  # noqa: PLC0415 - only wanted here
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.fields[lines]} lines"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[time]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar, bar.add_task("export", total=None, lines="0", time=""))
