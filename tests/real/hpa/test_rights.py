"""The account that the chart gives the monitor: what the metrics APIs need, no more. And an API server that leaves."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from real_aggregation import Adapter, eventually, post
from told_reader import ToldReader

from demo import controlplane
from demo.controlplane import ControlPlane, token
from demo.stack import StackError

pytestmark = [pytest.mark.slow, pytest.mark.real]

CHART = Path(__file__).parents[3] / "charts" / "deis-telemetry"
NAME = "requests_per_second"
ADMIN = f"Bearer {token('admin')}"
VALUES = ("monitor.hpa.enabled=true", "monitor.hpa.certificateSecret=tls", "monitor.hpa.caBundle=eA==")
KINDS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "RoleBinding"}


@pytest.fixture
def reader() -> ToldReader:
    """Knows an app of the namespace `default`."""
    reader = ToldReader()
    reader.complete_now()
    reader.tell("app_requests", 120, source="app", code="200", namespace="default", app="default", pod="a")
    return reader


@pytest.fixture
def account(api_server: ControlPlane) -> Iterator[Path]:
    """A kubeconfig of the account, with the rights that the chart gives it and nothing else."""
    plane, namespace = api_server, f"chart-{uuid4().hex[:8]}"
    plane.kubectl("create", "namespace", namespace)
    settings = [part for value in VALUES for part in ("--set", value)]
    values = str(CHART / "ci" / "kafka.yaml")
    text = plane.helm("template", "telemetry", str(CHART), "-n", namespace, "-f", values, *settings)
    made = [one for one in yaml.safe_load_all(text) if one and one["kind"] in KINDS]
    post(plane, *made)
    secret = plane.kubectl("-n", namespace, "create", "token", "telemetry-deis-telemetry-monitor").strip()
    yield plane.kubeconfig_of(f"monitor-{uuid4().hex[:8]}", secret=secret)
    for one in made:
        where = ["-n", one["metadata"].get("namespace", namespace)]
        plane.kubectl(*where, "delete", one["kind"].lower(), one["metadata"]["name"])
    plane.kubectl("delete", "namespace", namespace, "--wait=false")


def test_the_charts_account_may_do_what_the_metrics_apis_need_and_no_more(
    api_server: ControlPlane, account: Path, tmp_path: Path, reader: ToldReader
) -> None:
    service = {"spec": {"ports": [{"port": 80}], "selector": {"app": "x"}}}
    name = f"front-{uuid4().hex[:8]}"
    post(api_server, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, **service})
    adapter = Adapter(api_server, tmp_path / "adapter", reader, {"kubernetes": str(account)})
    with adapter.running():
        custom = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default"
        external = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/default/{NAME}"
        for path in (
            f"{custom}/services/{name}/{NAME}",
            f"{custom}/pods/*/{NAME}",
            f"{custom}/metrics/{NAME}",
            external,
        ):
            said = adapter.ask(path, Authorization=ADMIN)
            assert said.status == 200, (path, said.text)
        for kind in ("deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps"):
            assert adapter.ask(f"{custom}/{kind}/nobody/{NAME}", Authorization=ADMIN).status == 404, kind
        assert adapter.ask(f"{custom}/ingresses.networking.k8s.io/no/{NAME}", Authorization=ADMIN).status == 404
    for forbidden in (
        ["get", "secrets", "-A"],
        ["delete", "pod", "any", "-n", "default"],
        ["get", "services", "-A"],
    ):
        with pytest.raises(StackError, match="orbidden"):
            _as(account, *forbidden)


def _as(kubeconfig: Path, *arguments: str) -> str:
    return controlplane._run([str(controlplane.build() / "kubectl"), "--kubeconfig", str(kubeconfig), *arguments])


def test_an_api_server_that_is_away_is_no_value_and_no_end(
    own_api_server: ControlPlane, tmp_path: Path, reader: ToldReader
) -> None:
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/default/{NAME}"
    adapter = Adapter(own_api_server, tmp_path / "adapter", reader)
    with adapter.running():
        assert adapter.ask(path, Authorization=ADMIN).status == 200
        own_api_server.parts["kube-apiserver"].kill()
        eventually(lambda: adapter.ask(path, Authorization=ADMIN).status == 503, "what was remembered is too old")
        assert adapter.ask("/healthz").status == 200
        own_api_server.start("kube-apiserver")

        def answers() -> bool:
            reader.complete_now()
            return adapter.ask(path, Authorization=ADMIN).status == 200

        eventually(answers, "values again")
