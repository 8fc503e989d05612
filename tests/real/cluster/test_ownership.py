"""Loggers that come, go and freeze: each shard has one owner, and the table each line once."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from demo.stack import get, pause, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.slow]


def test_loggers_that_join_and_leave_in_order_lose_and_double_nothing_for_any_reader(
    make_trial: Callable[..., Any], long_form: bool
) -> None:
    trial = make_trial(seed=11, following=True)
    trial.begin()
    cluster = trial.cluster
    with trial.probing() as prober:
        for number in range(6 if long_form else 3):
            name = cluster.loggers[number % len(cluster.loggers)]
            cluster.stop(name)
            pause(10 if long_form else 5)
            cluster.start(name)
            pause(10 if long_form else 5)
    cluster.wait_ready(*cluster.loggers)
    assert prober.outcomes()["whole"] > prober.outcomes()["partial"], prober.outcomes()
    trial.verdict()


def test_a_killed_owner_makes_answers_partial_until_the_takeover_and_they_say_so(
    make_trial: Callable[..., Any],
) -> None:
    trial = make_trial(seed=15, following=True)
    trial.begin()
    cluster, killed = trial.cluster, trial.cluster.loggers[2]
    survivors = [name for name in cluster.loggers if name != killed]
    wait_until(
        lambda: all(trial.owned(name) for name in cluster.loggers), seconds=60, what="shards at each", every_seconds=0.2
    )
    with trial.probing(survivors) as prober:
        wait_until(lambda: prober.outcomes()["whole"] >= 10, seconds=60, what="whole answers")
        cluster.kill(killed)
        dead_at = time.monotonic()
        wait_until(lambda: prober.outcomes(since=dead_at)["partial"] > 0, seconds=60, what="a partial answer")
        wait_until(lambda: prober.asked[-1].outcome == "whole", seconds=60, what="a whole answer")
        taken_at = time.monotonic()
        print(f"partial for {taken_at - dead_at:.1f} s: {dict(prober.outcomes(since=dead_at))}")  # noqa: T201
        wait_until(lambda: prober.outcomes(since=taken_at)["whole"] >= 20, seconds=60, what="twenty whole answers")
        assert not prober.outcomes(since=taken_at)["partial"]
    cluster.start(killed)
    cluster.wait_ready(killed)
    trial.verdict()


def test_an_owner_that_is_frozen_and_comes_back_after_the_takeover_is_fenced_and_answers_no_less(
    make_trial: Callable[..., Any],
) -> None:
    # Its flush is so rare that it holds rows when it freezes, and tries to commit them when it comes back.
    trial = make_trial(seed=12, settings={"LOGGER_FLUSH_SECONDS": "3"})
    trial.begin()
    cluster, frozen = trial.cluster, trial.cluster.loggers[0]
    trial.wait_rows(500)
    others = [name for name in cluster.loggers if name != frozen]
    asked = list(others)
    with trial.probing(asked) as prober:
        wait_until(lambda: prober.outcomes()["whole"] >= 10, seconds=60, what="whole answers")
        wait_until(
            lambda: cluster.metric(frozen, 'logger_head_bytes{age="waiting"}') > 20_000,
            seconds=30,
            what="rows that wait",
        )
        cluster.processes[frozen].send(signal.SIGSTOP)
        wait_until(lambda: trial.owned(*others) == list(range(6)), seconds=90, what="the takeover", every_seconds=0.2)
        commits = {name: cluster.metric(name, "logger_commits_total") for name in others}
        wait_until(
            lambda: all(cluster.metric(name, "logger_commits_total") > commits[name] + 1 for name in others),
            seconds=60,
            what="commits of the new owners",
            every_seconds=0.2,
        )
        cluster.processes[frozen].send(signal.SIGCONT)
        asked.insert(0, frozen)
        wait_until(
            lambda: cluster.metric(frozen, "logger_fenced_total") > 0, seconds=60, what="the fence", every_seconds=0.2
        )
        awake_at = time.monotonic()
        wait_until(
            lambda: any(one.logger == frozen and one.outcome == "whole" for one in prober.asked if one.at > awake_at),
            seconds=60,
            what="a whole answer of the one that was frozen",
        )
    cluster.wait_ready(frozen)
    before = trial.written()
    trial.wait_rows(before + 500)
    trial.verdict()


def test_each_shard_has_its_lag_and_all_loggers_together_have_all_of_them(make_trial: Callable[..., Any]) -> None:
    trial = make_trial(seed=13)
    trial.begin()
    cluster = trial.cluster
    wait_until(
        lambda: trial.owned(*cluster.loggers) == list(range(6)),
        seconds=60,
        what="the lag of each shard, once",
        every_seconds=0.5,
    )
    # The watermark of an app needs all shards: those of others are known from their commits.
    wait_until(
        lambda: all(0 < cluster.metric(name, "logger_watermark_behind_seconds") < 60 for name in cluster.loggers),
        seconds=60,
        what="a watermark at every logger",
        every_seconds=0.5,
    )
    trial.verdict()


def test_a_logger_beyond_the_number_of_shards_is_ready_and_owns_nothing(make_trial: Callable[..., Any]) -> None:
    trial = make_trial(seed=14, partitions=2)
    trial.begin()  # ready, all of them
    said = [json.loads(get(trial.cluster.ports[name], "/readyz").body) for name in trial.cluster.loggers]
    assert all(one["ready"] for one in said), said
    trial.wait_rows(200)
    trial.verdict()
