"""What `deis-telemetry canary` and `deis-telemetry graph` do with what the monitor answers: ask, and show."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rich.console import Console

from deis_logs.client import Client, connect
from deis_logs.errors import LostError, ServerError
from deis_logs.output import STDOUT, Stdout, is_terminal, note
from deis_logs.profile import Target
from deis_telemetry.canarytext import line_of, lines_of, look_of, table_of
from deis_telemetry.counted import request_of
from deis_telemetry.graphtext import dot_of, tree_of
from deis_telemetry.judged import BAD_STATUS, UNDECIDED_STATUS, Canaries, Canary, Graph, Looks, read

_SILENCE_SECONDS: Final = 30.0
_WORK_SECONDS: Final = 120.0
_WIDE: Final = 200
_PATIENCE: Final = 60
"""Times in a row that a canary that was seen may not be told of: the monitor may be replaced meanwhile."""

_OF_DECISION: Final = {"promotable": 0, "rollback": BAD_STATUS}


async def list_canaries(target: Target, *, namespace: str, as_json: bool) -> None:
    """Show all, or those of a namespace."""
    parameters = [("namespace", namespace)] if namespace else []
    async with connect(target) as client:
        body = await _got(client, "/v1/canaries", parameters)
    if as_json:
        _print(body)
        return
    console = Console(width=None if is_terminal(STDOUT) else _WIDE, highlight=False)
    console.print(table_of(read(body, Canaries).canaries, datetime.now(UTC)))


async def show_canary(target: Target, path: str, *, picture: Path | None, as_json: bool) -> None:
    """Show one; and write its picture to a file."""
    async with connect(target) as client:
        body = await _got(client, _at(path))
        if picture is not None:
            picture.write_bytes(await _got(client, f"{_at(path)}/picture.svg"))
    if as_json:
        _print(body)
    else:
        _print_lines(lines_of(read(body, Canary), datetime.now(UTC)))


async def print_counts(target: Target, path: str) -> None:
    """Print all that an analysis is judged by."""
    async with connect(target) as client:
        _print(await _got(client, f"{_at(path)}/counts"))


async def watch_canary(target: Target, path: str, *, every_seconds: float, program: str) -> int:
    """Show each change until it is decided; the exit status that it amounts to.

    Raises:
        LostError: The monitor did not answer at first, or for long.
        ServerError: There is no such canary, at first or for long.
    """
    said, lost = "", 0
    async with connect(target) as client:
        while True:
            try:
                canary = read(await _got(client, _at(path)), Canary)
            except (LostError, ServerError) as error:  # one that starts knows of no canary yet
                lost += 1
                if not said or lost > _PATIENCE:
                    raise
                if lost == 1:
                    note(f"{error}; asking again", program=program)
            else:
                lost, now = 0, datetime.now(UTC)
                line = line_of(canary, now)
                if line.partition(" ")[2] != said:
                    said = line.partition(" ")[2]
                    _print_lines([line])
                if canary.outcome is not None:
                    return canary.outcome
            await asyncio.sleep(every_seconds)


async def simulate(target: Target, counts: Path, *, policy: Path | None, picture: Path | None, as_json: bool) -> int:
    """Show what would have been decided at each minute; the exit status of the last."""
    body = request_of(counts, policy)
    async with connect(target) as client:
        answer = await client.post("/v1/simulate", body, silence_seconds=_WORK_SECONDS)
        if picture is not None:
            drawn = await client.post("/v1/simulate/picture.svg", body, silence_seconds=_WORK_SECONDS)
            picture.write_bytes(drawn)
    looks = read(answer, Looks).looks
    if as_json:
        _print(answer)
    else:
        _print_lines(map(look_of, looks))
    return _OF_DECISION.get(looks[-1].verdict.decision, UNDECIDED_STATUS) if looks else UNDECIDED_STATUS


async def show_graph(target: Target, *, as_dot: bool) -> None:
    """Show who depends on whom."""
    async with connect(target) as client:
        graph = read(await _got(client, "/v1/graph"), Graph)
    _print_lines(dot_of(graph) if as_dot else tree_of(graph))


async def _got(client: Client, path: str, parameters: list[tuple[str, str]] | None = None) -> bytes:
    async with client.get(path, parameters or [], silence_seconds=_SILENCE_SECONDS) as answer:
        return await answer.read()


def _at(path: str) -> str:
    namespace, _, name = path.partition("/")
    return f"/v1/canaries/{quote(namespace, safe='')}/{quote(name, safe='')}"


def _print_lines(lines: Iterable[str]) -> None:
    _print("".join(f"{line}\n" for line in lines).encode())


def _print(body: bytes) -> None:
    stdout = Stdout()
    stdout.write(body.rstrip(b"\n") + b"\n" if body else b"")
    stdout.flush()
