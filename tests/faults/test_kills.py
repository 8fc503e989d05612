"""`kill -9` at random moments loses, doubles and reorders nothing, for any reader."""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from demo.stack import pause

KILLS = int(os.environ.get("FAULTS_KILLS", "12"))
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
VICTIMS = (("agent",), ("logger",), ("agent", "logger"), ("logger", "agent"))


@pytest.mark.faults
def test_kills_of_agent_and_logger_lose_double_and_reorder_nothing(make_trial: Callable[..., Any]) -> None:
    print(f"FAULTS_SEED={SEED} FAULTS_KILLS={KILLS}")  # noqa: T201 - what repeats a failed run
    rng = random.Random(SEED)
    trial = make_trial(seed=SEED)
    trial.start("agent")
    trial.start("logger")
    trial.stack.wait_ready("agent", "logger")
    trial.writers.start()
    for _ in range(KILLS):
        # Now and then so soon that the service is still starting.
        pause(rng.choice((0.2, 1.0, 2.0, 4.0)) * rng.uniform(0.5, 1.5))
        victims = rng.choice(VICTIMS)
        for victim in victims:
            trial.kill(victim)
        for victim in victims:
            pause(rng.uniform(0, 0.3))
            trial.start(victim)
    trial.verdict()
