"""What each mode does in each phase: which release is judged, and what is to be done next for it.

::

    mode            judged                                step            promote                    rollback
    twoDeployments  template of the second Deployment     scale it        stable takes its template  scale it to 0
    surge           new template of the one Deployment    maxSurge        let the rollout go on      old template back
    baseline        release that Deis deployed            our baseline    nothing                    ask Deis

`todo` lists a phase's actions in order; each is done once in an analysis, so the first that is not done is the next.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from monitor.canary import change
from monitor.canary.change import Change, intent_for
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.duration import length_of
from monitor.canary.resource.names import ARM, RELEASE
from monitor.canary.resource.spec import Attribution, Mode
from monitor.canary.resource.status import Action, Intent, Phase
from monitor.canary.world import Deployment, Json, OldTemplate, World, template_hash


class Candidate(NamedTuple):
    """A release that could be judged, beside which other.

    Attributes:
        stable_release: Of the stable arm.
        stable_hash: Its template.
        canary_release: Of the other.
        canary_hash: Its template.
    """

    stable_release: str
    stable_hash: str
    canary_release: str
    canary_hash: str

    def key(self, canary: Canary) -> str:
        """What this analysis goes by."""
        return f"{canary.uid[:8]}-{self.canary_release or 'none'}-{self.canary_hash}"


class Lacking(NamedTuple):
    """Why there is nothing to judge."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Todo:
    """One thing to be done.

    Attributes:
        intent: See there.
        make: The request, from the world as it is; `None` as long as something else has to be waited for.
        wrong: Why it must not be done: the world is not what was judged; empty when it may.
    """

    intent: Intent
    make: Callable[[], Change] | None
    wrong: str = ""


NOTHING = Lacking("NothingToJudge", "both arms have the same template")


def candidate(canary: Canary, world: World) -> Candidate | Lacking:
    """Which release is to be judged now."""
    if world.stable is None:
        return Lacking("NoTarget", f"there is no Deployment {canary.spec.stable_name}")
    mode = canary.spec.arms.mode
    if mode == Mode.TWO_DEPLOYMENTS:
        return _second(canary, world.stable, world.second)
    if mode == Mode.SURGE:
        return _surged(world.stable)
    return _deployed(canary, world, world.stable)


def is_new(found: Candidate | Lacking, canary: Canary) -> TypeGuard[Candidate]:
    """Whether there is a release that was neither judged nor left to somebody else."""
    status = canary.status
    return isinstance(found, Candidate) and found.key(canary) != status.key and found.canary_hash != status.theirs


def _second(canary: Canary, stable: Deployment, second: Deployment | None) -> Candidate | Lacking:
    if second is None:
        return Lacking("NoCanary", f"there is no Deployment {canary.spec.canary_name}")
    found = template_hash(taken_over(second, stable))
    if found == stable.hash:
        return NOTHING
    told_apart = canary.spec.arms.attribution == Attribution.SERVICE
    if second.names.release == stable.names.release and not told_apart:
        told = "pods of both arms have the same label app.kubernetes.io/version (version for Deis), or none"
        return Lacking("SameRelease", told)
    return Candidate(stable.names.release, stable.hash, second.names.release, found)


def _surged(stable: Deployment) -> Candidate | Lacking:
    before = change.noted_template(stable)
    if not change.is_prepared(stable) or before is None:
        return Lacking("NotPrepared", "the Deployment's rollout settings are set before the next template comes")
    if template_hash(before) == stable.hash:
        return NOTHING
    release = _release_of(before, stable)
    if release == stable.names.release:
        return Lacking("SameRelease", "the new template has the same label app.kubernetes.io/version as the old one")
    return Candidate(release, template_hash(before), stable.names.release, stable.hash)


def _deployed(canary: Canary, world: World, stable: Deployment) -> Candidate | Lacking:
    release, known = stable.names.release, standing_release(canary)
    if known == release:
        return NOTHING
    lacking = _unusable(world, stable)
    if lacking is not None:
        return lacking
    if not known and canary.annotations.get(RELEASE) != release:
        return Lacking("Adopted", f"{release} was there first: the next one is judged")
    old = baseline_template(canary, world)
    if old is None:
        return Lacking("NoOldRelease", "no ReplicaSet has the release before")
    return Candidate(old.release, old.hash, release, stable.hash)


