"""Tells people what became of a canary: Events in its namespace, and the operator's webhook."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter

from monitor.canary.kube import ConflictError, Kube, RefusedError
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.names import API_VERSION, KIND, OWNER
from monitor.canary.resource.status import CanaryStatus, Phase
from monitor.canary.world import Json
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

WAITING: Final = 200
"""Most messages that wait for the webhook; what is more is dropped, and counted."""

_TRIES: Final = 4
_FIRST_WAIT_SECONDS: Final = 0.5
_PATIENCE: Final = aiohttp.ClientTimeout(total=10)
_BAD: Final = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.CONFLICT, Phase.INCONCLUSIVE})
_TOLD: Final = frozenset(
    {
        "WaitsForApproval",
        "NoReleaseAttribution",
        "SharedDependency",
        "HeldTooLong",
        "TimeOver",
        "Verify",
        "Verified",
        "VerifyFailed",
    }
)
"""Reasons that are told of also without a change of phase."""


def is_news(before: CanaryStatus, after: CanaryStatus) -> bool:
    """Whether people want to hear of it."""
    if before.phase != after.phase:
        return True
    return (before.reason != after.reason or before.verified != after.verified) and after.reason in _TOLD


def event_of(canary: Canary, status: CanaryStatus, now: datetime, *, reason: str = "", message: str = "") -> Json:
    """The Event that tells of a status, or of something else."""
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    bad = status.phase in _BAD
    return {
        "metadata": {"generateName": f"{canary.name[:200]}.", "namespace": canary.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": canary.name,
            "namespace": canary.namespace,
            "uid": canary.uid,
        },
        "reason": reason or status.phase.value,
        "message": (message or f"{status.canary_release}: {status.reason}: {status.message}")[:1000],
        "type": "Warning" if bad else "Normal",
        "source": {"component": OWNER},
        "reportingComponent": OWNER,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


class Notifier:
    """See the module. What is told is a help and no promise: a crash may lose it, and a status never is.

    Args:
        kube: Takes Events.
        session: For the webhook.
        webhook: Its address; empty for none.
        registry: For the metrics.
    """

    def __init__(
        self, *, kube: Kube, session: aiohttp.ClientSession, webhook: str, registry: CollectorRegistry
    ) -> None:
        self._kube, self._session, self._webhook = kube, session, webhook
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(WAITING)
        self._dropped = Counter(
            "monitor_canary_notifications_dropped",
            "Events and webhook calls that did not come through, by reason.",
            ["way", "reason"],
            registry=registry,
        )

    async def tell(self, canary: Canary, status: CanaryStatus, now: datetime) -> None:
        """Tell of a new status."""
        await self.event(canary, event_of(canary, status, now))
        if self._webhook:
            self._put(message_of(canary, status, now))

    async def event(self, canary: Canary, event: Json) -> None:
        """Make an Event, once."""
        try:
            await self._kube.tell(canary.namespace, event)
        except (KubernetesUnavailableError, RefusedError, ConflictError) as error:
            self._dropped.labels("event", type(error).__name__).inc()
            log.warning("an Event was not made", canary=canary.path, error=str(error))

    def _put(self, message: Json) -> None:
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._dropped.labels("webhook", "full").inc()

    async def run(self) -> None:
        """Call the webhook, message by message, until cancelled."""
        while True:
            message = await self._waiting.get()
            if not await self._called(message):
                self._dropped.labels("webhook", "no-answer").inc()
                log.warning("the webhook does not take a message", canary=message["canary"], tries=_TRIES)

    async def _called(self, message: Json) -> bool:
        for each in range(_TRIES):
            try:
                async with self._session.post(self._webhook, json=message, timeout=_PATIENCE) as answer:
                    if answer.status < 300:  # noqa: PLR2004 - any success
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass
            if each + 1 < _TRIES:
                await asyncio.sleep(_FIRST_WAIT_SECONDS * 2**each)
        return False


def message_of(canary: Canary, status: CanaryStatus, now: datetime) -> Json:
    """What the webhook gets."""
    return {
        "canary": canary.path,
        "phase": status.phase.value,
        "reason": status.reason,
        "message": status.message,
        "stableRelease": status.stable_release,
        "canaryRelease": status.canary_release,
        "key": status.key,
        "causedBy": status.caused_by,
        "pending": status.pending,
        "time": now.isoformat(),
    }
