"""Brokers and the bucket that are away for a while: what comes before them waits, within its memory, and catches up."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import real_s3

from demo.stack import pause, wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.slow]

MIB = 1 << 20
GROWTH_BYTES = 40 * MIB
"""What an agent may hold more than before: 32 requests and its own budget of bytes in flight."""


def test_brokers_that_are_away_hold_the_agents_in_flat_memory_and_all_is_caught_up(
    make_trial: Callable[..., Any], long_form: bool
) -> None:
    trial = make_trial(seed=21, writing={"lines_per_second": 200.0})
    trial.begin()
    cluster = trial.cluster
    trial.wait_rows(2000)
    before = {name: cluster.processes[name].rss_bytes() for name in cluster.agents}
    for broker in cluster.brokers.values():
        broker.pause()
    pause(120 if long_form else 20)
    grown = {name: cluster.processes[name].rss_bytes() - before[name] for name in cluster.agents}
    for broker in cluster.brokers.values():
        broker.resume()
    begun, rows, written = time.monotonic(), trial.rows(), trial.written()
    trial.wait_rows(written)
    assert max(grown.values()) < GROWTH_BYTES, grown
    seconds = time.monotonic() - begun
    print(f"caught up {written - rows} lines in {seconds:.1f} s; agents grew by {grown}")  # noqa: T201 - for the long form
    trial.verdict()


def test_a_bucket_that_refuses_pauses_fetching_at_the_budget_and_nothing_is_lost(
    make_trial: Callable[..., Any], long_form: bool
) -> None:
    settings = {"LOGGER_FLUSH_BYTES": str(MIB), "LOGGER_HEAD_BYTES": str(2 * MIB), "LOGGER_FLUSH_SECONDS": "0.5"}
    trial = make_trial(seed=22, settings=settings, writing={"lines_per_second": 400.0}, loggers=2)
    cluster = trial.cluster
    with real_s3.Meddler(cluster.gateway.port, seed=22) as meddler:
        cluster.store_port = meddler.port
        trial.begin()
        trial.wait_rows(2000)
        meddler.rates = {"refuse": 1.0}
        wait_until(
            lambda: all(b"paused" in cluster.readiness(name) for name in cluster.loggers),
            seconds=90,
            what="fetching paused at every logger",
            every_seconds=0.2,
        )
        pause(60 if long_form else 10)
        rss = {name: cluster.processes[name].rss_bytes() for name in cluster.loggers}
        pause(10)
        later = {name: cluster.processes[name].rss_bytes() for name in cluster.loggers}
        assert all(later[name] < rss[name] + 10 * MIB for name in rss), (rss, later)
        meddler.rates = {}
        trial.wait_rows(trial.written())
        trial.verdict()
