"""`python -m logger`: the logger alone."""

import sys

from logger import aggregator
from logger.settings import LoggerSettings
from pipeline.errors import SettingsError
from pipeline.failpoints import arm
from pipeline.service import run_service, set_up_log


def main() -> int:
    """Run until told to stop; the exit status is 0 after an orderly stop, 1 after an error, 2 for a wrong setting."""
    try:
        settings = LoggerSettings.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    set_up_log(settings)
    arm(settings.failpoint)
    return run_service(lambda stopping: aggregator.run(settings, stopping))


if __name__ == "__main__":
    sys.exit(main())
