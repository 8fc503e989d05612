"""`python -m monitor`: the monitor alone."""

import sys

from monitor import monitor
from monitor.settings import MonitorSettings
from pipeline.service import run_alone


def main() -> int:
    """See `run_alone`."""
    return run_alone("monitor", MonitorSettings, monitor.run)


if __name__ == "__main__":
    sys.exit(main())
