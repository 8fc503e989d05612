"""Where a command's process begins and ends: its signals, and its status.

0 done (also when the reader of stdout has seen enough), 1 failed, 2 wrong usage, 130 interrupted.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Final

from deis_logs.errors import CliError
from deis_logs.output import ReaderGoneError, note

if TYPE_CHECKING:
    import typer

INTERRUPTED: Final = 130


def run_command(load: "Callable[[], typer.Typer]", *, program: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        load: Imports its options and subcommands; an interrupt while they load is met as well.
        program: Its name.
        arguments: Without the program's name; `None` takes those of the process.

    Returns:
        The exit status.
    """
    signal.signal(signal.SIGINT, _interrupt)
    try:
        load()(args=list(sys.argv[1:] if arguments is None else arguments), prog_name=program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except CliError as error:
        note(str(error), program=program)
        return error.exit_status
    except OSError as error:
        note(f"{error.filename or 'output'}: {error.strerror or error}", program=program)
        return 1
    except ReaderGoneError:
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End at once, also inside a write that blocks: asyncio's own way would wait for that write."""
    del number, frame
    raise KeyboardInterrupt
