"""What is stated of a pod, from what the API server says of it."""

from typing import Any

import msgspec
import pytest

from fluentd.kubernetes.facts import MIRROR, Pod
from fluentd.kubernetes.naming import Names
from fluentd.kubernetes.stating import restate
from pipeline.podstatement import PodStatement, check_statements

S = 1_000_000_000
NOON = 1_795_521_600
V1, V2 = Names("shop", "web", "v1"), Names("shop", "web", "v2")


def at(second: int) -> str:
    return f"2026-11-24T12:00:{second:02d}Z"


def ran(second: int, **more: Any) -> Any:
    return {"state": {"running": {"startedAt": at(second)}}} | more


def network(second: int, status: str = "True") -> Any:
    return {"type": "PodReadyToStartContainers", "status": status, "lastTransitionTime": at(second)}


def pod(ip: str = "10.0.0.1", *, phase: str = "Running", spec: Any = None, **status: Any) -> Pod:
    found = {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
        "spec": spec or {},
        "status": {"phase": phase, "podIP": ip, "containerStatuses": [ran(1)]} | status,
    }
    return msgspec.convert(found, Pod)


def say(
    before: PodStatement | None, heard: Pod, names: Names = V1, *, second: float = 30.0, rules: str = ""
) -> tuple[PodStatement | None, list[tuple[str, float, float]]]:
    """What holds, and release, beginning and end of what is stated, in seconds after noon."""
    heard_ns = NOON * S + int(second * S)
    now, news = restate(before, heard, names, rules, heard_ns=heard_ns)
    check_statements(news)
    return now, [(one.release, *(ns and round(ns / S - NOON, 3) for ns in (one.from_ns, one.to_ns))) for one in news]


def test_noon_is_noon() -> None:
    assert say(None, pod(containerStatuses=[ran(0)]))[1] == [("v1", 0.0, 0)]


def test_a_pod_without_an_address_is_not_stated_until_it_has_one() -> None:
    now, news = say(None, pod("", phase="Pending"))
    assert (now, news) == (None, [])
    now, news = say(now, pod())
    assert now is not None
    assert (now.namespace, now.pod, now.uid, now.app, now.process, now.ips) == (
        "shop",
        "web-1",
        "u1",
        "shop",
        "web",
        ("10.0.0.1",),
    )
    assert news == [("v1", 1.0, 0)]


@pytest.mark.parametrize(
    ("status", "second"),
    [
        ({"conditions": [network(7)]}, 7.0),
        ({"conditions": [network(7, "False")]}, 1.0),
        ({"containerStatuses": [ran(9), ran(5), {}]}, 5.0),
        ({"containerStatuses": [ran(9, lastState={"terminated": {"startedAt": at(4), "finishedAt": at(8)}})]}, 4.0),
        ({"containerStatuses": []}, 30.0),
        ({"conditions": [network(7) | {"lastTransitionTime": "soon"}], "containerStatuses": []}, 30.0),
        ({"conditions": [network(7) | {"lastTransitionTime": "0001-01-01T00:00:00Z"}]}, 1.0),
        ({"conditions": [network(7) | {"lastTransitionTime": None}]}, 1.0),
        ({"conditions": [network(50)]}, 30.0),
    ],
)
def test_a_pod_is_there_since_it_has_its_network(status: Any, second: float) -> None:
    assert say(None, pod(**status))[1] == [("v1", second, 0)]


def test_what_does_not_change_is_not_said_again() -> None:
    now, _ = say(None, pod())
    for heard in (pod(), pod(containerStatuses=[ran(20)]), pod(conditions=[{"type": "Ready", "status": "False"}])):
        now, news = say(now, heard, second=40)
        assert news == []


def test_a_label_that_changes_ends_one_statement_and_begins_another_when_it_is_heard() -> None:
    now, _ = say(None, pod())
    now, news = say(now, pod(), V2, second=40.5)
    assert news == [("v1", 1.0, 40.5), ("v2", 40.5, 0)]
    now, news = say(now, pod(), V1, second=50)
    assert news == [("v2", 40.5, 50.0), ("v1", 50.0, 0)]


def test_an_address_that_changes_counts_since_the_network_was_made_anew() -> None:
    now, _ = say(None, pod())
    now, news = say(now, pod("10.0.0.9", conditions=[network(35)]), second=40)
    assert news == [("v1", 1.0, 35.0), ("v1", 35.0, 0)]
    assert now is not None
    assert now.ips == ("10.0.0.9",)
    now, news = say(now, pod("10.0.0.10"), second=50)
    assert news == [("v1", 35.0, 50.0), ("v1", 50.0, 0)], "nothing says since when"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_is_no_longer_at_its_address(phase: str) -> None:
    now, _ = say(None, pod())
    ended = pod(phase=phase, containerStatuses=[{"state": {"terminated": {"startedAt": at(1), "finishedAt": at(33)}}}])
    assert say(now, ended, second=40) == (None, [("v1", 1.0, 34.0)])
    assert say(None, ended, second=40) == (None, [("v1", 1.0, 34.0)]), "nobody knew it while it was there"
    assert say(None, ended, second=40 + 1000) == (None, [])


def test_rules_that_change_are_said_and_begin_nothing_new() -> None:
    now, news = say(None, pod(), rules="one")
    now, news = say(now, pod(), rules="two", second=40)
    assert news == [("v1", 1.0, 0)]
    assert now is not None
    assert now.rules == "two"
    assert say(now, pod(), rules="two", second=50)[1] == []


def test_a_pod_of_the_hosts_network_has_the_ports_of_its_containers() -> None:
    ports = [{"containerPort": 443}, {"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]
    spec = {"hostNetwork": True, "containers": [{"ports": ports}, {}], "initContainers": [{"ports": [{}]}]}
    now, _ = say(None, pod(spec=spec))
    assert now is not None
    assert now.ports == (80, 443)
    assert say(None, pod(spec=spec | {"containers": [{}]})) == (None, []), "it cannot be told from others"


def test_addresses_that_are_none_are_passed_over() -> None:
    now, _ = say(None, pod("FD00:0::1", podIPs=[{"ip": "fd00::1"}, {"ip": "web"}, {"ip": "10.0.0.1"}, {}]))
    assert now is not None
    assert now.ips == ("fd00::1", "10.0.0.1")
    assert say(None, pod("here")) == (None, [])


def test_the_annotation_of_static_pods_gives_nobody_anothers_uid() -> None:
    thief = pod()
    thief = msgspec.structs.replace(thief, metadata=msgspec.structs.replace(thief.metadata, annotations={MIRROR: "u2"}))
    now, _ = say(None, thief)
    assert now is not None
    assert now.uid == "u1"
