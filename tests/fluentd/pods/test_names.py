"""Whose log a file is, from names and from a file of labels; hostile names get a safe form."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from fluentd.pods.names import LABELS_FILE_BYTES, LabelsFile, NameRules, PodMetadata, safe_name
from pipeline.chunk import Origin
from pipeline.limits import NAME_BYTES


def origin(metadata: PodMetadata, namespace: str = "demo", pod: str = "demo-web-5c8f-x7k2p") -> Origin:
    return metadata.origin(namespace=namespace, pod=pod, uid="uid", container="c", restart=3)


@pytest.mark.parametrize(
    ("namespace", "pod", "process"),
    [
        ("demo", "demo-web-5c8f-x7k2p", "web"),
        ("demo", "demo-web-7d9c6b5f4-x7k2p", "web"),
        ("demo", "demo-web-worker-7d9c6b5f4-x7k2p", "web-worker"),
        ("my-shop", "my-shop-web-7d9c6b5f4-x7k2p", "web"),
        ("my", "my-shop-web-7d9c6b5f4-x7k2p", "shop-web"),
        ("demo", "demo-demo-7d9c6b5f4-x7k2p", "demo"),
        ("demo", "demo-db-0", "db"),
        ("demo", "demo-db-12", "db"),
        ("demo", "demo-run-x7k2p", "run"),
        ("demo", "demo-run-abcde", "run"),
        ("demo", "demo-run-7d9c6b5f4-x7k2p", "run"),
        ("demo", "demo-web-x7k2p", "web"),
        ("demo", "demo-web-worker-x7k2p", "web-worker"),
        ("demo", "demo-nightly-28391820-x7k2p", "nightly"),
        ("demo", "demo-web-0a1b2c3d4e-abcde", "web"),
        ("kube-system", "coredns-5d78c9869d-x7k2p", "coredns"),
        ("kube-system", "kube-proxy-x7k2p", "kube-proxy"),
        ("kube-system", "etcd-node-1", "etcd"),
        ("demo", "demo", ""),
        ("demo", "demo-", ""),
        ("demo", "demo-web", ""),
        ("demo", "demonstration", ""),
    ],
)
def test_the_process_is_what_the_owner_added_nothing_to(namespace: str, pod: str, process: str) -> None:
    assert origin(NameRules("node-1"), namespace, pod) == Origin(
        "node-1", namespace, pod, "uid", "c", 3, namespace, process, ""
    )


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=20), st.text(max_size=20))
def test_any_names_give_a_bounded_and_plain_origin(node: str, namespace: str, pod: str, container: str) -> None:
    made = NameRules(node).origin(namespace=namespace, pod=pod, uid="../..", container=container, restart=0)
    for name in (made.node, made.namespace, made.pod, made.uid, made.container, made.app):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        assert len(name) <= NAME_BYTES
    assert len(made.process) <= NAME_BYTES


@given(st.text(alphabet="a/\n\x00\udc80-", max_size=6), st.text(alphabet="a/\n\x00\udc80-", max_size=6))
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_a_plain_name_stays_as_it_is() -> None:
    assert safe_name("a" * NAME_BYTES) == "a" * NAME_BYTES
    assert safe_name("ip-10-0-0-1.eu_west.internal") == "ip-10-0-0-1.eu_west.internal"
    assert re.fullmatch(r"a_b-[0-9a-f]{8}", safe_name("a/b"))


def write(path: Path, labels: object) -> None:
    """Replace the file as a careful writer does."""
    path.with_suffix(".tmp").write_text(json.dumps(labels), encoding="utf-8")
    path.with_suffix(".tmp").replace(path)


POD = "demo/demo-web-5c8f-x7k2p"


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"app": "shop", "type": "cmd", "version": "v7", "heritage": "deis"}, ("shop", "cmd", "v7")),
        ({"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "api"}, ("shop", "api", "")),
        ({"app": "deis", "app.kubernetes.io/name": "other"}, ("deis", "web", "")),
        ({"app": "", "version": "v1"}, ("demo", "web", "v1")),
        ({}, ("demo", "web", "")),
    ],
)
def test_labels_win_over_names(tmp_path: Path, labels: dict[str, str], found: tuple[str, str, str]) -> None:
    write(tmp_path / "labels", {POD: labels, "demo/another": {"app": "wrong"}})
    made = origin(LabelsFile(tmp_path / "labels", NameRules("n")))
    assert (made.app, made.process, made.release) == found
    assert made.namespace == "demo"


def test_labels_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    metadata = LabelsFile(tmp_path / "labels", NameRules("n"))
    assert origin(metadata).app == "demo"
    for release in ("v1", "v2"):
        write(tmp_path / "labels", {POD: {"version": release}})
        assert origin(metadata).release == release


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": {"app": 1}}', b'{"a": {"app": "\xff"}}', b"[" * 100_000]
)
def test_a_bad_file_is_counted_and_told_once_and_the_last_good_one_holds(tmp_path: Path, text: bytes) -> None:
    registry = CollectorRegistry()
    path = tmp_path / "labels"
    metadata = LabelsFile(path, NameRules("n"), registry=registry)
    write(path, {POD: {"version": "v1"}})
    assert origin(metadata).release == "v1"
    path.write_bytes(text)
    with capture_logs() as logs:
        assert [origin(metadata).release for _ in range(3)] == ["v1"] * 3
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert registry.get_sample_value("fluentd_pod_labels_errors_total") == 1
    write(path, {POD: {"version": "v2"}})
    assert origin(metadata).release == "v2"


def test_a_file_that_goes_away_leaves_its_last_labels(tmp_path: Path) -> None:
    write(tmp_path / "labels", {POD: {"version": "v1"}})
    metadata = LabelsFile(tmp_path / "labels", NameRules("n"))
    assert origin(metadata).release == "v1"
    (tmp_path / "labels").unlink()
    assert origin(metadata).release == "v1"


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "labels").open("wb") as file:
        os.truncate(file.fileno(), LABELS_FILE_BYTES + 1)
    assert origin(LabelsFile(tmp_path / "labels", NameRules("n"))).app == "demo"


def test_hostile_labels_get_a_safe_form(tmp_path: Path) -> None:
    write(tmp_path / "labels", {POD: {"app": "../../etc", "type": "\x1b[31m", "version": "v" * 10_000}})
    made = origin(LabelsFile(tmp_path / "labels", NameRules("n")))
    for name in (made.app, made.process, made.release):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        assert len(name) <= NAME_BYTES


def test_an_app_is_spread_over_one_partition_until_something_says_more(tmp_path: Path) -> None:
    assert LabelsFile(tmp_path / "labels", NameRules("n")).spread("demo") == 1
