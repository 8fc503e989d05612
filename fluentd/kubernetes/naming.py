"""App, process and release of a pod: from its labels, else from its owner, its namespace and its name.

A Deis app has a namespace of its own, of its own name. So its label `app` cannot make it another app, whoever set it;
only in the platform's namespace does the label tell components apart. Elsewhere the mapping of the settings decides.
Annotations name nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from fluentd.kubernetes.facts import Owner, PodMeta
from fluentd.pods.names import process_of, safe_name

_HASH: Final = "pod-template-hash"
_SCHEDULED = re.compile(r"(.+)-\d{8,11}")  # a CronJob's Job: minutes since 1970


class Names(NamedTuple):
    """Whose lines a pod writes. All are plain (see `safe_name`); process and release are empty when unknown."""

    app: str
    process: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class Naming:
    """How pods are named.

    Attributes:
        node: Name of the node, which static pods have as their suffix.
        platform: Namespace of the platform's components; empty for none.
        app: Labels that name the app of a pod that is not Deis's, the first that it has counts; then its namespace.
        process: Labels that name its process; then its owner.
        release: Labels that name its release.
    """

    node: str
    platform: str = "deis"
    app: tuple[str, ...] = ("app.kubernetes.io/name",)
    process: tuple[str, ...] = ("app.kubernetes.io/component",)
    release: tuple[str, ...] = ("app.kubernetes.io/version",)

    def names_of(self, pod: PodMeta) -> Names:
        """Name a pod."""
        if self.platform and pod.namespace == self.platform:
            return self._named(pod, ("app", *self.app), ("type", *self.process), ("version", *self.release))
        if pod.labels.get("heritage") == "deis":
            return self._named(pod, (), ("type",), ("version",))
        return self._named(pod, self.app, self.process, self.release)

    def _named(self, pod: PodMeta, app: tuple[str, ...], process: tuple[str, ...], release: tuple[str, ...]) -> Names:
        name = _first(pod.labels, app) or safe_name(pod.namespace)
        told = _first(pod.labels, process)
        return Names(name, told or self._workload(pod, app=name), _first(pod.labels, release))

    def _workload(self, pod: PodMeta, *, app: str) -> str:
        """What made the pod, without the app's name; empty if that is all of its name."""
        made_by = safe_name(workload_of(pod) or process_of(safe_name(pod.name), app="", node=self.node) or app)
        return "" if made_by == app else made_by.removeprefix(f"{app}-")


def workload_of(pod: PodMeta) -> str:
    """Name of the Deployment, StatefulSet, DaemonSet, CronJob or the like that made the pod; empty for a bare pod."""
    owner = pod.owner
    if owner is None or owner.kind == "Node":
        return ""
    return _maker(owner, pod.labels.get(_HASH, ""))


def _maker(owner: Owner, template: str) -> str:
    """A ReplicaSet is named after its Deployment, a Job after its CronJob: they stay, these come and go."""
    if owner.kind == "ReplicaSet" and template:
        return owner.name.removesuffix(f"-{template}")
    if owner.kind == "Job" and (scheduled := _SCHEDULED.fullmatch(owner.name)):
        return scheduled[1]
    return owner.name


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((safe_name(labels[name]) for name in names if labels.get(name)), "")
