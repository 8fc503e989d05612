"""Canaries on a real control plane: pods run with nothing in them, and a scripted reader says what was counted."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from real_kubernetes import Pods

from demo.controlplane import ControlPlane
from demo.stack import ServiceProcess, StackError, wait_until

Json = dict[str, Any]

ROOT = Path(__file__).parents[3]
CRD = ROOT / "charts" / "deis-telemetry" / "crds" / "canary.yaml"
SPEED = 60.0
"""A minute of the judge's is a second."""

SECONDS = 120.0
"""Most time that anything here takes on a machine with much else to do."""

QUICK = {
    "steps": [{"pods": 1, "minTime": "2m"}],
    "metrics": [{"name": "errors", "source": "errors", "warmUp": "0s", "minRequests": 10}],
    "keepStable": "2m",
}
"""Of a spec: a verdict within a few of the judge's minutes."""


@dataclass
class Bench:
    """Everything that a test needs."""

    plane: ControlPlane
    folder: Path
    api: Pods
    began: float = field(default_factory=time.time)
    processes: list[ServiceProcess] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def script(self) -> Path:
        """What the reader says."""
        return self.folder / "script.json"

    def says(self, *, complete: bool = True, **releases: tuple[int, int]) -> None:
        """Let the reader say so from now on; a release is written with `_` in place of a dot before it."""
        told = {"complete": complete, "releases": {name.lstrip("_"): counts for name, counts in releases.items()}}
        partial = self.folder / f"{uuid4().hex}.json"
        partial.write_text(json.dumps(told))
        partial.rename(self.script)

    def judge(self, *, failpoint: str = "", speed: float = SPEED, **settings: str) -> ServiceProcess:
        """Start a judge."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
            "MONITOR_KUBERNETES": str(self.plane.kubeconfig),
            "MONITOR_CANARY_NAMESPACE": "default",
            "MONITOR_CANARY_SECONDS": "0.3",
            "FAILPOINT": failpoint,
            **self.environment,
            **settings,
        }
        script = str(Path(__file__).with_name("judge.py"))
        arguments = [script, str(self.script), str(self.folder / "store"), str(self.began), str(speed)]
        one = ServiceProcess("judge", arguments, environment, self.folder / f"judge-{len(self.processes)}.log")
        self.processes.append(one)
        return one

    def namespace(self) -> str:
        """A new one."""
        return self.api.namespace(f"shop-{uuid4().hex[:6]}")

    def deploy(
        self, namespace: str, name: str, release: str, *, replicas: int = 3, track: str = "", app: str = "shop"
    ) -> None:
        """Make a Deployment."""
        selector = {"app.kubernetes.io/name": app, **({"track": track} if track else {})}
        labels = {**selector, "app.kubernetes.io/version": release}
        pods = {"containers": [{"name": "web", "image": f"none:{release}"}], "terminationGracePeriodSeconds": 1}
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": selector},
                "template": {"metadata": {"labels": labels}, "spec": pods},
            },
        }
        self.api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)

    def set_release(self, namespace: str, name: str, release: str) -> None:
        """Give a Deployment another template."""
        template = {
            "metadata": {"labels": {"app.kubernetes.io/version": release}},
            "spec": {"containers": [{"name": "web", "image": f"none:{release}"}]},
        }
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        body = {"spec": {"template": template}}
        self.api.call("PATCH", path, body, kind="application/strategic-merge-patch+json")

    def canary(self, namespace: str, name: str, **spec: Any) -> None:
        """Make a canary."""
        facts = {"name": name, "namespace": namespace}
        body = {"apiVersion": "canary.deis.io/v1alpha1", "kind": "Canary", "metadata": facts}
        self.plane.kubectl("apply", "-f", "-", given=json.dumps({**body, "spec": {**QUICK, **spec}}))

    def read(self, namespace: str, name: str) -> Json:
        """The canary."""
        return self.api.call("GET", f"/apis/canary.deis.io/v1alpha1/namespaces/{namespace}/canaries/{name}")

    def status(self, namespace: str, name: str) -> Mapping[str, Any]:
        """Its status."""
        found: Mapping[str, Any] = self.read(namespace, name).get("status") or {}
        return found

    def deployment(self, namespace: str, name: str) -> Json:
        """A Deployment."""
        return self.api.call("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def release(self, namespace: str, name: str) -> str:
        """The release that a Deployment has."""
        labels = self.deployment(namespace, name)["spec"]["template"]["metadata"]["labels"]
        return str(labels.get("app.kubernetes.io/version") or labels["version"])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; what could not be waited for is told with everything that was so in the end."""
        try:
            wait_until(condition, seconds=SECONDS, what=what, every_seconds=0.2)
        except StackError as error:
            raise StackError(f"{error}\n{self._canaries()}\n{self.last_words()}") from error

    def _canaries(self) -> str:
        """All statuses, and the pods that are not ready."""
        canaries = self.plane.kubectl("get", "cny", "-A", "-o", "json")
        pods = self.plane.kubectl("get", "pods", "-A", "--field-selector=status.phase!=Running", "-o", "wide")
        told = {each["metadata"]["name"]: each.get("status") for each in json.loads(canaries)["items"]}
        return f"{json.dumps(told, indent=1)[:5000]}\n{pods[:3000]}"

    def until_phase(self, namespace: str, name: str, *phases: str) -> Mapping[str, Any]:
        """Wait for one of these phases; the status then."""
        found: list[Mapping[str, Any]] = []

        def reached() -> bool:
            found[:] = [self.status(namespace, name)]
            return found[0].get("phase") in phases

        self.until(reached, f"{name} is {' or '.join(phases)}")
        return found[0]

    def last_words(self) -> str:
        """Of all judges."""
        return "\n".join(process.last_words() for process in self.processes)
