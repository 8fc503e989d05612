"""`python -m pipeline up`: agent, queue, logger and monitor in one process."""

import functools
import sys
from typing import Final

from pipeline import failpoints, up
from pipeline.errors import SettingsError
from pipeline.service import run_service, set_up_log

_USAGE: Final = 2


def main(arguments: list[str]) -> int:
    """Run the command: 0 after an orderly stop, 1 after an error, 2 for a bad setting or a wrong command line."""
    if arguments != ["up"]:
        sys.stderr.write("usage: python -m pipeline up\n")
        return _USAGE
    try:
        plan = up.make_plan()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    set_up_log(plan.logger)
    failpoints.arm(plan.logger.failpoint)
    sys.stderr.write(up.guide(plan))
    return run_service(functools.partial(up.run, plan))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
