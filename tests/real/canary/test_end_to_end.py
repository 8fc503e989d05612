"""Access lines in at the agent, and a bad release is undone and a good one promoted: every part is the real one.

It takes three to four minutes, since an analysis is of whole minutes.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from real_canary import Bench
from real_kubernetes import Pods

from demo.containers import ContainerLog
from demo.controlplane import ControlPlane
from demo.stack import Stack, StackError, wait_until

sys.path.insert(0, str(Path(__file__).parents[1] / "hpa"))
from real_traffic import line

pytestmark = [pytest.mark.slow, pytest.mark.real]

SECONDS = 420.0
NODE = "node-2"
SPEC = {
    "steps": [{"pods": 1, "minTime": "2m"}],
    "metrics": [{"name": "errors", "source": "errors", "warmUp": "0s", "minRequests": 10}],
}


class Requests:
    """Requests to the pods of both arms of both apps, as a router writes of them: all to one bad release fail."""

    def __init__(self, api: Pods, log: ContainerLog, *, namespaces: tuple[str, ...], bad: str) -> None:
        self._api, self._log, self._namespaces, self._bad = api, log, namespaces, bad
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="requests")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            for namespace in self._namespaces:
                for pod in self._api.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]:
                    address = pod["status"].get("podIP")
                    if address and "deletionTimestamp" not in pod["metadata"]:
                        release = pod["metadata"]["labels"]["app.kubernetes.io/version"]
                        code = 500 if (namespace, release) == (self._bad, "2") else 200
                        for _ in range(3):
                            self._log.write(line(f"{address}:8080", code=code))


@pytest.fixture
def stack(crd: ControlPlane, tmp_path: Path) -> Iterator[tuple[Stack, Bench, Pods]]:
    folder = tmp_path / "shop"
    folder.mkdir()
    pods = Pods(crd, folder / "pods", node=NODE)
    settings = {
        "AGENT_KUBERNETES": str(crd.kubeconfig),
        "AGENT_NODE": NODE,
        "AGENT_POD_SELECTOR": "",
        "MONITOR_CANARY": "on",
        "MONITOR_KUBERNETES": str(crd.kubeconfig),
        "MONITOR_CANARY_NAMESPACE": "default",
        "MONITOR_CANARY_SECONDS": "2",
    }
    with Stack(folder, pod_logs=folder / "pods", settings=settings) as stack:
        stack.start("agent")
        stack.start("monitor")
        stack.wait_ready("agent", "monitor", seconds=120)
        yield stack, Bench(crd, folder, pods), pods
    pods.close()


def pin(bench: Bench, namespace: str, name: str) -> None:
    """Let its pods run on the agent's node."""
    node = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": NODE}}}}}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    bench.api.call("PATCH", path, node, kind="application/merge-patch+json")


def test_a_bad_release_is_undone_and_a_good_one_promoted_by_their_access_lines(
    stack: tuple[Stack, Bench, Pods],
) -> None:
    services, bench, pods = stack
    namespaces = (bench.namespace(), bench.namespace())
    bad, good = namespaces
    with suppress(AssertionError):  # another test has made it
        pods.namespace("ingress-nginx")
    router = pods.create("ingress-nginx", f"router-{uuid4().hex[:8]}", containers=("controller",))
    for namespace in namespaces:
        bench.deploy(namespace, "shop", "1")
        bench.deploy(namespace, "shop-canary", "2", replicas=0, track="canary")
        for name in ("shop", "shop-canary"):
            pin(bench, namespace, name)
    with Requests(pods, pods.log(router), namespaces=namespaces, bad=bad):
        for namespace in namespaces:
            bench.canary(namespace, "shop", **{**SPEC, "targetRef": {"name": "shop"}})
        last: dict[str, Any] = {}

        def decided() -> bool:
            for namespace in namespaces:
                last[namespace] = bench.status(namespace, "shop")
            return {last[bad].get("phase"), last[good].get("phase")} == {"RolledBack", "Promoted"}

        try:
            wait_until(decided, seconds=SECONDS, what="one is undone, one promoted", every_seconds=1.0)
        except StackError as error:
            raise StackError(f"{error}\n{json.dumps(last, indent=1)}\n{services.last_words()}") from error
    assert bench.status(bad, "shop")["said"]["reason"] == "TotalOutage"
    assert bench.release(bad, "shop") == "1"
    assert bench.deployment(bad, "shop-canary")["spec"]["replicas"] == 0
    assert bench.release(good, "shop") == "2"
