"""What a path asks for, and what a caller must be allowed for it. Pure.

::

    /apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}/{resource}/{name}/{metric}
    /apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}/metrics/{metric}
    /apis/custom.metrics.k8s.io/{version}/{resource}/{name}/{metric}
    /apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}

Source: the routes of Kubernetes' custom and external metrics APIs, and how an API server names a request for
authorisation (`k8s.io/apiserver`, RequestInfo).
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

CUSTOM: Final = "custom.metrics.k8s.io"
EXTERNAL: Final = "external.metrics.k8s.io"
VERSIONS: Final = {CUSTOM: ("v1beta2", "v1beta1"), EXTERNAL: ("v1beta1",)}
"""Versions of each group, the preferred one first."""

NAMESPACE_METRICS: Final = "metrics"
"""Stands in place of a resource where a namespace itself is asked for."""

EVERY: Final = "*"
"""In place of a name: all that the label selector selects."""

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.:*-]{1,253}")
_UPWARD: Final = frozenset({".", ".."})  # they become part of paths at the API server


@dataclass(frozen=True, slots=True)
class Asked:
    """A metric that is asked for.

    Attributes:
        group: `CUSTOM` or `EXTERNAL`.
        version: Of the group.
        namespace: Empty at the root.
        resource: With its group, such as `deployments.apps`; empty for an external metric.
        name: Of the object, `EVERY`, or empty.
        metric: Name of the metric.
    """

    group: str
    version: str
    namespace: str
    resource: str
    name: str
    metric: str


def asked_by(path: str) -> Asked | None:
    """What a path, percent-encoded as it came, asks for; `None` if for no metric."""
    parts = [unquote(part) for part in path.removeprefix("/apis/").split("/")]
    if not path.startswith("/apis/") or not all(map(_SEGMENT.fullmatch, parts)) or _UPWARD.intersection(parts):
        return None
    match parts:
        case [group, version, *rest] if version in VERSIONS.get(group, ()):
            return _external(version, rest) if group == EXTERNAL else _custom(version, rest)
    return None


def _external(version: str, rest: list[str]) -> Asked | None:
    match rest:
        case ["namespaces", namespace, metric]:
            return Asked(EXTERNAL, version, namespace, "", "", metric)
    return None


def _custom(version: str, rest: list[str]) -> Asked | None:
    match rest:
        case ["namespaces", namespace, "metrics", metric]:
            return Asked(CUSTOM, version, namespace, NAMESPACE_METRICS, "", metric)
        case ["namespaces", namespace, resource, name, metric]:
            return Asked(CUSTOM, version, namespace, resource, name, metric)
        case [resource, name, metric]:
            return Asked(CUSTOM, version, "", resource, name, metric)
    return None


def attributes_of(asked: Asked) -> dict[str, str]:
    """The resource attributes of a SubjectAccessReview, as an API server derives them from the path."""
    if asked.group == EXTERNAL:
        verb, resource, name, part = "list", asked.metric, "", ""
    elif asked.resource == NAMESPACE_METRICS:
        verb, resource, name, part = "get", NAMESPACE_METRICS, asked.metric, ""
    else:
        verb, resource, name, part = "get", asked.resource, asked.name, asked.metric
    return {
        "verb": verb,
        "group": asked.group,
        "version": asked.version,
        "namespace": asked.namespace,
        "resource": resource,
        "name": name,
        "subresource": part,
    }
