"""The metrics APIs through a real API server's aggregation layer: routes, discovery, rights, refusals."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from real_aggregation import Adapter, Json, Said, eventually, post, through
from told_reader import ToldReader

from demo.certificates import Authority
from demo.controlplane import ControlPlane, token

pytestmark = [pytest.mark.slow, pytest.mark.real]

V2 = "/apis/custom.metrics.k8s.io/v1beta2"
V1 = "/apis/custom.metrics.k8s.io/v1beta1"
EX = "/apis/external.metrics.k8s.io/v1beta1"
NAME = "requests_per_second"


@pytest.fixture
def shop(api_server: ControlPlane, told: ToldReader) -> Iterator[str]:
    """A namespace with a Deis app of its name: a Service, two Deployments, three pods of which two are ready."""
    name = f"shop-{uuid4().hex[:8]}"
    labels = {"heritage": "deis", "app": name}
    selector = {"matchLabels": {"app": name}}
    post(
        api_server,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        _object("v1", "Service", name, name, labels=labels, spec={"selector": {"app": name}, "ports": [{"port": 80}]}),
        *(
            _object(
                "apps/v1",
                "Deployment",
                name,
                f"{name}-{process}",
                labels=labels,
                spec={
                    "selector": selector,
                    "template": {
                        "metadata": {"labels": {**labels, "type": process}},
                        "spec": {"containers": [{"name": "c", "image": "none"}]},
                    },
                },
            )
            for process in ("web", "worker")
        ),
        *(
            _object(
                "v1",
                "Pod",
                name,
                pod,
                labels={**labels, "type": "web", "part": pod},
                spec={"nodeName": "node-x", "containers": [{"name": "c", "image": "none"}]},
            )
            for pod in ("web-1", "web-2", "web-3")
        ),
    )
    for pod in ("web-1", "web-2"):
        _make_ready(api_server, name, pod, seconds_ago=600)
    told.tell("app_requests", 120, source="app", code="200", namespace=name, app=name, process="web", pod="web-1")
    told.tell("app_requests", 30, source="app", code="500", namespace=name, app=name, process="worker", pod="worker-1")
    yield name
    api_server.kubectl("delete", "namespace", name, "--wait=false")


def _object(version: str, kind: str, namespace: str, name: str, *, labels: Json, spec: Json) -> Json:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _make_ready(plane: ControlPlane, namespace: str, pod: str, *, seconds_ago: float) -> None:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds_ago))
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}
    patch = ["patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})]
    plane.kubectl("-n", namespace, *patch)


def values(said: Said) -> dict[str, str]:
    """Values by the name of what they are of."""
    assert said.status == 200, said.text
    return {item["describedObject"]["name"]: item["value"] for item in said.items}


def test_every_route_of_the_custom_metrics_api_answers_as_adapters_do(api_server: ControlPlane, shop: str) -> None:
    here = f"namespaces/{shop}"
    counts = {
        f"{V2}/{here}/pods/*/{NAME}": 2,
        f"{V2}/{here}/pods/%2A/{NAME}?labelSelector=part%3Dweb-1": 1,
        f"{V2}/{here}/pods/*/{NAME}?labelSelector=part+notin+(web-1,web-2)": 0,
        f"{V2}/{here}/pods/web-2/{NAME}": 1,
        f"{V2}/{here}/metrics/{NAME}": 1,
        f"{V2}/{here}/{NAME}": 1,
        f"{V2}/{here}/services/{shop}/{NAME}": 1,
        f"{V2}/{here}/deployments.apps/{shop}-web/{NAME}": 1,
        f"{V1}/{here}/pods/*/{NAME}": 2,
        f"{V1}/{here}/services/{shop}/{NAME}?metricLabelSelector=code%3D500": 1,
    }
    for path, count in counts.items():
        said = through(api_server, path)
        assert said.status == 200, (path, said.text)
        assert len(said.items) == count, path
    missing = [
        f"{V2}/blah",
        f"{V2}/nodes/foo",
        f"{V2}/nodes/*/{NAME}",
        f"{V2}/{here}/pods/bar",
        f"{V2}/{here}/pods/web-3/{NAME}",
        f"{V2}/{here}/pods/nobody/{NAME}",
        f"{V2}/{here}/pods/*/nothing",
        f"{V2}/{here}/services/nobody/{NAME}",
        f"{V2}/{here}/services/*/{NAME}",
        f"{V2}/{here}/secrets/one/{NAME}",
        f"{V2}/{here}/services/{shop}/queue_depth",
        f"{V2}/namespaces/nowhere/metrics/{NAME}",
    ]
    for path in missing:
        said = through(api_server, path)
        assert said.status == 404, (path, said.text)
        assert said.json["kind"] == "Status", path


def test_custom_metrics_have_the_values_of_their_objects(api_server: ControlPlane, shop: str) -> None:
    here = f"namespaces/{shop}"
    assert values(through(api_server, f"{V2}/{here}/pods/*/{NAME}")) == {"web-1": "2", "web-2": "0"}
    assert values(through(api_server, f"{V2}/{here}/services/{shop}/{NAME}")) == {shop: "2500m"}
    assert values(through(api_server, f"{V2}/{here}/deployments.apps/{shop}-worker/{NAME}")) == {
        f"{shop}-worker": "500m"
    }
    assert values(through(api_server, f"{V2}/{here}/metrics/error_ratio")) == {shop: "200m"}
    selected = f"{V2}/{here}/metrics/{NAME}?metricLabelSelector=process+in+(worker),code%3E400"
    assert values(through(api_server, selected)) == {shop: "500m"}


def test_both_versions_have_their_own_shape(api_server: ControlPlane, shop: str) -> None:
    (new,) = through(api_server, f"{V2}/namespaces/{shop}/services/{shop}/{NAME}").items
    (old,) = through(api_server, f"{V1}/namespaces/{shop}/services/{shop}/{NAME}").items
    assert new.pop("metric") == {"name": NAME, "selector": None}
    assert old.pop("metricName") == NAME
    assert new == old
    assert new["describedObject"] == {"kind": "Service", "namespace": shop, "name": shop, "apiVersion": "v1"}
    assert new["windowSeconds"] == 60


def test_every_route_of_the_external_metrics_api_answers_as_adapters_do(api_server: ControlPlane, shop: str) -> None:
    (item,) = through(api_server, f"{EX}/namespaces/{shop}/{NAME}?labelSelector=app%3D{shop}").items
    assert (item["metricName"], item["metricLabels"], item["value"]) == (NAME, {"app": shop}, "2500m")
    assert len(through(api_server, f"{EX}/namespaces/{shop}/{NAME}").items) == 1
    for empty in ("nothing", f"{NAME}?labelSelector=app%3Dnobody", "latency_p95_seconds"):
        said = through(api_server, f"{EX}/namespaces/{shop}/{empty}")
        assert (said.status, said.items) == (200, []), empty
        assert said.headers["Warning"].startswith("299"), empty
    for missing in (f"{EX}/{NAME}", f"{EX}/namespaces/{shop}", f"{EX}/namespaces/{shop}/group/{NAME}"):
        assert through(api_server, missing).status == 404, missing
    assert through(api_server, f"{EX}/namespaces/{shop}/{NAME}?labelSelector=app+in").status == 400


def test_no_namespace_reads_anothers(api_server: ControlPlane, shop: str) -> None:
    for query in ("", f"?labelSelector=app%3D{shop}", f"?labelSelector=app%3D{shop},namespace%3D{shop}"):
        assert through(api_server, f"{EX}/namespaces/default/{NAME}{query}").items == []


def test_what_is_stale_or_known_in_part_is_never_0(api_server: ControlPlane, shop: str, told: ToldReader) -> None:
    told.watermark -= 120_000_000_000
    custom = [f"{V2}/namespaces/{shop}/{of}/{NAME}" for of in ("pods/*", f"services/{shop}", "metrics")]
    external = f"{EX}/namespaces/{shop}/{NAME}?labelSelector=app%3D{shop}"
    for path in custom:
        said = through(api_server, path)
        assert said.status == 503, path
        assert "complete up to" in said.json["message"]
    said = through(api_server, external)
    assert (said.status, said.items) == (200, [])
    told.complete_now()
    told.broken = "shard 7 has no owner"
    for path in (*custom, external):
        said = through(api_server, path)
        assert said.status == 503, path
        assert "shard 7" in said.json["message"]


def test_discovery_lists_what_there_is(api_server: ControlPlane, adapter: Adapter, shop: str) -> None:
    for path in (V1, V2, EX):
        listed = through(api_server, path).json
        assert listed["kind"] == "APIResourceList"
        assert {tuple(one["verbs"]) for one in listed["resources"]} == {("get",)}
    names = {one["name"] for one in through(api_server, V2).json["resources"]}
    assert {f"{kind}/{NAME}" for kind in ("pods", "services", "deployments.apps", "namespaces")} <= names
    assert {one["name"] for one in through(api_server, EX).json["resources"]} >= {NAME, "lines_per_second"}
    eventually(lambda: NAME in api_server.kubectl("api-resources", "-o", "name"), "kubectl lists the metrics")
    assert through(api_server, "/apis/custom.metrics.k8s.io").json["preferredVersion"]["version"] == "v1beta2"


def test_who_may_not_read_metrics_is_refused_and_who_may_is_not(api_server: ControlPlane, shop: str) -> None:
    custom, external = f"{V2}/namespaces/{shop}/metrics/{NAME}", f"{EX}/namespaces/{shop}/{NAME}"
    assert {through(api_server, path, user="nobody").status for path in (custom, external)} == {403}
    role = {"apiGroups": ["external.metrics.k8s.io"], "resources": [NAME], "verbs": ["list"]}
    role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "metrics"}
    subjects = [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}]
    rbac, metadata = "rbac.authorization.k8s.io/v1", {"name": "metrics", "namespace": shop}
    post(
        api_server,
        {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": [role]},
        {"apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "roleRef": role_ref, "subjects": subjects},
    )
    eventually(lambda: through(api_server, external, user="nobody").status == 200, "the role counts")
    assert through(api_server, custom, user="nobody").status == 403
    assert through(api_server, f"{EX}/namespaces/default/{NAME}", user="nobody").status == 403
    assert through(api_server, external, method="DELETE").status == 405


def test_only_the_api_server_is_believed_about_who_asks(
    api_server: ControlPlane, adapter: Adapter, shop: str, tmp_path: Path
) -> None:
    forged = {"X_Remote_User": "admin", "X_Remote_Group": "system:masters"}
    path = f"{EX}/namespaces/{shop}/{NAME}"
    assert adapter.ask(path).status == 401
    assert adapter.ask(path, **forged).status == 401
    assert adapter.ask(path, **forged, Authorization="Bearer nonsense").status == 401
    assert adapter.ask(path, **forged, Authorization=f"Bearer {token('nobody')}").status == 403
    assert adapter.ask(path, Authorization=f"Bearer {token('admin')}").status == 200
    assert through(api_server, path, user="nobody", **forged).status == 403, "the API server takes them away"

    own = api_server.folder / "front-proxy.crt"
    assert adapter.ask(path, certificate=own, **forged).status == 200
    assert adapter.ask(path, certificate=own).status == 401
    assert adapter.ask(path, certificate=own, X_Remote_User="nobody").status == 403

    wrong_name = _signed_by_front_proxy(api_server, tmp_path)
    assert adapter.ask(path, certificate=wrong_name, **forged).status == 401
    stranger = Authority(tmp_path, "stranger")
    stranger.issue("forged", subject="/CN=front-proxy-client", usage="clientAuth")
    with pytest.raises(OSError, match=r"(?i)unknown ca|reset|eof|closed"):
        adapter.ask(path, certificate=tmp_path / "forged.crt", **forged)
    assert {adapter.ask(alive).status for alive in ("/healthz", "/livez", "/readyz")} == {200}
    assert adapter.ask("/apis").status == 401


def _signed_by_front_proxy(plane: ControlPlane, folder: Path) -> Path:
    """A certificate of the right authority, of another name."""
    authority = object.__new__(Authority)
    authority.certificate, authority.key = plane.folder / "front-proxy-ca.crt", plane.folder / "front-proxy-ca.key"
    authority._folder = folder
    authority.issue("other-name", subject="/CN=somebody", usage="clientAuth")
    return folder / "other-name.crt"
