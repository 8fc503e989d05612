"""What each command does once its options are understood: the only module between the command line and the network."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from deis_logs.client import Client
from deis_logs.destination import FileDestination, StdoutDestination
from deis_logs.errors import LostError, ServerError
from deis_logs.export import Export, Summary
from deis_logs.follow import Printer, print_follow
from deis_logs.history import Found, read_history, wait_complete
from deis_logs.lines import App
from deis_logs.output import Stdout, note, reader_gone
from deis_logs.progress import open_progress
from deis_logs.query import Query
from deis_logs.record import new_record
from deis_logs.render import Renderer, make_renderer
from deis_logs.safe import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What `tail` is asked for.

    Attributes:
        lines: How many of the last lines; `None` with `since`, when following.
        keep: Whether to follow.
    """

    query: Query
    lines: int | None
    keep: bool


async def tail(client: Client, plan: Tail, *, renderer: Renderer, stdout: Stdout) -> None:
    """Print the last lines; then each new one, until the reader of stdout goes or `until` is complete."""
    query, until_ns = plan.query, plan.query.until_ns
    past = until_ns is not None and until_ns <= time.time_ns()
    if not plan.keep or (past and plan.lines is not None):
        if plan.keep and until_ns is not None:  # the last lines before a moment are known once it is complete
            await wait_complete(client, query, until_ns=until_ns, note=note)
        if plan.lines:
            found = await read_history(client, query, limit=plan.lines, newest=True)
            _print(found, renderer, stdout)
            if not found.lines:
                await _note_nothing(client, query)
        return
    start = ("lines", str(plan.lines)) if plan.lines is not None else ("since", str(query.since_ns))
    printer = Printer(renderer=renderer, stdout=stdout, until_ns=until_ns, note=note)
    async with _while_read(stdout):
        await print_follow(client, query, start=[start], printer=printer)


@contextlib.asynccontextmanager
async def _while_read(stdout: Stdout) -> AsyncIterator[None]:
    """End the block with `ReaderGoneError` when nobody reads stdout any more."""
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(reader_gone(stdout.fd), name="watch stdout")
            yield
            watch.cancel()
    except BaseExceptionGroup as errors:  # one of two tasks has failed: the group adds nothing to its error
        raise errors.exceptions[0] from errors


async def search(client: Client, query: Query, *, limit: int, oldest: bool, renderer: Renderer, stdout: Stdout) -> None:
    """Print the newest or the oldest lines of a range, in reading order."""
    found = await read_history(client, query, limit=limit, newest=not oldest)
    _print(found, renderer, stdout)
    if not found.lines:
        await _note_nothing(client, query)
    elif found.more:
        which = "oldest" if oldest else "newest"
        note(f"these are the {which} {len(found.lines)} lines; more match: see --limit, export")


async def _note_nothing(client: Client, query: Query) -> None:
    """Say why nothing was printed: a name misspelt looks like an app that is silent."""
    try:
        known = {app.app for app in await client.apps()}
    except (LostError, ServerError):
        known = {query.app}
    if query.app in known:
        note("no line matches")
    else:
        note(f"there is no line of an app {query.app}: `deis-logs apps` lists those that there are")


def _print(found: Found, renderer: Renderer, stdout: Stdout) -> None:
    for first in range(0, len(found.lines), 1000):  # bounds what is held as lines and as bytes at the same time
        stdout.write(renderer.render(found.lines[first : first + 1000]))
    stdout.write(renderer.close())
    stdout.flush()


async def apps(client: Client, *, as_json: bool, stdout: Stdout, terminal: bool) -> None:
    """Print the apps that the token may read."""
    found = await client.apps()
    if as_json:
        stdout.write(_apps_json(found))
    elif terminal:
        from deis_logs.table import print_apps  # noqa: PLC0415 - loads rich

        print_apps(found)
    else:
        stdout.write("".join(f"{visible(app.app)}\t{visible(app.last_time or '-')}\n" for app in found).encode())
    stdout.flush()


def _apps_json(found: list[App]) -> bytes:
    import msgspec  # noqa: PLC0415 - not at the start of every command

    return b"".join(msgspec.json.encode(app) + b"\n" for app in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """What `export` is asked for; `file` is `None` for stdout."""

    query: Query
    file: Path | None
    resume: bool
    output: str
    typed: dict[str, str]


async def export(client: Client, plan: ExportPlan, *, stdout: Stdout, terminal: bool) -> None:
    """Write everything that matches; says on stderr how much that was."""
    with _destination(plan, stdout) as destination, open_progress(terminal=terminal) as progress:
        parameters = destination.parameters if isinstance(destination, FileDestination) else None
        summary = await Export(
            client=client,
            path=plan.query.history_path,
            parameters=parameters or plan.query.history_parameters(),
            renderer=make_renderer(plan.output),
            destination=destination,
            progress=progress,
        ).run()
    _report(summary, plan)


@contextlib.contextmanager
def _destination(plan: ExportPlan, stdout: Stdout) -> Iterator[FileDestination | StdoutDestination]:
    if plan.file is None:
        destination: FileDestination | StdoutDestination = StdoutDestination(stdout)
    else:
        record = new_record(typed=plan.typed, parameters=plan.query.history_parameters())
        open_file = FileDestination.resume if plan.resume else FileDestination.create
        destination = open_file(plan.file, record)
    with contextlib.closing(destination):
        yield destination


def _report(summary: Summary, plan: ExportPlan) -> None:
    known = f"; complete up to {summary.complete_up_to}" if summary.complete_up_to else ""
    note(f"{summary.lines:,} lines, {summary.size_bytes:,} bytes in {plan.file or 'all'}{known}")
