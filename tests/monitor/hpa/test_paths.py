"""Paths of the metrics APIs, and what a caller must be allowed for them."""

import pytest

from monitor.hpa.paths import CUSTOM, EXTERNAL, Asked, asked_by, attributes_of

V2 = f"/apis/{CUSTOM}/v1beta2"
V1 = f"/apis/{CUSTOM}/v1beta1"
EX = f"/apis/{EXTERNAL}/v1beta1"

KNOWN = {
    f"{V2}/nodes/*/some": Asked(CUSTOM, "v1beta2", "", "nodes", "*", "some"),
    f"{V2}/nodes/foo/some": Asked(CUSTOM, "v1beta2", "", "nodes", "foo", "some"),
    f"{V1}/namespaces/ns/pods/%2A/some": Asked(CUSTOM, "v1beta1", "ns", "pods", "*", "some"),
    f"{V2}/namespaces/ns/pods/foo/some": Asked(CUSTOM, "v1beta2", "ns", "pods", "foo", "some"),
    f"{V2}/namespaces/ns/deployments.apps/web/some": Asked(CUSTOM, "v1beta2", "ns", "deployments.apps", "web", "some"),
    f"{V2}/namespaces/ns/metrics/some": Asked(CUSTOM, "v1beta2", "ns", "metrics", "", "some"),
    f"{V2}/namespaces/ns/some": Asked(CUSTOM, "v1beta2", "", "namespaces", "ns", "some"),
    f"{EX}/namespaces/ns/some": Asked(EXTERNAL, "v1beta1", "ns", "", "", "some"),
}


@pytest.mark.parametrize(("path", "asked"), KNOWN.items())
def test_a_path_asks_for_a_metric(path: str, asked: Asked) -> None:
    assert asked_by(path) == asked


NOTHING = [
    "/apis/",
    "/apis",
    "/",
    "",
    f"{V2}/blah",
    f"{V2}/nodes/foo",
    f"{V2}/namespaces/ns/pods/foo/some/more",
    f"{V2}/namespaces/ns/pods//some",
    f"{V2}/namespaces/ns/pods/foo/",
    f"{V2}/namespaces/../pods/*/some",
    f"{V2}/namespaces/ns/pods/%2e%2e/some",
    f"{V2}/namespaces/ns/pods/a%2Fb/some",
    f"{V2}/namespaces/ns/pods/a%00/some",
    f"{V2}/namespaces/ns/pods/{'x' * 254}/some",
    f"/apis/{CUSTOM}/v1/namespaces/ns/pods/foo/some",
    f"{EX}/nonexistent-metric",
    f"{EX}/namespaces/foo",
    f"{EX}/namespaces/foo/group/metric",
    f"/apis/{EXTERNAL}/v1beta2/namespaces/ns/some",
    "/apis/metrics.k8s.io/v1beta1/namespaces/ns/some",
]


@pytest.mark.parametrize("path", NOTHING)
def test_other_paths_ask_for_none(path: str) -> None:
    assert asked_by(path) is None


RIGHTS = {
    f"{V2}/namespaces/ns/pods/*/some": ("get", "pods", "*", "some", "ns"),
    f"{V2}/namespaces/ns/metrics/some": ("get", "metrics", "some", "", "ns"),
    f"{V2}/nodes/foo/some": ("get", "nodes", "foo", "some", ""),
    f"{EX}/namespaces/ns/some": ("list", "some", "", "", "ns"),
}


@pytest.mark.parametrize(("path", "rights"), RIGHTS.items())
def test_what_must_be_allowed_is_what_an_api_server_makes_of_the_path(path: str, rights: tuple[str, ...]) -> None:
    asked = asked_by(path)
    assert asked is not None
    told = attributes_of(asked)
    assert tuple(told[name] for name in ("verb", "resource", "name", "subresource", "namespace")) == rights
    assert told["group"] == asked.group
