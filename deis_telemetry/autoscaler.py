"""A HorizontalPodAutoscaler for an app's process by one of the monitor's metrics. Pure.

Source: Kubernetes API, autoscaling/v2.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import yaml

from deis_logs.errors import UsageError

MANAGER: Final = "deis-telemetry"
"""Who owns the fields of an applied autoscaler; also its label `app.kubernetes.io/managed-by`."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.\-]{0,61}[a-z0-9])?")
_METRIC: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_QUANTITY: Final = re.compile(r"([0-9]{1,15}(\.[0-9]{1,9})?)(m|k|M|G)?")
_SCALES: Final = {None: Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000), "M": Decimal(10**6), "G": Decimal(10**9)}
_PER_PROCESS: Final = re.compile(r"error_ratio|latency_.*|.*_p[0-9]{1,4}(_seconds)?")
"""Names of values that more pods do not divide among them."""


class Form(StrEnum):
    """Which of the metrics APIs the autoscaler asks."""

    EXTERNAL = "external"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """What is asked for.

    Attributes:
        app: The app.
        process: Its process type.
        namespace: Where its Deployment is.
        deployment: The Deployment's name.
        metric: Name of the value; see docs/hpa.md.
        target: A quantity: `50`, `0.5`, `500m`.
        least: Fewest pods.
        most: Most pods.
        form: See `Form`.
    """

    app: str
    process: str
    namespace: str
    deployment: str
    metric: str
    target: str
    least: int
    most: int
    form: Form = Form.EXTERNAL

    @property
    def name(self) -> str:
        """Its own: Deis calls its autoscaler as the Deployment, and overwrites what is called so."""
        return f"{self.deployment}-telemetry"

    @property
    def is_averaged(self) -> bool:
        """Whether the target is for each pod."""
        return _PER_PROCESS.fullmatch(self.metric) is None

    def check(self) -> None:
        """Refuse what the API server would, and what makes no sense, in words of the command line.

        Raises:
            UsageError: Names the option.
        """
        names = (
            ("APP", self.app),
            ("--process", self.process),
            ("--namespace", self.namespace),
            ("--deployment", self.deployment),
        )
        for option, name in names:
            if not _NAME.fullmatch(name):
                raise UsageError(f"{option}: {name[:80]!r} is no name of Kubernetes (a-z, 0-9, dots and dashes)")
        if not _METRIC.fullmatch(self.metric):
            raise UsageError(f"--metric: {self.metric[:80]!r} is no metric's name")
        if quantity_of(self.target) <= 0:
            raise UsageError(f"--target: {self.target} is not above 0")
        if not 1 <= self.least <= self.most:
            raise UsageError(f"--min {self.least} and --max {self.most}: 1 <= min <= max is needed")


def quantity_of(text: str) -> Decimal:
    """Read a quantity as people write targets.

    Raises:
        UsageError: It is none.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UsageError(f"--target: {text[:80]!r} is no quantity, such as 50, 0.5 or 500m")
    return Decimal(match[1]) * _SCALES[match[3]]


def object_of(scaler: Autoscaler) -> dict[str, Any]:
    """The object, as the API server takes it."""
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "name": scaler.deployment}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": scaler.name,
            "namespace": scaler.namespace,
            "labels": {"app.kubernetes.io/managed-by": MANAGER, "app": scaler.app, "type": scaler.process},
        },
        "spec": {
            "scaleTargetRef": deployment,
            "minReplicas": scaler.least,
            "maxReplicas": scaler.most,
            "metrics": [_metric(scaler, deployment)],
            "behavior": _behavior(),
        },
    }


def _metric(scaler: Autoscaler, deployment: dict[str, Any]) -> dict[str, Any]:
    kind = "AverageValue" if scaler.is_averaged else "Value"
    target = {"type": kind, kind[0].lower() + kind[1:]: scaler.target}
    if scaler.form is Form.OBJECT:
        return {
            "type": "Object",
            "object": {"describedObject": deployment, "metric": {"name": scaler.metric}, "target": target},
        }
    selector = {"matchLabels": {"app": scaler.app, "process": scaler.process}}
    return {
        "type": "External",
        "external": {"metric": {"name": scaler.metric, "selector": selector}, "target": target},
    }


def _behavior() -> dict[str, Any]:
    """What Kubernetes does by default, but said: without it a first step is capped in a way that no field shows."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }


def text_of(scaler: Autoscaler) -> str:
    """The object as YAML, with a word on what it does."""
    each = "for each pod" if scaler.is_averaged else "over all pods together"
    words = (
        f"# {scaler.least} to {scaler.most} pods of {scaler.deployment}, by {scaler.metric} {each}: {scaler.target}.\n"
        "# While the pipeline is behind or away the metric is an error, not 0: the number of pods stays.\n"
        "# scaleUp is stated, since without it the first step is at most twice the pods, or four.\n"
    )
    return words + yaml.safe_dump(object_of(scaler), sort_keys=False)
