"""The control plane that other tests stand on: pods run on its nodes, controllers act, helm is there."""

import pytest

from demo.controlplane import ControlPlane

pytestmark = [pytest.mark.slow, pytest.mark.real]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: none}]}
"""


def test_a_deployment_runs_and_is_deleted(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "shop")
    control_plane.kubectl("apply", "-f", "-", given=DEPLOYMENT)
    control_plane.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s")
    nodes = control_plane.kubectl("-n", "shop", "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert len(nodes) == 4
    assert set(nodes) <= {"node-1", "node-2", "node-3"}
    control_plane.kubectl("delete", "namespace", "shop", "--timeout=60s")


def test_what_is_not_allowed_is_refused_and_helm_speaks_to_the_server(control_plane: ControlPlane) -> None:
    answer = control_plane.kubectl("auth", "can-i", "--list", "--as", "nobody")
    assert "pods" not in answer
    assert control_plane.helm("list", "--all-namespaces", "--output", "json").strip() == "[]"
