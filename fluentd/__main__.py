"""`python -m fluentd`: one agent."""

import functools
import sys

from fluentd.agent import run
from fluentd.settings import AgentSettings
from pipeline import failpoints
from pipeline.errors import SettingsError
from pipeline.service import run_service, set_up_log


def main() -> int:
    """Read the settings, run until told to stop; 0 after an orderly stop, 1 after an error, 2 for a bad setting."""
    try:
        settings = AgentSettings.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    set_up_log(settings)
    failpoints.arm(settings.failpoint)
    return run_service(functools.partial(run, settings))


if __name__ == "__main__":
    sys.exit(main())
