"""`kill -9` of brokers, agents and loggers loses, doubles and reorders nothing for any reader."""

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from demo.stack import pause

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.slow]

SEED = int(os.environ.get("CLUSTER_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


def test_kills_of_brokers_agents_and_loggers_lose_double_and_reorder_nothing(
    make_trial: Callable[..., Any], long_form: bool
) -> None:
    print(f"CLUSTER_SEED={SEED}")  # noqa: T201 - what repeats a failed run
    rng = random.Random(SEED)
    trial = make_trial(seed=SEED, following=True)
    trial.begin()
    cluster = trial.cluster
    killed: list[str] = []
    with trial.probing():
        end = time.monotonic() + (180 if long_form else 45)
        while time.monotonic() < end:
            pause(rng.uniform(1, 6))
            victim = rng.choice([*cluster.brokers, *cluster.agents, *cluster.loggers])
            cluster.kill(victim)
            killed.append(victim)
            pause(rng.uniform(0, 2))
            if victim in cluster.brokers:
                cluster.brokers[victim].start()
                cluster.brokers[victim].wait()
            else:
                cluster.start(victim)
    assert len(killed) >= 3, killed
    trial.verdict()
