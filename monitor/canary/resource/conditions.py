"""What `kubectl wait --for=condition=Promoted` waits for: the status once more, in Kubernetes' words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from monitor.canary.resource.status import IN_CHANGE, CanaryStatus, Condition, Phase

ACCEPTED: Final = "Accepted"
READY: Final = "Ready"
INCONCLUSIVE: Final = "Inconclusive"

NOT_ACCEPTED: Final = frozenset({"InvalidSpec", "InvalidStatus", "DependencyCycle", "NotGranted"})
"""Reasons for which a resource is not looked at."""

NOT_READY: Final = frozenset({"NoTarget", "NoCanary", "NoReleaseAttribution", "NoDeisController", "SameRelease"})
"""Reasons for which nothing can be judged."""

UNDECIDED: Final = frozenset(
    {"MissingData", "Unattributed", "TrafficShare", "NoData", "TimeOver", "HeldTooLong", "SharedDependency"}
)
"""Reasons for which there is no verdict now."""

_ENDS: Final = {"Promoted": Phase.PROMOTED, "RolledBack": Phase.ROLLED_BACK, "Conflict": Phase.CONFLICT}


class _Said(NamedTuple):
    type: str
    holds: bool


def with_conditions(status: CanaryStatus, now: datetime) -> CanaryStatus:
    """The status with conditions that say what the rest of it says.

    Args:
        status: Its conditions are those of before: one that has not changed keeps the time of its last change.
        now: For those that have.
    """
    old = {condition.type: condition for condition in status.conditions}
    fresh = tuple(_condition(said, status, old.get(said.type), now) for said in _told(status))
    return msgspec.structs.replace(status, conditions=fresh)


def _told(status: CanaryStatus) -> Iterator[_Said]:
    yield _Said(ACCEPTED, status.reason not in NOT_ACCEPTED)
    yield _Said(READY, status.reason not in NOT_ACCEPTED | NOT_READY)
    yield _Said("Progressing", status.phase in IN_CHANGE)
    for kind, phase in _ENDS.items():
        yield _Said(kind, status.phase == phase)
    undecided = status.phase == Phase.PROGRESSING and status.reason in UNDECIDED
    yield _Said(INCONCLUSIVE, status.phase == Phase.INCONCLUSIVE or undecided or status.reason == "HeldTooLong")


def _condition(said: _Said, status: CanaryStatus, old: Condition | None, now: datetime) -> Condition:
    value = "True" if said.holds else "False"
    return Condition(
        type=said.type,
        status=value,
        reason=status.reason or status.phase.value,
        message=status.message,
        last_transition_time=old.last_transition_time if old is not None and old.status == value else now,
        observed_generation=status.observed_generation,
    )
