"""Whose app and process an object is: by its annotations, the labels of its pods, its namespace and its name. Pure.

It follows how the agent names the lines of the pods that the object has or selects, with its default labels.
Annotations say it where those differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

APP_ANNOTATION: Final = "metrics.deis.io/app"
PROCESS_ANNOTATION: Final = "metrics.deis.io/process"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects whose metrics are served.

    Attributes:
        root: Of its API.
        resource: There.
        kind: Its name.
        api_version: Of its objects.
    """

    root: str
    resource: str
    kind: str
    api_version: str


KINDS: Final[Mapping[str, Kind]] = {
    "services": Kind("/api/v1", "services", "Service", "v1"),
    "deployments.apps": Kind("/apis/apps/v1", "deployments", "Deployment", "apps/v1"),
    "statefulsets.apps": Kind("/apis/apps/v1", "statefulsets", "StatefulSet", "apps/v1"),
    "daemonsets.apps": Kind("/apis/apps/v1", "daemonsets", "DaemonSet", "apps/v1"),
    "replicasets.apps": Kind("/apis/apps/v1", "replicasets", "ReplicaSet", "apps/v1"),
    "ingresses.networking.k8s.io": Kind("/apis/networking.k8s.io/v1", "ingresses", "Ingress", "networking.k8s.io/v1"),
}
"""Objects whose metrics are served, by resource and group, beside pods and namespaces."""


class Facts(msgspec.Struct, frozen=True):
    """What an object, or a template of pods, is called."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Template(msgspec.Struct, frozen=True):
    """What an object makes pods of."""

    metadata: Facts = Facts()


class Spec(msgspec.Struct, frozen=True):
    """What is wanted of an object. A Service's selector is a map of labels, a workload's holds one."""

    template: Template | None = None
    selector: dict[str, Any] | None = None


class Thing(msgspec.Struct, frozen=True):
    """An object."""

    metadata: Facts
    spec: Spec = Spec()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series are an object's.

    Attributes:
        app: Theirs.
        process: Theirs; `None` for all of the app.
    """

    app: str
    process: str | None = None


def scope_of(thing: Thing) -> Scope:
    """Name an object."""
    annotations = thing.metadata.annotations or {}
    app, process = _named(thing, _labels(thing))
    if told := annotations.get(PROCESS_ANNOTATION):
        process = None if told == "*" else told
    return Scope(annotations.get(APP_ANNOTATION) or app, process)


def _named(thing: Thing, labels: Mapping[str, str]) -> tuple[str, str | None]:
    if labels.get("heritage") == "deis":
        return thing.metadata.namespace, labels.get("type")
    app = labels.get("app.kubernetes.io/name") or thing.metadata.namespace
    process = labels.get("app.kubernetes.io/component")
    if process is None and thing.spec.template is not None:
        process = _part(thing.metadata.name, app)
    return app, process


def _labels(thing: Thing) -> Mapping[str, str]:
    """The labels of an object's pods, as far as it names them; then its own."""
    spec = thing.spec
    if spec.template is not None:
        pods: Mapping[str, Any] = spec.template.metadata.labels or {}
    else:
        pods = spec.selector or {}
    named = {name: value for name, value in pods.items() if isinstance(value, str)}
    return {**(thing.metadata.labels or {}), **named}


def _part(name: str, app: str) -> str:
    """What of a workload's name is its process: without the app's name, and nothing if that is all of it."""
    return "" if name == app else name.removeprefix(f"{app}-")