def _unusable(world: World, stable: Deployment) -> Lacking | None:
    """Why what Deis has is nothing to judge."""
    if world.deis is None:
        return Lacking("NoDeisController", "the Deis controller does not answer, or none is set")
    latest = world.deis.latest
    if latest is None or latest.name != stable.names.release or latest.failed or not stable.rolled_out:
        return Lacking("NotDeployed", "the newest release is not deployed yet")
    if latest.is_rollback:
        return Lacking("IsRollback", f"{latest.name} brought an older release back")
    return None


def standing_release(canary: Canary) -> str:
    """The release that users are served by and trust; empty before the first look."""
    status = canary.status
    return status.canary_release if status.phase in (Phase.PROMOTED, Phase.PROMOTING) else status.stable_release


def served_before(canary: Canary, world: World) -> str:
    """Release of the pods that are not under judgement; empty when it is not known."""
    if world.stable is None:
        return ""
    judging = canary.status.phase in (Phase.HELD, Phase.PROGRESSING, Phase.ROLLING_BACK)
    if judging and canary.spec.arms.mode != Mode.TWO_DEPLOYMENTS:
        return canary.status.stable_release
    return world.stable.names.release


def baseline_template(canary: Canary, world: World) -> OldTemplate | None:
    """What the baseline runs: the stable release if it is still known, else the one before."""
    usable = [old for old in world.old if old.release]
    standing = standing_release(canary)
    return next((old for old in usable if old.release == standing), usable[0] if usable else None)


def taken_over(second: Deployment, stable: Deployment) -> Mapping[str, Any]:
    """The second Deployment's template as the stable one takes it over: with the labels that it knows its pods by."""
    facts = dict(second.template.get("metadata") or {})
    labels = {name: value for name, value in second.labels.items() if name not in second.selector}
    facts["labels"] = {**labels, **stable.selector}
    return {**second.template, "metadata": facts}


def _release_of(template: Mapping[str, Any], deployment: Deployment) -> str:
    body = {**deployment.raw, "spec": {**deployment.raw["spec"], "template": template}}
    return Deployment(body).names.release


def in_question(canary: Canary, world: World) -> str:
    """Hash of the template that could be judged now; empty when there is none."""
    if world.stable is None:
        return ""
    if canary.spec.arms.mode != Mode.TWO_DEPLOYMENTS:
        return world.stable.hash
    return template_hash(taken_over(world.second, world.stable)) if world.second is not None else ""


def left(canary: Canary, world: World) -> str:
    """What became of the templates under judgement: empty while they are there, else one word.

    `Withdrawn`: the judged one is gone, and the old one is back. `Superseded`: another one is there in its place.
    `Changed`: what it was compared with is no longer there, or not what it was.
    """
    status = canary.status
    if world.stable is None:
        return "Changed"
    if canary.spec.arms.mode == Mode.TWO_DEPLOYMENTS:
        if world.stable.hash != status.stable_hash:
            return "Changed"
        if world.second is None:
            return "Withdrawn"
        now = template_hash(taken_over(world.second, world.stable))
    else:
        now = world.stable.hash
    if now == status.canary_hash:
        return ""
    return "Withdrawn" if now == status.stable_hash else "Superseded"


def came_back(canary: Canary, world: World) -> bool:
    """Whether somebody put a release that was rolled back into service again."""
    if world.stable is None or canary.spec.arms.mode == Mode.BASELINE:
        return False  # Deis numbers each release anew
    if canary.spec.arms.mode == Mode.SURGE:
        return world.stable.hash == canary.status.canary_hash
    if world.stable.hash == canary.status.canary_hash:
        return True
    second = world.second
    shown = second is not None and template_hash(taken_over(second, world.stable)) == canary.status.canary_hash
    return shown and second is not None and second.replicas > 0


