"""`python -m demo FOLDER [SEED]`: the apps of the demo write their log files below FOLDER until told to stop.

Ends at SIGTERM, at SIGINT, and when the process that started it is gone.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

from demo.apps import make_writers, write_labels

TICK_SECONDS: Final = 0.1
_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_USAGE: Final = 2


def main(arguments: list[str]) -> int:
    """Run the demo; returns the exit status."""
    if any(argument.startswith("-") for argument in arguments):
        return _usage()
    match arguments:
        case [folder]:
            seed = 1
        case [folder, number] if number.isdecimal():
            seed = int(number)
        case _:
            return _usage()
    # Blocked before the first file is open: a signal is taken between two ticks, never inside a write.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    parent = os.getppid()
    writers = make_writers(Path(folder), seed=seed)
    write_labels(Path(folder), writers)
    while signal.sigtimedwait(_STOP, TICK_SECONDS) is None and os.getppid() == parent:
        for writer in writers:
            writer.advance(TICK_SECONDS)
    for writer in writers:
        writer.close()
    return 0


def _usage() -> int:
    sys.stderr.write("usage: python -m demo FOLDER [SEED]\n")
    return _USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
