"""A release that fails a small part of its requests goes back by evidence, once the noise between pods is known."""

import random

import pytest
from real_canary import Bench

from monitor.canary.counts import MINUTE_NS
from monitor.canary.noise import MIN_MINUTES
from monitor.canary.observe import history
from monitor.canary.observe.history import BLOCK_MINUTES, BLOCK_NS, Block, Past, Side
from pipeline.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.real]

STABLE, WORSE = (600, 3), (200, 10)
"""One in two hundred fails, and ten times as many: far from all."""


def write_history(bench: Bench, namespace: str, name: str) -> None:
    """Twelve hours of two sides that differ by chance alone, as a historian keeps them."""
    chance = random.Random(8)

    def side(requests: int) -> Side:
        return Side(requests, sum(chance.random() < STABLE[1] / STABLE[0] for _ in range(requests)))

    store = open_store(str(bench.folder / "store"), directory="monitor")
    blocks = MIN_MINUTES // BLOCK_MINUTES + 1
    first_ns = (int(bench.began) * 1_000_000_000 // BLOCK_NS - blocks - 1) * BLOCK_NS
    for block in range(blocks):
        start_ns = first_ns + block * BLOCK_NS
        minutes = [Past(start_ns + at * MINUTE_NS, side(450), side(150)) for at in range(BLOCK_MINUTES)]
        history.write(store, history.folder_of(namespace, name), start_ns, Block(tuple(minutes)))


def test_evidence_undoes_a_release_by_itself_with_a_history_of_noise_and_waits_for_a_person_without(
    bench: Bench,
) -> None:
    known, unknown = bench.namespace(), bench.namespace()
    write_history(bench, known, "shop")
    bench.says(_1=STABLE, _2=WORSE)
    for namespace in (known, unknown):
        bench.deploy(namespace, "shop", "1")
        bench.deploy(namespace, "shop-canary", "2", replicas=0, track="canary")
        steps = [{"pods": 1, "minTime": "9h"}]
        bench.canary(namespace, "shop", targetRef={"name": "shop"}, steps=steps, maxDuration="9h")
    bench.judge()

    status = bench.until_phase(known, "shop", "RolledBack")
    assert (status["said"]["reason"], status["said"]["automatic"]) == ("Evidence", True)
    assert status["reason"] == "Evidence"
    assert 1.0 <= status["frozen"]["policy"]["metrics"][0]["phi"] < 2.0
    assert status["evidence"][0]["canary"] == pytest.approx(0.05, abs=0.01)
    assert bench.release(known, "shop") == "1"
    assert bench.deployment(known, "shop-canary")["spec"]["replicas"] == 0

    bench.until(lambda: bench.status(unknown, "shop").get("pending") == "rollback", "a person is asked")
    status = bench.status(unknown, "shop")
    assert (status["phase"], status["said"].get("automatic")) == ("Progressing", None)
    assert bench.deployment(unknown, "shop-canary")["spec"]["replicas"] == 1
