"""Agent and logger as processes, the table in a real bucket that is away, or refuses, for a while."""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from demo.stack import pause, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

AWAY_SECONDS = float(os.environ.get("FAULTS_AWAY_SECONDS", "6"))
"""A minute and more is for a run by hand."""

SETTINGS = {"LOGGER_FLUSH_BYTES": str(1 << 20), "LOGGER_HEAD_BYTES": str(2 << 20)}


def start_on(trial: Any, gateway: Any, place: str) -> None:
    """Start writers and services; the verdict reads the bucket's folder."""
    trial.stack.store = gateway.bucket / place
    trial.start("agent")
    trial.start("logger")
    trial.stack.wait_ready("agent", "logger")
    trial.writers.start()
    wait_until(lambda: all(trial.followed.values()), seconds=30, what="first lines with the followers")


@pytest.mark.parametrize("harm", ["refuse", "cut", "lose"])
def test_while_the_bucket_is_away_fetching_pauses_and_nothing_is_lost(
    meddler: Any, gateway: Any, place: str, make_trial: Callable[..., Any], harm: str
) -> None:
    """The logger says that it is not ready, holds no more than its budget, and catches up by itself."""
    settings = {**SETTINGS, "STORE_URL": f"s3://logs/{place}"}
    trial = make_trial(seed=1, settings=settings, lines_per_second=400.0)
    start_on(trial, gateway, place)
    meddler.rates = {harm: 1.0}
    wait_until(lambda: not trial.stack.is_ready("logger"), seconds=60, what="the logger to say that the store is away")
    pause(AWAY_SECONDS)
    assert trial.stack.metric("logger", "logger_head_bytes") < 2 * int(SETTINGS["LOGGER_HEAD_BYTES"])
    meddler.rates = {}
    trial.verdict()


def test_kills_of_logger_and_gateway_lose_double_and_reorder_nothing(
    own_gateway: Any, place: str, make_trial: Callable[..., Any]
) -> None:
    """In turn, at moments that chance chooses."""
    trial = make_trial(seed=2, settings={"STORE_URL": f"s3://logs/{place}"})
    start_on(trial, own_gateway, place)
    chance = random.Random(5)
    for number in range(6):
        pause(chance.uniform(0.2, 2.0))
        if number % 2:
            own_gateway.kill()
            pause(chance.uniform(0.0, 4.0))
            own_gateway.start()
        else:
            trial.kill("logger")
            trial.start("logger")
    trial.verdict()


def test_a_logger_that_starts_while_the_bucket_is_away_waits_for_it(
    own_gateway: Any, place: str, make_trial: Callable[..., Any]
) -> None:
    trial = make_trial(seed=3, settings={"STORE_URL": f"s3://logs/{place}"})
    start_on(trial, own_gateway, place)
    trial.kill("logger")
    own_gateway.kill()
    trial.start("logger")
    wait_until(lambda: trial.stack.last_words().count("trying again") > 5, seconds=60, what="six tries")
    own_gateway.start()
    trial.verdict()
    assert "service failed" not in trial.stack.last_words()
