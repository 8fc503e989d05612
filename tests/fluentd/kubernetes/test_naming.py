"""App, process and release of pods."""

import re
from typing import Any

import pytest

from fluentd.kubernetes.facts import Owner, PodMeta
from fluentd.kubernetes.naming import Names, Naming, workload_of

DEIS = {"heritage": "deis"}


def pod(namespace: str, name: str, *owners: Owner, labels: dict[str, str] | None = None, **more: Any) -> PodMeta:
    return PodMeta(name, namespace, "uid-1", labels=labels or {}, owner_references=owners, **more)


def owner(kind: str, name: str) -> Owner:
    return Owner(kind, name, controller=True)


@pytest.mark.parametrize(
    ("meta", "names"),
    [
        pytest.param(
            pod("shop", "shop-web-1", labels={**DEIS, "app": "shop", "type": "web", "version": "v3"}),
            Names("shop", "web", "v3"),
            id="a Deis app",
        ),
        pytest.param(
            pod("shop", "shop-cmd-5d4f8-x2v4k", labels={**DEIS, "app": "victim", "app.kubernetes.io/name": "victim"}),
            Names("shop", "cmd", ""),
            id="a Deis app cannot choose its name",
        ),
        pytest.param(
            pod("deis", "deis-router-5d4f8-x2v4k", labels={"app": "deis-router"}),
            Names("deis-router", "", ""),
            id="a component of the platform",
        ),
        pytest.param(
            pod(
                "team",
                "db-0",
                labels={
                    "app": "ignored",
                    "app.kubernetes.io/name": "postgres",
                    "app.kubernetes.io/component": "primary",
                    "app.kubernetes.io/version": "16.1",
                },
            ),
            Names("postgres", "primary", "16.1"),
            id="labels that others use",
        ),
        pytest.param(
            pod("team", "db-0", owner("StatefulSet", "db")), Names("team", "db", ""), id="namespace and owner"
        ),
        pytest.param(pod("team", "cache-x2v4k"), Names("team", "cache", ""), id="namespace and name"),
    ],
)
def test_pods_are_named_by_their_labels_then_by_owner_and_namespace(meta: PodMeta, names: Names) -> None:
    assert Naming("node-1").names_of(meta) == names


def test_a_label_that_is_no_plain_name_gets_a_safe_form() -> None:
    names = Naming("n").names_of(pod("team", "p", labels={"app.kubernetes.io/name": "../x y"}))
    assert re.fullmatch(r"x_y-[0-9a-f]{8}|[A-Za-z0-9][A-Za-z0-9._-]*", names.app)


def test_annotations_name_nothing() -> None:
    loud = dict.fromkeys(("app", "logs.deis.io/app", "app.kubernetes.io/name"), "victim")
    assert Naming("n").names_of(pod("shop", "p", labels=DEIS, annotations=loud)) == Names("shop")


def test_the_mapping_is_the_settings() -> None:
    naming = Naming("n", app=("team", "app"), process=("role",), release=())
    labels = {"app": "a", "role": "r", "app.kubernetes.io/version": "1"}
    assert naming.names_of(pod("ns", "p", labels=labels)) == Names("a", "r", "")


@pytest.mark.parametrize(
    ("owners", "labels", "workload"),
    [
        ([owner("ReplicaSet", "web-5d4f")], {"pod-template-hash": "5d4f"}, "web"),
        ([owner("ReplicaSet", "web-5d4f")], {}, "web-5d4f"),
        ([owner("Job", "backup-28391234")], {}, "backup"),
        ([owner("Job", "migrate")], {}, "migrate"),
        ([owner("DaemonSet", "agent")], {}, "agent"),
        ([owner("Node", "node-1")], {}, ""),
        ([Owner("Thing", "no controller")], {}, ""),
        ([], {}, ""),
    ],
)
def test_the_workload_is_what_outlives_pods(owners: list[Owner], labels: dict[str, str], workload: str) -> None:
    assert workload_of(pod("ns", "p", *owners, labels=labels)) == workload
