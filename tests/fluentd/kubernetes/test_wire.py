"""What comes over the wire from an API server, and what it means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.kubernetes.api import read_event
from fluentd.kubernetes.facts import Pod
from pipeline.apiserver import GoneError, refusal
from pipeline.errors import KubernetesUnavailableError

METADATA = {
    "name": "web",
    "namespace": "shop",
    "uid": "u",
    "resourceVersion": "7",
    "labels": {"app": "shop"},
    "ownerReferences": [{"apiVersion": "v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": True}],
    "managedFields": [{"manager": "kubelet"}],
}


def line(kind: str, thing: Any) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode()


def test_an_event_names_the_pod_and_the_version_to_go_on_from() -> None:
    kind, pod, version = read_event(line("MODIFIED", {"kind": "PartialObjectMetadata", "metadata": METADATA}))
    assert (kind, version) == ("MODIFIED", "7")
    assert isinstance(pod, Pod)
    assert pod.metadata.owner is not None
    assert pod.metadata.owner.name == "web-1"


def test_of_a_pod_that_runs_its_network_and_its_times_are_read() -> None:
    ran = {"state": {"running": {"startedAt": "2026-11-24T12:00:02Z"}}, "lastState": {"terminated": {"exitCode": 1}}}
    whole = {
        "metadata": METADATA,
        "spec": {"hostNetwork": True, "containers": [{"name": "web", "ports": [{"containerPort": 80}]}, {}]},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "startTime": "2026-11-24T12:00:00Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": None}],
            "containerStatuses": [ran],
        },
    }
    _, pod, _ = read_event(line("ADDED", whole))
    assert isinstance(pod, Pod)
    assert pod.spec.host_network
    assert [port.container_port for one in pod.spec.containers or () for port in one.ports or ()] == [80]
    assert (pod.status.pod_ip, [one.ip for one in pod.status.pod_ips or ()]) == ("10.0.0.1", ["10.0.0.1", "fd00::1"])
    assert pod.status.container_statuses is not None
    assert pod.status.container_statuses[0].state.running is not None


def test_a_bookmark_moves_the_version_only() -> None:
    assert read_event(line("BOOKMARK", {"metadata": {"resourceVersion": "99"}})) == ("BOOKMARK", None, "99")


def test_an_old_version_is_gone_and_other_errors_are_not() -> None:
    with pytest.raises(GoneError):
        read_event(line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
    with pytest.raises(KubernetesUnavailableError, match="500"):
        read_event(line("ERROR", {"kind": "Status", "code": 500, "message": "etcd"}))


@pytest.mark.parametrize(
    ("status", "header", "reason", "seconds"),
    [
        (429, "7", "429", 7.0),
        (503, "", "503", 0.0),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", "429", 0.0),
        (429, "999999999", "429", 300.0),
        (429, "-5", "429", 0.0),
        (418, "", "other", 0.0),
        (0, "", "other", 0.0),
    ],
)
def test_a_refusal_says_how_long_to_wait(status: int, header: str, reason: str, seconds: float) -> None:
    error = refusal(status, b'{"message": "no"}', header)
    assert isinstance(error, KubernetesUnavailableError)
    assert (error.reason, error.retry_after_seconds) == (reason, seconds)


def test_a_refusal_is_quoted_within_bounds() -> None:
    assert len(str(refusal(500, json.dumps({"message": "x" * 10_000}).encode(), ""))) < 400
    assert str(refusal(502, b"<html>", "")).startswith("the API server answers 502")


@given(
    st.binary(max_size=100) | st.builds(line, st.text(max_size=9), st.dictionaries(st.text(max_size=9), st.integers()))
)
def test_no_line_whatever_it_holds_is_more_than_an_error(data: bytes) -> None:
    try:
        read_event(data)
    except (KubernetesUnavailableError, GoneError):
        return
