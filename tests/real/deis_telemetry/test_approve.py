"""What a person says of a canary by `deis-telemetry canary approve` and `abort`, on a real API server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from demo.controlplane import ControlPlane
from monitor.canary.approval import aborted, approved
from monitor.canary.resource.canary import Canary, canary_of

pytestmark = [pytest.mark.slow, pytest.mark.real]

CRD = Path(__file__).parents[3] / "charts" / "deis-telemetry" / "crds" / "canary.yaml"
RESOURCE = "canaries.canary.deis.io"


def canary(plane: ControlPlane, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
    return subprocess.run(
        [sys.executable, "-m", "deis_telemetry", "canary", command, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


@pytest.fixture
def namespace(api_server: ControlPlane) -> str:
    api_server.kubectl("apply", "--server-side", "-f", str(CRD))
    api_server.kubectl("wait", "--for=condition=Established", f"crd/{RESOURCE}", "--timeout=60s")
    name = f"canary-{uuid4().hex[:8]}"
    api_server.kubectl("create", "namespace", name)
    body = {
        "apiVersion": "canary.deis.io/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "web", "annotations": {"theirs": "stays"}},
        "spec": {"targetRef": {"name": "shop"}},
    }
    api_server.kubectl("-n", name, "create", "-f", "-", given=json.dumps(body))
    return name


def set_status(plane: ControlPlane, namespace: str, **status: Any) -> None:
    patch = json.dumps({"status": status})
    arguments = ("patch", RESOURCE, "web", "--subresource=status", "--type=merge", "-p", patch)
    plane.kubectl("-n", namespace, *arguments)


def read(plane: ControlPlane, namespace: str) -> Canary:
    return canary_of(json.loads(plane.kubectl("-n", namespace, "get", RESOURCE, "web", "-o", "json")))


def test_what_waits_is_approved_for_this_analysis_and_nothing_else_is(api_server: ControlPlane, namespace: str) -> None:
    path = f"{namespace}/web"
    early = canary(api_server, "approve", path)
    assert early.returncode == 1
    assert "waits for nobody" in early.stderr
    set_status(api_server, namespace, phase="Progressing", key="uid/v9/abc", canaryRelease="v9", pending="rollback")
    other = canary(api_server, "approve", path, "promote")
    assert other.returncode == 1
    assert "waits for rollback, not for promote" in other.stderr
    assert not approved(read(api_server, namespace), "rollback")
    done = canary(api_server, "approve", path, "rollback")
    assert (done.returncode, done.stdout) == (0, f"{path}: rollback of v9 is approved\n"), done.stderr
    found = read(api_server, namespace)
    assert approved(found, "rollback")
    assert not approved(found, "promote")
    assert not aborted(found)
    assert found.annotations["theirs"] == "stays"
    set_status(api_server, namespace, key="uid/v10/def")
    assert not approved(read(api_server, namespace), "rollback")


def test_an_analysis_is_aborted_once_there_is_one(api_server: ControlPlane, namespace: str) -> None:
    path = f"{namespace}/web"
    assert canary(api_server, "abort", path).returncode == 1
    set_status(api_server, namespace, phase="Progressing", key="uid/v9/abc")
    done = canary(api_server, "abort", path)
    assert done.returncode == 0, done.stderr
    assert aborted(read(api_server, namespace))


def test_a_canary_that_is_not_there_is_told(api_server: ControlPlane, namespace: str) -> None:
    absent = canary(api_server, "approve", f"{namespace}/none")
    assert absent.returncode == 1
    assert "not found" in absent.stderr
