"""Carries out one change. What became of it is told by the world, so errors of an answer that was lost say nothing."""

from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from monitor.canary.change import Change
from monitor.canary.deis import Deis, DeisError, DeisRefusedError
from monitor.canary.kube import ConflictError, Kube, RefusedError
from monitor.canary.resource.canary import Canary
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

DEIS_METHOD: Final = "DEIS"


class Actor:
    """Carries changes out.

    Args:
        kube: The API server.
        deis: The Deis controller; `None` where there is none.
        registry: For the metrics.
    """

    def __init__(self, *, kube: Kube, deis: Deis | None, registry: CollectorRegistry) -> None:
        self._kube, self._deis = kube, deis
        self._actions = Counter(
            "monitor_canary_actions",
            "Requests that change something, by how they were answered.",
            ["action", "outcome"],
            registry=registry,
        )

    async def act(self, canary: Canary, change: Change) -> str:
        """Carry a change out; why it was refused for good, empty otherwise."""
        outcome, refused = "done", ""
        try:
            await self._send(canary, change)
        except ConflictError:
            outcome = "conflict"  # what there is now is looked at before anything else
        except (RefusedError, DeisRefusedError) as error:
            outcome, refused = "refused", str(error.args[0])
        except (KubernetesUnavailableError, DeisError) as error:
            outcome = "unknown"
            log.warning("an answer was lost", canary=canary.path, intent=change.intent.id, error=str(error))
        self._actions.labels(change.intent.action, outcome).inc()
        log.info("acted", canary=canary.path, intent=change.intent.id, outcome=outcome)
        return refused

    async def _send(self, canary: Canary, change: Change) -> None:
        if change.method != DEIS_METHOD:
            await self._kube.change_deployment(canary.namespace, change.name, change.method, change.body)
        elif self._deis is None:
            raise DeisRefusedError("no Deis controller is set")
        else:
            await self._deis.roll_back(change.name, int(change.body["version"]))
