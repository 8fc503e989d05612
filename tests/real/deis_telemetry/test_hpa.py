"""Autoscalers that `deis-telemetry hpa` prints and applies, on a real API server."""

import os
import subprocess
import sys
from uuid import uuid4

import pytest
import yaml

from demo.controlplane import ControlPlane

pytestmark = [pytest.mark.slow, pytest.mark.real]

OF_DEIS = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: shop-web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop-web}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
"""


def hpa(plane: ControlPlane, namespace: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deis_telemetry", "hpa", "shop", "--namespace", namespace, "--target", "50"]
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


@pytest.fixture
def namespace(api_server: ControlPlane) -> str:
    name = f"hpa-{uuid4().hex[:8]}"
    api_server.kubectl("create", "namespace", name)
    return name


@pytest.mark.parametrize("form", ["external", "object"])
def test_what_is_printed_and_what_is_applied_are_one_and_the_api_server_takes_them(
    api_server: ControlPlane, namespace: str, form: str
) -> None:
    printed = hpa(api_server, namespace, "--form", form)
    assert (printed.returncode, printed.stderr) == (0, "")
    api_server.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", given=printed.stdout)
    for _ in range(2):
        applied = hpa(api_server, namespace, "--form", form, "--apply")
        assert applied.returncode == 0, applied.stderr
    kept = yaml.safe_load(api_server.kubectl("-n", namespace, "get", "hpa", "shop-web-telemetry", "-o", "yaml"))
    assert kept["spec"] == yaml.safe_load(printed.stdout)["spec"] | {"behavior": kept["spec"]["behavior"]}
    assert kept["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_beside_the_autoscaler_of_deis_it_warns_and_does_not_apply(api_server: ControlPlane, namespace: str) -> None:
    api_server.kubectl("-n", namespace, "create", "-f", "-", given=OF_DEIS)
    printed = hpa(api_server, namespace)
    assert printed.returncode == 0
    assert "deis autoscale:unset web -a shop" in printed.stderr
    applied = hpa(api_server, namespace, "--apply")
    assert applied.returncode == 1
    assert "deis autoscale:unset web -a shop" in applied.stderr
    assert api_server.kubectl("-n", namespace, "get", "hpa", "-o", "name").split() == [
        "horizontalpodautoscaler.autoscaling/shop-web"
    ]
