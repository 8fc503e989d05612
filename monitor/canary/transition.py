"""One step of a canary: from what it says, what the world says and what the counts say, to what it says next.

::

    Idle --> Held --> Progressing --> Promoting --> Promoted --(keepUntil)--> Idle again
                          |   '-----> RollingBack --> RolledBack      '--> RollingBack on late evidence
                          '-> Conflict: somebody else changed it      Inconclusive: the time is over

Pure: it decides and does not act. A change that it returns may be made only after the status that comes with it was
written, at the version that was read: then it was this look, and no other, that decided it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from monitor.canary import approval, reconcile, undecided
from monitor.canary.approval import PROMOTE, ROLLBACK
from monitor.canary.change import Change
from monitor.canary.counts import MINUTE_NS, Decision, Verdict
from monitor.canary.modes import (
    Candidate,
    Lacking,
    Todo,
    came_back,
    candidate,
    in_question,
    is_new,
    left,
    preparation,
    todo,
)
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.duration import length_of
from monitor.canary.resource.names import ABORT
from monitor.canary.resource.spec import ActPolicy, Mode
from monitor.canary.resource.status import DECIDED, CanaryStatus, Phase, Why
from monitor.canary.saying import because, to_phase, with_verdict
from monitor.canary.verified import looked_again
from monitor.canary.world import World

_START: Final = timedelta(minutes=5)
"""How long the first step's pods may take to be ready before the analysis begins without."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look leads to.

    Attributes:
        status: To be written if it differs from what was read; its conditions are not made yet.
        change: To be made after that.
    """

    status: CanaryStatus
    change: Change | None = None


def advance(canary: Canary, world: World, verdict: Verdict | None) -> Outcome:
    """Take the next step.

    Args:
        canary: As it was read.
        world: As it was read after that.
        verdict: On the minutes that are known; `None` when nothing could be looked at.
    """
    status = msgspec.structs.replace(canary.status, observed_generation=canary.generation)
    if verdict is not None and status.phase in (Phase.PROGRESSING, Phase.PROMOTED):
        status = with_verdict(status, verdict)
    canary = replace(canary, status=status)
    reason, message = world.ruling.problem
    if reason:
        return Outcome(because(status, reason, message))
    if canary.status.intent is not None:
        return _go_on(canary, world)
    if canary.spec.suspend:
        return Outcome(because(status, "Suspended", "spec.suspend is set"))
    return _PHASES[status.phase](canary, world, verdict)


def _go_on(canary: Canary, world: World) -> Outcome:
    """Find out what became of the last intent, before anything else."""
    status, intent = canary.status, canary.status.intent
    assert intent is not None  # noqa: S101 - the caller looked
    found = reconcile.of(canary, intent, world)
    if found.state == reconcile.State.DONE:
        name = intent.id.removesuffix(reconcile.RETRY)
        done = status.done if name in status.done else (*status.done, name)
        return Outcome(msgspec.structs.replace(status, intent=None, done=done))
    if found.state == reconcile.State.CONFLICT:
        fresh = replace(canary, status=msgspec.structs.replace(status, intent=None))
        return Outcome(_conflict(fresh, world, found.reason, found.message))
    if found.state == reconcile.State.WAIT or canary.spec.suspend:
        return Outcome(because(status, found.reason or "Acting", found.message))
    if found.state == reconcile.State.DROP:
        return Outcome(msgspec.structs.replace(status, intent=None))
    return _planned(status, found.change, world.now)


def _planned(status: CanaryStatus, change: Change | None, now: datetime) -> Outcome:
    if change is None:
        return Outcome(status)
    before = status.intent
    if before is not None and before.id == change.intent.id and change.method != "DEIS":
        same = before.resource_version == change.intent.resource_version
        tries = before.tries if same else before.tries + 1
        intent = msgspec.structs.replace(change.intent, tries=tries, since=before.since if same else now)
    else:
        intent = msgspec.structs.replace(change.intent, since=now)
    return Outcome(msgspec.structs.replace(status, intent=intent), replace(change, intent=intent))


def _next(canary: Canary, world: World) -> Todo | None:
    """The first thing of the phase that is not done yet."""
    return next((each for each in todo(canary, world) if each.intent.id not in canary.status.done), None)


def _do(canary: Canary, world: World, each: Todo, *, waiting: str) -> Outcome:
    if canary.spec.policy == ActPolicy.DRY_RUN:
        return Outcome(canary.status)
    if each.wrong:
        return Outcome(_conflict(canary, world, "Changed", each.wrong))
    if each.make is None:
        return Outcome(because(canary.status, waiting, ""))
    return _planned(canary.status, each.make(), world.now)


def _idle(canary: Canary, world: World, _: Verdict | None) -> Outcome:
    """Nothing is judged, or what was is decided: see whether there is a release that was not judged yet."""
    status = canary.status
    if status.phase == Phase.ROLLED_BACK and came_back(canary, world):
        told = f"{status.canary_release} was rolled back, and somebody brought it into service again"
        return Outcome(_conflict(canary, world, "CameBack", told))
    left_over = _next(canary, world) if status.analysis else None
    if left_over is not None:
        return _do(canary, world, left_over, waiting="Cleaning")
    found = candidate(canary, world)
    if is_new(found, canary):
        return _start(canary, world, found)
    ready = preparation(canary, world)
    if ready is not None:
        return _do(canary, world, ready, waiting="Preparing")
    if status.phase in DECIDED:
        return Outcome(status)
    return Outcome(_nothing_to_judge(canary, world, found))


def _nothing_to_judge(canary: Canary, world: World, found: Candidate | Lacking) -> CanaryStatus:
    status = canary.status
    if isinstance(found, Candidate):  # judged, and withdrawn
        return status
    if world.stable is not None and not status.key and canary.spec.arms.mode != Mode.TWO_DEPLOYMENTS:
        names = world.stable.names
        if found.reason in ("Adopted", "IsRollback") or canary.spec.arms.mode == Mode.SURGE:
            status = msgspec.structs.replace(status, stable_release=names.release, stable_hash=world.stable.hash)
    return because(status, found.reason, found.message)


def _start(canary: Canary, world: World, found: Candidate) -> Outcome:
    """Begin, unless a dependency is in change or nothing tells the releases apart."""
    status = CanaryStatus(
        observed_generation=canary.generation,
        key=found.key(canary),
        analysis=f"{found.key(canary)}@{int(world.now.timestamp())}",
        stable_release=found.stable_release,
        canary_release=found.canary_release,
        stable_hash=found.stable_hash,
        canary_hash=found.canary_hash,
        held_since=world.now,
        conditions=canary.status.conditions,
        verified=canary.status.verified,
    )
    return _held(replace(canary, status=status), world, None)


def _held(canary: Canary, world: World, _: Verdict | None) -> Outcome:
    status = canary.status
    gone = _gone(canary, world)
    if gone is not None:
        return gone
    if world.ruling.hold:
        since = status.held_since or world.now
        over = world.now - since > length_of(canary.spec.max_duration)
        told = f"waits for {', '.join(world.ruling.hold)}"
        return Outcome(to_phase(status, Phase.HELD, "HeldTooLong" if over else "Held", told))
    if world.frozen is None:
        told = "no lines say which release served a request: see spec.arms.attribution"
        return Outcome(to_phase(status, Phase.HELD, "NoReleaseAttribution", told))
    fresh = msgspec.structs.replace(
        to_phase(status, Phase.PROGRESSING, "Started", ""),
        basis=world.ruling.basis,
        frozen=world.frozen,
        held_since=None,
        step=0,
        step_since=world.now,
        since=None,
        restarts=None,
    )
    return Outcome(fresh)


def _progressing(canary: Canary, world: World, verdict: Verdict | None) -> Outcome:
    """Decide: back, on to the next step, to promotion, or wait."""
    gone = _gone(canary, world)
    if gone is not None:
        return gone
    status = canary.status
    back = _reason_to_go_back(canary, world, verdict)
    if back is not None:
        return _back(canary, world, back)
    step = _next(canary, world)
    if step is not None and canary.spec.policy != ActPolicy.DRY_RUN:
        return _do(canary, world, step, waiting="Stepping")
    if status.since is None:
        return Outcome(_begun(canary, world))
    if world.ruling.shared:
        told = f"{world.ruling.shared} is bad in both arms of several that depend on it"
        return Outcome(because(status, "SharedDependency", told))
    return _onward(canary, world, verdict)


def _begun(canary: Canary, world: World) -> CanaryStatus:
    """Let the analysis begin, at a whole minute, once the canary's pods are there."""
    status, signals = canary.status, world.signals
    there = signals.canary_ready >= max(1, signals.canary_pods) and signals.stable_ready > 0
    late = status.step_since is not None and world.now - status.step_since > _START
    if not (there or late or signals.canary_crash_loops):
        return because(status, "NotReady", "the canary's pods are not ready yet")
    minute_ns = int(world.now.timestamp()) * 1_000_000_000 // MINUTE_NS + 1
    since = datetime.fromtimestamp(minute_ns * MINUTE_NS // 1_000_000_000, UTC)
    fresh = msgspec.structs.replace(status, since=since, step_since=world.now, restarts=world.restarts)
    return because(fresh, "Analysing", "")


def _onward(canary: Canary, world: World, verdict: Verdict | None) -> Outcome:
    status = canary.status
    assert status.since is not None  # noqa: S101 - the caller looked
    over = world.now - status.since > length_of(canary.spec.max_duration)
    if verdict is None:
        return _undecided(canary, world, undecided.NO_DATA, "nothing complete is known yet", over=over)
    if verdict.decision == Decision.INCONCLUSIVE:
        return _undecided(canary, world, verdict.reason, verdict.message, over=over)
    return _decided_onward(canary, world, verdict, over=over)


def _decided_onward(canary: Canary, world: World, verdict: Verdict, *, over: bool) -> Outcome:
    status = canary.status
    if verdict.decision == Decision.ROLLBACK:  # not allowed to act by itself
        return Outcome(approval.waiting(canary, ROLLBACK, verdict))
    if _step_is_over(canary, world) and status.step + 1 < len(canary.spec.steps):
        fresh = msgspec.structs.replace(status, step=status.step + 1, step_since=world.now)
        return Outcome(because(fresh, "NextStep", verdict.message))
    if verdict.decision == Decision.PROMOTABLE and _step_is_over(canary, world):
        return _promotable(canary, verdict)
    if over:
        return _undecided(canary, world, undecided.reason_of(verdict), verdict.message, over=True)
    return Outcome(because(status, verdict.reason, verdict.message))


def _step_is_over(canary: Canary, world: World) -> bool:
    status = canary.status
    least = length_of(canary.spec.steps[min(status.step, len(canary.spec.steps) - 1)].min_time)
    return status.step_since is not None and world.now - status.step_since >= least


def _promotable(canary: Canary, verdict: Verdict) -> Outcome:
    status = canary.status
    if canary.spec.policy == ActPolicy.DRY_RUN:
        return Outcome(to_phase(status, Phase.INCONCLUSIVE, "WouldPromote", verdict.message))
    if canary.spec.policy == ActPolicy.AUTO or approval.approved(canary, PROMOTE):
        return Outcome(_promoting(status, verdict.reason, verdict.message))
    return Outcome(approval.waiting(canary, PROMOTE, verdict))


def _undecided(canary: Canary, world: World, reason: str, message: str, *, over: bool) -> Outcome:
    status = canary.status
    if not over:
        return Outcome(because(status, reason, message))
    told = f"undecided after {canary.spec.max_duration}: {message}"
    if canary.spec.policy == ActPolicy.DRY_RUN:
        return Outcome(to_phase(status, Phase.INCONCLUSIVE, undecided.TIME_OVER, told))
    if undecided.may_promote(canary, reason):
        return Outcome(_promoting(status, undecided.TIME_OVER, told))
    if undecided.may_roll_back(canary):
        return _back(canary, world, Lacking(undecided.TIME_OVER, told))
    return Outcome(because(status, reason, told))


def _promoting(status: CanaryStatus, reason: str, message: str) -> CanaryStatus:
    return to_phase(msgspec.structs.replace(status, pending=""), Phase.PROMOTING, reason, message)


def _reason_to_go_back(canary: Canary, world: World, verdict: Verdict | None) -> Lacking | None:
    """Why the release is to be rolled back now, if it is."""
    if approval.aborted(canary):
        return Lacking("Aborted", f"annotation {ABORT}")
    if world.ruling.caused_by:
        return Lacking("Caused", f"{world.ruling.caused_by} goes back, and this was promoted on what it goes back from")
    if verdict is None or verdict.decision != Decision.ROLLBACK:
        return None
    if world.ruling.shared and canary.spec.policy == ActPolicy.AUTO and not approval.approved(canary, ROLLBACK):
        return None
    allowed = canary.spec.policy == ActPolicy.AUTO and verdict.automatic
    if allowed or approval.approved(canary, ROLLBACK) or canary.spec.policy == ActPolicy.DRY_RUN:
        return Lacking(verdict.reason, verdict.message)
    return None


def _back(canary: Canary, world: World, why: Lacking) -> Outcome:
    status = msgspec.structs.replace(canary.status, pending="", caused_by=world.ruling.caused_by)
    if canary.spec.policy == ActPolicy.DRY_RUN:
        return Outcome(to_phase(status, Phase.INCONCLUSIVE, "WouldRollBack", why.message))
    going = to_phase(status, Phase.ROLLING_BACK, why.reason, why.message)
    return Outcome(msgspec.structs.replace(going, back=Why(going.reason, going.message)))


def _gone(canary: Canary, world: World) -> Outcome | None:
    """End an analysis whose templates are no longer there."""
    became = left(canary, world)
    if not became:
        return None
    status = canary.status
    if became == "Withdrawn" or (became == "Superseded" and canary.spec.arms.mode != Mode.BASELINE):
        told = f"{status.canary_release} was taken back, or replaced, by somebody else"
        return Outcome(to_phase(msgspec.structs.replace(status, key=""), Phase.IDLE, became, told))
    told = "somebody else changed the Deployment during the analysis: nothing is done"
    return Outcome(_conflict(canary, world, became, told))


def _promoting_on(canary: Canary, world: World, _: Verdict | None) -> Outcome:
    each = _next(canary, world)
    if each is not None:
        return _do(canary, world, each, waiting="RollingOut")
    keep = world.now + length_of(canary.spec.keep_stable)
    status = msgspec.structs.replace(canary.status, keep_until=keep)
    return Outcome(to_phase(status, Phase.PROMOTED, "Promoted", canary.status.message))


def _promoted(canary: Canary, world: World, verdict: Verdict | None) -> Outcome:
    """Late evidence still rolls back, as long as the way back is kept."""
    status = canary.status
    if world.ruling.verify:
        return Outcome(looked_again(canary, world))
    late = status.keep_until is not None and world.now < status.keep_until
    if status.pending == ROLLBACK and approval.approved(canary, ROLLBACK) and not _moved_on(canary, world):
        return _back(canary, world, Lacking(status.reason, status.message))
    back = _reason_to_go_back(canary, world, verdict if late else None) if late or world.ruling.caused_by else None
    if back is not None and not _moved_on(canary, world):
        return _back(canary, world, back)
    if late and _moved_on(canary, world):
        told = "somebody changed the Deployment again: there is no way back to what was there before"
        return Outcome(because(status, "Changed", told))
    return _idle(canary, world, verdict)


def _moved_on(canary: Canary, world: World) -> bool:
    return world.stable is None or world.stable.hash != canary.status.canary_hash


def _rolling_back(canary: Canary, world: World, _: Verdict | None) -> Outcome:
    if world.ruling.after:
        return Outcome(because(canary.status, "AfterDependents", f"first goes {', '.join(world.ruling.after)}"))
    each = _next(canary, world)
    if each is not None:
        return _do(canary, world, each, waiting="NoWayBack")
    why = canary.status.back or Why(canary.status.reason, canary.status.message)
    return Outcome(to_phase(canary.status, Phase.ROLLED_BACK, why.reason, why.message))


def _conflict(canary: Canary, world: World, reason: str, message: str) -> CanaryStatus:
    """Leave it to whoever changed it: what is there now is not judged either."""
    status = msgspec.structs.replace(canary.status, theirs=in_question(canary, world), pending="")
    return to_phase(status, Phase.CONFLICT, reason, message)


_PHASES: Final = {
    Phase.IDLE: _idle,
    Phase.HELD: _held,
    Phase.PROGRESSING: _progressing,
    Phase.PROMOTING: _promoting_on,
    Phase.PROMOTED: _promoted,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.ROLLED_BACK: _idle,
    Phase.INCONCLUSIVE: _idle,
    Phase.CONFLICT: _idle,
}
