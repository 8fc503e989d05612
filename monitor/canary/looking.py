"""Reads the world of one canary: its Deployments, what they had before, their pods, and what Deis says."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from monitor.canary import restarts
from monitor.canary.counts import Signals
from monitor.canary.deis import Deis, DeisError
from monitor.canary.kube import Kube
from monitor.canary.modes import Candidate, standing_release
from monitor.canary.observe.asking import ArmNames
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.spec import Attribution, Mode
from monitor.canary.resource.status import Phase
from monitor.canary.world import DeisFacts, Deployment, Json, PodFacts, World, old_templates, pod_of, signals_of

log = structlog.get_logger()

_LOOKED_AT: Final = frozenset({Phase.HELD, Phase.PROGRESSING, Phase.PROMOTED})


async def look(canary: Canary, kube: Kube, deis: Deis | None, now: datetime) -> World:
    """Read everything anew, without a ruling of the graph and without what an analysis would judge by.

    Raises:
        KubernetesUnavailableError: The API server does not answer.
        RefusedError: It does not let us.
    """
    namespace = canary.namespace
    found = await kube.deployment(namespace, canary.spec.stable_name)
    stable = Deployment(found) if found is not None else None
    second = None
    if canary.spec.canary_name:
        found = await kube.deployment(namespace, canary.spec.canary_name)
        second = Deployment(found) if found is not None else None
    asked = stable is not None and _may_move(canary, stable)
    sets = await kube.replica_sets(namespace, dict(stable.selector)) if stable is not None and asked else []
    pods = await _pods(canary, kube, stable, second)
    return World(
        now=now,
        stable=stable,
        second=second,
        old=old_templates(sets, stable) if stable is not None else (),
        deis=await _deis(canary, deis, stable) if asked else None,
        signals=_signals(canary, pods, stable, second),
        restarts=restarts.before(pods),
    )


def _may_move(canary: Canary, stable: Deployment) -> bool:
    """Whether old templates, and what Deis says, can matter now: an idle canary costs neither."""
    if canary.status.phase in (Phase.PROGRESSING, Phase.ROLLING_BACK):
        return True
    return canary.spec.arms.mode == Mode.BASELINE and stable.names.release != standing_release(canary)


async def _deis(canary: Canary, deis: Deis | None, stable: Deployment | None) -> DeisFacts | None:
    if deis is None or stable is None or canary.spec.arms.mode != Mode.BASELINE:
        return None
    try:
        return await deis.facts(stable.names.app)
    except DeisError as error:
        log.warning("the Deis controller says nothing", canary=canary.path, error=str(error))
        return None


async def _pods(canary: Canary, kube: Kube, *deployments: Deployment | None) -> list[PodFacts]:
    """The pods of both arms, while it matters."""
    if canary.status.phase not in _LOOKED_AT:
        return []
    pods: dict[str, Json] = {}
    for deployment in deployments:
        if deployment is not None:
            found = await kube.pods(canary.namespace, dict(deployment.selector))
            pods |= {each["metadata"]["uid"]: each for each in found}
    return [pod_of(each) for each in pods.values()]


def _signals(canary: Canary, pods: list[PodFacts], stable: Deployment | None, second: Deployment | None) -> Signals:
    """What they say."""
    status = canary.status
    if status.phase not in _LOOKED_AT or stable is None:
        return Signals()
    counted = [replace(pod, restarts=restarts.since(pod, status)) for pod in pods]
    wanted = _wanted(canary, stable, second)
    return signals_of(counted, stable=status.stable_release, canary=status.canary_release, wanted=wanted)


def _wanted(canary: Canary, stable: Deployment, second: Deployment | None) -> tuple[int, int]:
    """How many pods each arm should have: stable and canary."""
    replicas = second.replicas if second is not None else 0
    mode = canary.spec.arms.mode
    if mode == Mode.TWO_DEPLOYMENTS:
        return stable.replicas, replicas
    if mode == Mode.BASELINE:
        return replicas, stable.replicas
    pods = canary.spec.steps[min(canary.status.step, len(canary.spec.steps) - 1)].pods
    return stable.replicas, min(pods, stable.replicas)


def arm_names(canary: Canary, world: World, found: Candidate | None = None) -> ArmNames | None:
    """How series of the arms are named; `None` when there is no target.

    Args:
        canary: See there.
        world: See there.
        found: What would be judged; what is judged by default.
    """
    if world.stable is None:
        return None
    names, status = world.stable.names, canary.status
    process = names.process
    if world.second is not None and world.second.names.process != process:
        process = ""
    attribution = status.frozen.attribution if status.frozen is not None and found is None else Attribution.UPSTREAM
    if canary.spec.arms.attribution == Attribution.SERVICE:
        spec = canary.spec
        arms = (spec.stable_name, spec.canary_name)
        return ArmNames(canary.namespace, arms[0], process, *arms, Attribution.SERVICE)
    releases = (
        (found.stable_release, found.canary_release)
        if found is not None
        else (status.stable_release, status.canary_release)
    )
    return ArmNames(canary.namespace, names.app, process, *releases, attribution)


def selected(things: Iterable[Json], annotation: str) -> list[Json]:
    """Those with an annotation."""
    return [each for each in things if annotation in (each["metadata"].get("annotations") or {})]
