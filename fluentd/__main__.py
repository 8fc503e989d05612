"""`python -m fluentd`: one agent. `python -m fluentd audit`: the self-audit."""

import sys

from fluentd import agent
from fluentd.settings import AgentSettings
from pipeline.service import run_alone


def main() -> int:
    """See `run_alone`."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["audit"]:
        return _audit(arguments[1:])
    return run_alone("fluentd", AgentSettings, agent.run)


def _audit(arguments: list[str]) -> int:
    from fluentd.audit import audit  # noqa: PLC0415 - an agent needs none of it
    from fluentd.audit.settings import AuditSettings  # noqa: PLC0415 - same

    return run_alone("fluentd audit", AuditSettings, audit.run, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
