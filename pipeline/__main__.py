"""`python -m pipeline up`: agent, queue, logger and monitor in one process."""

import sys
from typing import Final

from pipeline import up
from pipeline.service import run_service

_USAGE: Final = 2


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if arguments != ["up"]:
        sys.stderr.write("usage: python -m pipeline up\n")
        return _USAGE
    return run_service(up.run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
