"""How often pods have restarted since an analysis began: what each had then is written down, and taken off. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from monitor.canary.resource.status import CanaryStatus, Restarted
from monitor.canary.world import PodFacts

KEPT: Final = 100
"""Most pods whose restarts are written down: those with the most. A status is an object of the API server's."""


def before(pods: Iterable[PodFacts]) -> tuple[Restarted, ...]:
    """What pods have when an analysis begins; a pod that has not restarted is left out."""
    found = [Restarted(pod.name, pod.restarts) for pod in pods if pod.restarts > 0]
    return tuple(sorted(found, key=lambda one: (-one.count, one.pod))[:KEPT])


def since(pod: PodFacts, status: CanaryStatus) -> int:
    """Restarts of a pod since the analysis began; all it had when none has.

    Of a pod that may have restarted before and that is not written down, only its last one is known to be new.
    """
    if status.since is None:
        return pod.restarts
    known = {one.pod: one.count for one in status.restarts or ()}
    whole = status.restarts is not None and len(known) < KEPT
    if whole or pod.name in known or _began_after(pod, status.since):
        return max(0, pod.restarts - known.get(pod.name, 0))
    return min(pod.restarts, 1) if pod.ended is not None and pod.ended >= status.since else 0


def _began_after(pod: PodFacts, moment: datetime) -> bool:
    return pod.began is not None and pod.began >= moment
