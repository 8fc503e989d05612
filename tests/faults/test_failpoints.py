"""A crash at each single step between read and checkpoint, and between fetch and commit, loses and doubles nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from demo.stack import pause
from pipeline.failpoints import EXIT_STATUS

STEPS = {
    # Some steps are passed a few times before the crash, so that there is something to lose and to double.
    "agent.read": ("agent", 20),
    "agent.sent": ("agent", 10),
    "agent.acked": ("agent", 10),
    "agent.checkpoint.temp": ("agent", 3),
    "agent.checkpoint.fsync": ("agent", 3),
    "agent.checkpoint.renamed": ("agent", 3),
    "logger.fetched": ("logger", 10),
    "logger.parsed": ("logger", 10),
    "logger.flushed": ("logger", 3),
    "logger.commit.data": ("logger", 3),
    "logger.commit.state": ("logger", 3),
    "logger.commit.before": ("logger", 3),
    "logger.commit.after": ("logger", 3),
    "logger.committed": ("logger", 3),
    "upkeep.rewritten": ("logger", 1),
    "upkeep.committed": ("logger", 1),
}


@pytest.mark.faults
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_this_step_loses_and_doubles_nothing(make_trial: Callable[..., Any], step: str) -> None:
    service, passings = STEPS[step]
    trial = make_trial(seed=1, restart_seconds=1.0)
    for name in ("agent", "logger"):
        trial.start(name, **({"FAILPOINT": f"{step}:{passings}"} if name == service else {}))
    trial.writers.start()
    ended = trial.stack.processes[service].wait(40)
    assert ended.status == EXIT_STATUS, trial.stack.last_words()
    trial.start(service)
    trial.stack.wait_ready("agent", "logger")
    pause(1.0)  # more lines on top of what the crash left
    trial.verdict()