def todo(canary: Canary, world: World) -> Iterator[Todo]:
    """What the phase wants done, in order."""
    if world.stable is None:
        return iter(())
    phase, key = canary.status.phase, canary.status.analysis
    mode = canary.spec.arms.mode
    if mode == Mode.TWO_DEPLOYMENTS:
        return _two_deployments(canary, world, world.stable, phase, key)
    if mode == Mode.SURGE:
        return _surge(canary, world, world.stable, phase, key)
    return _baseline(canary, world, world.stable, phase, key)


def _pods(canary: Canary) -> int:
    return canary.spec.steps[min(canary.status.step, len(canary.spec.steps) - 1)].pods


def _two_deployments(canary: Canary, world: World, stable: Deployment, phase: Phase, key: str) -> Iterator[Todo]:
    second, status = world.second, canary.status
    if phase == Phase.PROGRESSING and second is not None:
        pods = _pods(canary)
        intent = intent_for(
            key, Action.STEP, name=second.name, before=second.hash, after=str(pods), suffix=f"step-{status.step}"
        )
        yield Todo(intent, lambda: change.update(second, intent, change.scaled_to(pods)))
    if phase == Phase.PROMOTING and second is not None:
        template = taken_over(second, stable)
        promote = intent_for(key, Action.PROMOTE, name=stable.name, before=status.stable_hash, after=status.canary_hash)
        judged = template_hash(template) == status.canary_hash and stable.hash in (
            status.stable_hash,
            status.canary_hash,
        )
        edit = change.with_template(template, keep=stable.template)
        wrong = "" if judged else "a Deployment has another template than the one that was judged"
        yield Todo(promote, lambda: change.update(stable, promote, edit), wrong)
    if phase == Phase.ROLLING_BACK and f"{key}/{Action.PROMOTE}" in status.done:
        yield from _template_back(canary, world, stable, key)
    if phase in (Phase.PROMOTING, Phase.ROLLING_BACK) and second is not None:
        suffix = "retire" if phase == Phase.PROMOTING else "remove"
        retire = intent_for(key, Action.RETIRE, name=second.name, before=second.hash, after="0", suffix=suffix)
        waits = phase == Phase.PROMOTING and not stable.rolled_out
        make = None if waits else lambda: change.update(second, retire, change.scaled_to(0))
        yield Todo(retire, make)
    if phase == Phase.PROMOTED and _kept_long_enough(canary, world) and change.noted_template(stable) is not None:
        yield _forget(stable, key)


def _surge(canary: Canary, world: World, stable: Deployment, phase: Phase, key: str) -> Iterator[Todo]:
    status, pods = canary.status, _pods(canary)
    if phase == Phase.PROGRESSING and status.step > 0:
        step = intent_for(
            key, Action.STEP, name=stable.name, before=stable.hash, after=str(pods), suffix=f"step-{status.step}"
        )
        yield Todo(step, lambda: change.update(stable, step, change.surging(pods)))
    if phase == Phase.PROMOTING:
        promote = intent_for(key, Action.PROMOTE, name=stable.name, before=status.canary_hash, after=status.canary_hash)
        wrong = "" if stable.hash == status.canary_hash else "the Deployment has another template than the judged one"
        yield Todo(promote, lambda: change.update(stable, promote, change.with_own_settings), wrong)
    if phase == Phase.ROLLING_BACK:
        yield from _template_back(canary, world, stable, key)
    if phase == Phase.PROMOTED and _kept_long_enough(canary, world) and change.noted_template(stable) is not None:
        yield _forget(stable, key)


def _baseline(canary: Canary, world: World, stable: Deployment, phase: Phase, key: str) -> Iterator[Todo]:
    status, second, pods = canary.status, world.second, _pods(canary)
    ours = second is not None and ARM in (second.raw["metadata"].get("labels") or {})
    if phase == Phase.PROGRESSING:
        yield from _baseline_step(canary, world, stable, pods)
    if phase == Phase.ROLLING_BACK:
        app = stable.names.app
        back = intent_for(key, Action.ROLLBACK, name=app, before=status.canary_release, after=status.stable_release)
        yield _back_by_deis(world, back, app)
    moved_on = stable.hash != status.canary_hash
    over = phase == Phase.PROMOTED and (_kept_long_enough(canary, world) or moved_on)
    gone = phase in (Phase.ROLLING_BACK, Phase.CONFLICT, Phase.IDLE, Phase.INCONCLUSIVE, Phase.ROLLED_BACK)
    if (over or gone) and ours and second is not None:
        retire = intent_for(key, Action.RETIRE, name=second.name, before=second.hash)
        yield Todo(retire, lambda: change.removal(second, retire))


