"""What became of an intent: told by the world alone, whoever had it and however far it came."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from monitor.canary.change import Change, deis_rollback
from monitor.canary.modes import preparation, todo
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.names import INTENT
from monitor.canary.resource.spec import Mode
from monitor.canary.resource.status import Action, Intent
from monitor.canary.world import Deployment, Release, World

DEIS_SECONDS: Final = 1200
"""As long as the Deis controller may take for a rollback: its server ends a request then."""

RETRY: Final = "-again"
_TRIES: Final = 8


class State(StrEnum):
    """What is to be done about an intent."""

    DONE = "done"
    ACT = "act"
    WAIT = "wait"
    DROP = "drop"
    """It was not carried out and is no longer wanted."""

    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Found:
    """What became of an intent.

    Attributes:
        state: See `State`.
        change: To `ACT`: the request.
        reason: One word.
        message: A sentence.
    """

    state: State
    change: Change | None = None
    reason: str = ""
    message: str = ""


def of(canary: Canary, intent: Intent, world: World) -> Found:
    """See the module."""
    if canary.spec.arms.mode == Mode.BASELINE and intent.action == Action.ROLLBACK:
        return _asked_of_deis(intent, world)
    deployment = next((one for one in (world.stable, world.second) if one and one.name == intent.name), None)
    if deployment is None:
        return _without(canary, intent, world)
    if deployment.annotations.get(INTENT) == intent.id:
        return Found(State.DONE)
    if world.refused:
        return Found(State.CONFLICT, reason="Refused", message=world.refused)
    return _again(canary, intent, world, deployment)


def _without(canary: Canary, intent: Intent, world: World) -> Found:
    """The Deployment is not there: not yet, or no longer."""
    if intent.action == Action.RETIRE:
        return Found(State.DONE)
    if intent.resource_version:
        return Found(State.CONFLICT, reason="Deleted", message=f"the Deployment {intent.name} is gone")
    if world.refused:
        return Found(State.CONFLICT, reason="Refused", message=world.refused)
    return _rebuilt(canary, intent, world)


def _again(canary: Canary, intent: Intent, world: World, deployment: Deployment) -> Found:
    """It was not carried out: do it, if what it changes is still what it was."""
    if intent.before != intent.after == deployment.hash and intent.action in (Action.PROMOTE, Action.ROLLBACK):
        return Found(State.DONE)  # somebody else did the same
    if intent.before and deployment.hash != intent.before:
        if intent.action == Action.STEP:
            return Found(State.DROP)  # another release came in its place, and is judged anew
        told = f"the template of {intent.name} is neither what it was nor what it was to be: somebody else changed it"
        return Found(State.CONFLICT, reason="Changed", message=told)
    if not intent.before and not intent.resource_version:
        told = f"there is a Deployment {intent.name} that is not ours"
        return Found(State.CONFLICT, reason="NameTaken", message=told)
    if intent.tries > _TRIES:
        return Found(State.CONFLICT, reason="Contended", message=f"{intent.name} was changed at each of {_TRIES} tries")
    return _rebuilt(canary, intent, world)


def _rebuilt(canary: Canary, intent: Intent, world: World) -> Found:
    if intent.action == Action.PREPARE:
        ready = preparation(canary, world)
        wanted = [] if ready is None else [ready]
    else:
        wanted = list(todo(canary, world))
    same = next((each for each in wanted if each.intent.id == intent.id), None)
    if same is None:
        return Found(State.DROP)
    if same.wrong:
        return Found(State.CONFLICT, reason="Changed", message=same.wrong)
    if same.make is None:
        return Found(State.WAIT, reason="Waiting")
    return Found(State.ACT, change=same.make())


def _asked_of_deis(intent: Intent, world: World) -> Found:
    """A rollback has no key by which Deis would know it again: only its releases tell whether it was made."""
    if world.deis is None or world.deis.latest is None:
        return Found(State.WAIT, reason="NoDeisController", message="the Deis controller does not answer")
    latest, target = world.deis.latest, world.deis.named(intent.after)
    if latest.name == intent.before:
        return _not_made(intent, world)
    made_next = latest.version == int(intent.before.removeprefix("v")) + 1
    ours = latest.owner == world.deis.user and latest.is_rollback
    same = target is not None and (latest.build, latest.config) == (target.build, target.config)
    if not (made_next and ours and same):
        return _theirs(intent, world, latest)
    if latest.failed:
        told = f"Deis made {latest.name} out of {intent.after}, and could not deploy it"
        return Found(State.CONFLICT, reason="RollbackFailed", message=told)
    return Found(State.DONE)


def _theirs(intent: Intent, world: World, latest: Release) -> Found:
    """Somebody made a release meanwhile; it is left alone as it is deployed, so that is waited for.

    Deis lists a release before it deploys it. What is noted as theirs is the template that is there: with the old one
    noted, theirs would be judged when it comes.
    """
    coming = world.stable is not None and world.stable.names.release == intent.before and not latest.failed
    waited = world.now - (intent.since or world.now)
    if coming and waited < 2 * timedelta(seconds=DEIS_SECONDS):
        told = f"{latest.name}, which {latest.owner} made, is being deployed"
        return Found(State.WAIT, reason="Deploying", message=told)
    told = f"{latest.name} was made by {latest.owner} after {intent.before}: it is theirs"
    return Found(State.CONFLICT, reason="Changed", message=told)


def _not_made(intent: Intent, world: World) -> Found:
    if world.refused:
        return Found(State.CONFLICT, reason="Refused", message=world.refused)
    waited = world.now - (intent.since or world.now)
    if waited < timedelta(seconds=DEIS_SECONDS):
        told = f"asked Deis for {intent.after}; it still has {intent.before}, and may take {DEIS_SECONDS} s"
        return Found(State.WAIT, reason="AskedDeis", message=told)
    if intent.id.endswith(RETRY):
        told = f"asked Deis twice for {intent.after}; it still has {intent.before}"
        return Found(State.CONFLICT, reason="NoAnswer", message=told)
    again = msgspec.structs.replace(intent, id=f"{intent.id}{RETRY}")
    return Found(State.ACT, change=deis_rollback(intent.name, to=intent.after, intent=again))
