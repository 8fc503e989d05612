"""Restarts count from the beginning of an analysis on, whatever pods went through before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from model_world import two_deployments

from monitor.canary import restarts
from monitor.canary.decide.atonce import crash_loop
from monitor.canary.resource.canary import canary_of
from monitor.canary.resource.status import CanaryStatus, Restarted
from monitor.canary.transition import advance
from monitor.canary.world import PodFacts, Signals, pod_of, signals_of

SINCE = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def pod(name: str, count: int, *, release: str = "1", **more: Any) -> PodFacts:
    labels = {"app.kubernetes.io/version": release}
    return PodFacts(name=name, labels=labels, ready=True, restarts=count, crash_loops=False, **more)


def begun(*pods: PodFacts) -> CanaryStatus:
    return CanaryStatus(since=SINCE, restarts=restarts.before(pods))


def test_a_restart_of_a_pod_that_was_there_is_counted_and_so_is_each_of_a_new_one() -> None:
    status = begun(pod("old", 7), pod("quiet", 0))
    counted = {name: restarts.since(pod(name, count), status) for name, count in [("old", 9), ("quiet", 3), ("new", 2)]}
    assert counted == {"old": 2, "quiet": 3, "new": 2}
    assert restarts.since(pod("old", 1), status) == 0, "a count that begins anew is no negative one"


def test_old_restarts_of_stable_pods_do_not_hide_those_of_a_canary() -> None:
    stable = [pod(f"stable-{number}", 40) for number in range(3)]
    canary = pod("canary", 1, release="2")
    status = begun(*stable, canary)

    def signals(*pods: PodFacts) -> Signals:
        counted = [replace(each, restarts=restarts.since(each, status)) for each in pods]
        return signals_of(counted, stable="1", canary="2", wanted=(3, 1))

    assert not crash_loop(signals(*stable, replace(canary, restarts=2)))
    assert crash_loop(signals(*stable, replace(canary, restarts=4)))
    assert not crash_loop(signals(*(replace(each, restarts=44) for each in stable), replace(canary, restarts=4)))


def test_what_is_written_down_is_bounded_and_of_the_rest_only_a_last_restart_is_new() -> None:
    many = [pod(f"p{number}", number) for number in range(1, 2 * restarts.KEPT)]
    status = begun(*many)
    assert status.restarts is not None
    assert len(status.restarts) == restarts.KEPT
    assert status.restarts[0] == Restarted(f"p{2 * restarts.KEPT - 1}", 2 * restarts.KEPT - 1)
    assert restarts.since(pod("p5", 9, ended=SINCE + MINUTE), status) == 1
    assert restarts.since(pod("p5", 9, ended=SINCE - MINUTE), status) == 0
    assert restarts.since(pod("later", 9, began=SINCE + MINUTE), status) == 9


@pytest.mark.parametrize(("ended", "count"), [(SINCE - MINUTE, 0), (SINCE + MINUTE, 1), (None, 0)])
def test_an_analysis_that_an_earlier_version_began_takes_no_old_restart_for_a_new_one(
    ended: datetime | None, count: int
) -> None:
    assert restarts.since(pod("old", 7, ended=ended), CanaryStatus(since=SINCE)) == count


def test_a_pod_is_read_with_all_its_restarts_and_the_last_end_of_a_container() -> None:
    containers = [
        {"restartCount": 2, "lastState": {"terminated": {"finishedAt": "2026-11-24T11:59:00Z"}}},
        {"restartCount": 1, "lastState": {"terminated": {"finishedAt": "2026-11-24T12:01:00Z"}}},
        {"restartCount": 0},
    ]
    status = {"startTime": "2026-11-24T11:00:00Z", "containerStatuses": containers}
    found = pod_of({"metadata": {"name": "web"}, "status": status})
    assert (found.restarts, found.began, found.ended) == (3, SINCE - 60 * MINUTE, SINCE + MINUTE)


def test_an_analysis_writes_down_what_pods_had_when_it_began_and_never_again() -> None:
    model = two_deployments()
    model.look()
    canary = canary_of(model.resource())
    canary = replace(canary, status=msgspec.structs.replace(canary.status, since=None, restarts=None))
    had, later = (Restarted("web", 7),), (Restarted("web", 9),)
    began = advance(canary, replace(model.world(canary), restarts=had), None).status
    assert began.since is not None
    assert began.restarts == had
    assert msgspec.json.decode(msgspec.json.encode(began), type=CanaryStatus).restarts == had
    running = replace(canary, status=began)
    assert advance(running, replace(model.world(running), restarts=later), None).status.restarts == had
