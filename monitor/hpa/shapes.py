"""The objects that the metrics APIs answer with, as JSON values. Pure.

Source: Kubernetes, `k8s.io/metrics` (custom metrics v1beta1 and v1beta2, external metrics v1beta1) and `meta/v1`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from monitor.hpa.paths import CUSTOM, EXTERNAL, VERSIONS
from monitor.hpa.quantity import format_quantity

Json = dict[str, Any]

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Described:
    """The object that a value is of.

    Attributes:
        kind: Such as `Pod`.
        name: Its name.
        namespace: Empty for one without.
        api_version: Such as `apps/v1`.
    """

    kind: str
    name: str
    namespace: str = ""
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class Item:
    """One value.

    Attributes:
        value: It.
        stop_ns: End of its window.
        seconds: Length of its window.
        described: Of what, for a custom metric.
        labels: Of what, for an external one.
    """

    value: float
    stop_ns: int
    seconds: int
    described: Described | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // _NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def custom_list(version: str, metric: str, items: Iterable[Item]) -> Json:
    """A MetricValueList."""
    made = [_custom_item(version, metric, item) for item in items]
    return {"kind": "MetricValueList", "apiVersion": f"{CUSTOM}/{version}", "metadata": {}, "items": made}


def _custom_item(version: str, metric: str, item: Item) -> Json:
    told: Json = {"metric": {"name": metric, "selector": None}} if version == "v1beta2" else {"metricName": metric}
    if item.described is not None:
        described = item.described
        told["describedObject"] = {
            "kind": described.kind,
            "namespace": described.namespace,
            "name": described.name,
            "apiVersion": described.api_version,
        }
    return {**told, **_value(item)}


def external_list(metric: str, items: Iterable[Item]) -> Json:
    """An ExternalMetricValueList."""
    made = [{"metricName": metric, "metricLabels": dict(item.labels), **_value(item)} for item in items]
    version = f"{EXTERNAL}/{VERSIONS[EXTERNAL][0]}"
    return {"kind": "ExternalMetricValueList", "apiVersion": version, "metadata": {}, "items": made}


def _value(item: Item) -> Json:
    return {"timestamp": _time(item.stop_ns), "windowSeconds": item.seconds, "value": format_quantity(item.value)}


def status(code: int, reason: str, message: str) -> Json:
    """A failure."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def group(name: str) -> Json:
    """An APIGroup."""
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in VERSIONS[name]]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def groups() -> Json:
    """The APIGroupList of both."""
    listed = [{key: value for key, value in group(name).items() if key in _IN_LIST} for name in VERSIONS]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


_IN_LIST: Final = {"name", "versions", "preferredVersion"}


def resources(name: str, version: str, listed: Iterable[Json]) -> Json:
    """An APIResourceList."""
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{name}/{version}",
        "resources": list(listed),
    }


def resource(name: str, *, kind: str, namespaced: bool = True) -> Json:
    """An APIResource."""
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"]}


OPENAPI_V2: Final = {"swagger": "2.0", "info": {"title": "metrics", "version": "v1"}, "paths": {}}
"""No types of ours: what the APIs answer is Kubernetes' own."""

OPENAPI_V3: Final[Json] = {"paths": {}}
"""See `OPENAPI_V2`."""
