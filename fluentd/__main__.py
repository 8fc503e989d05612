"""`python -m fluentd`: one agent."""

import sys

from fluentd.agent import run
from fluentd.settings import AgentSettings
from pipeline.service import run_alone


def main() -> int:
    """See `run_alone`."""
    return run_alone("fluentd", AgentSettings, run)


if __name__ == "__main__":
    sys.exit(main())