def _baseline_step(canary: Canary, world: World, stable: Deployment, pods: int) -> Iterator[Todo]:
    status, second = canary.status, world.second
    old = next((old for old in world.old if old.hash == status.stable_hash), None)
    name = canary.spec.canary_name
    suffix = f"step-{status.step}"
    if second is None and old is not None:
        made = intent_for(status.analysis, Action.STEP, name=name, after=str(pods), suffix=f"{suffix}-made")
        yield Todo(made, lambda: change.baseline(stable, old, made, name=name, pods=pods, owner=canary.owner))
    elif second is not None and status.step > 0:
        scaled = intent_for(status.analysis, Action.STEP, name=name, before=second.hash, after=str(pods), suffix=suffix)
        yield Todo(scaled, lambda: change.update(second, scaled, change.scaled_to(pods)))


def _back_by_deis(world: World, intent: Intent, app: str) -> Todo:
    latest = world.deis.latest if world.deis is not None else None
    if latest is None:
        return Todo(intent, None)
    wrong = "" if latest.name == intent.before else f"{latest.name} by {latest.owner} came after {intent.before}"
    return Todo(intent, lambda: change.deis_rollback(app, to=intent.after, intent=intent), wrong)


def _template_back(canary: Canary, world: World, stable: Deployment, key: str) -> Iterator[Todo]:
    """Put the template of before back; nothing to do when somebody has."""
    status = canary.status
    if stable.hash == status.stable_hash and not change.is_prepared(stable):
        return
    noted = change.noted_template(stable)
    kept = [noted] if noted is not None else []
    kept += [old.template for old in world.old] + [stable.template]
    before = next((template for template in kept if template_hash(template) == status.stable_hash), None)
    intent = intent_for(key, Action.ROLLBACK, name=stable.name, before=status.canary_hash, after=status.stable_hash)
    if before is None:
        yield Todo(intent, None, "neither a note nor a ReplicaSet has the template of before")
        return

    def edit(body: Json) -> None:
        change.with_template(before)(body)
        if change.is_prepared(stable):
            change.with_own_settings(body)

    there = stable.hash in (status.canary_hash, status.stable_hash)
    wrong = "" if there else "the Deployment has another template than the one to be rolled back"
    yield Todo(intent, lambda: change.update(stable, intent, edit), wrong)


def _forget(stable: Deployment, key: str) -> Todo:
    intent = intent_for(key, Action.RETIRE, name=stable.name, before=stable.hash, suffix="forget")
    return Todo(intent, lambda: change.update(stable, intent, change.without_note))


def preparation(canary: Canary, world: World) -> Todo | None:
    """Set a surge's rollout settings, once a rollout has ended and before the next template comes."""
    stable, status = world.stable, canary.status
    if canary.spec.arms.mode != Mode.SURGE or stable is None or change.is_prepared(stable):
        return None
    over = status.phase != Phase.PROMOTED or _kept_long_enough(canary, world)
    if status.phase in (Phase.HELD, Phase.PROGRESSING, Phase.PROMOTING, Phase.ROLLING_BACK) or not over:
        return None
    if not stable.rolled_out:
        return None
    intent = intent_for(
        canary.uid[:8], Action.PREPARE, name=stable.name, before=stable.hash, suffix=f"prepare-{stable.hash}"
    )
    seconds = length_of(canary.spec.max_duration).total_seconds() + length_of(canary.spec.keep_stable).total_seconds()
    edit = change.prepared_for_surge(pods=canary.spec.steps[0].pods, seconds=seconds)
    return Todo(intent, lambda: change.update(stable, intent, edit))


def _kept_long_enough(canary: Canary, world: World) -> bool:
    return canary.status.keep_until is None or world.now >= canary.status.keep_until
