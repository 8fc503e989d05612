"""The whole object, read from the API server's JSON and written as it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from monitor.canary.resource.conditions import with_conditions
from monitor.canary.resource.duration import length_of
from monitor.canary.resource.names import API_VERSION, KIND
from monitor.canary.resource.spec import CanarySpec
from monitor.canary.resource.status import CanaryStatus

Json = dict[str, Any]

_SHOWN: Final = 300


class InvalidCanaryError(ValueError):
    """The object is none that is understood here; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One resource.

    Attributes:
        namespace: Its own, and its arms'.
        name: Within the namespace.
        uid: Of this object and none after it.
        resource_version: As it was read.
        generation: Of the spec.
        annotations: A person's, mostly.
        spec: See there.
        status: See there.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    annotations: Mapping[str, str]
    spec: CanarySpec
    status: CanaryStatus

    @property
    def owner(self) -> Json:
        """A reference to it, for what goes when it goes."""
        return {"apiVersion": API_VERSION, "kind": KIND, "name": self.name, "uid": self.uid}

    @property
    def path(self) -> str:
        """What the graph knows it by: `namespace/name`."""
        return f"{self.namespace}/{self.name}"


def canary_of(thing: Mapping[str, Any]) -> Canary:
    """Read a resource.

    Raises:
        InvalidCanaryError: It makes no sense. A status that makes none is no new beginning: somebody may have edited
            it, and an analysis begun anew would act once more.
    """
    facts = thing["metadata"]
    try:
        spec = msgspec.convert(thing.get("spec", {}), CanarySpec)
        _check(spec)
        status = msgspec.convert(thing.get("status", {}), CanaryStatus)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidCanaryError(str(error)[:_SHOWN]) from error
    return Canary(
        namespace=facts["namespace"],
        name=facts["name"],
        uid=facts["uid"],
        resource_version=facts["resourceVersion"],
        generation=facts.get("generation", 0),
        annotations=facts.get("annotations") or {},
        spec=spec,
        status=status,
    )


def _check(spec: CanarySpec) -> None:
    """What types cannot say."""
    for duration in (spec.max_duration, spec.keep_stable, *(step.min_time for step in spec.steps)):
        length_of(duration)
    for metric in spec.metrics:
        length_of(metric.warm_up)
        if (metric.source is None) == (metric.prom_ql is None):
            raise ValueError(f"metric {metric.name}: either source or promQL")
    if len({metric.name for metric in spec.metrics}) < len(spec.metrics):
        raise ValueError("two metrics have one name")
    if spec.canary_name == spec.stable_name:
        raise ValueError("both arms are one Deployment")


def with_status(thing: Mapping[str, Any], status: CanaryStatus, now: datetime) -> Json:
    """The object as it is put back to the status subresource: with the version that it was read at.

    Args:
        thing: As it was read.
        status: The new one.
        now: For its conditions.
    """
    facts = {name: thing["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    told = msgspec.to_builtins(with_conditions(status, now), str_keys=True)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": facts, "spec": thing["spec"], "status": told}
