"""What is so of a canary, as the controller writes it down. All that a controller needs to go on is in it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from monitor.canary.counts import Decision, Policy
from monitor.canary.resource.spec import Attribution

Text = Annotated[str, Meta(max_length=1024)]

DONE: Final = 64
"""Most actions of one analysis that are remembered: steps, and the few at its end."""


class Phase(StrEnum):
    """Where a canary stands. Each decides what is done next."""

    IDLE = "Idle"
    """There is no release to judge."""

    HELD = "Held"
    """There is one, and a dependency is in change."""

    PROGRESSING = "Progressing"
    """It is being judged."""

    PROMOTING = "Promoting"
    PROMOTED = "Promoted"
    """The release is the stable one; until `keepUntil` late evidence still rolls it back."""

    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    INCONCLUSIVE = "Inconclusive"
    """The time is over, nothing was decided, and nothing is done."""

    CONFLICT = "Conflict"
    """Somebody else changed what was to be changed: it is theirs."""


DECIDED: Final = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.INCONCLUSIVE, Phase.CONFLICT})
"""Phases in which a release is judged for good: the same release is not judged again."""

IN_CHANGE: Final = frozenset({Phase.PROGRESSING, Phase.PROMOTING, Phase.ROLLING_BACK})
"""Phases in which who depends on it waits."""


class Action(StrEnum):
    """What can be done to the world; each is one request, and repeating it does no harm or cannot happen."""

    PREPARE = "prepare"
    """Surge: set the rollout's settings before a new template comes."""

    STEP = "step"
    """Give the canary, or the baseline, the pods of a step; makes the baseline."""

    PROMOTE = "promote"
    """Make the release the stable one."""

    ROLLBACK = "rollback"
    """Put the old template back, or tell Deis to."""

    RETIRE = "retire"
    """Take away what ran beside: the canary's pods, the baseline, what was noted on the Deployment."""


class Intent(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is about to be done; written down before it is.

    Attributes:
        id: Of the analysis and the action, so that the same is not done twice.
        action: See `Action`.
        name: The Deployment, or the Deis app, that it changes.
        before: Template, or release, that is there now; `from` in the resource.
        after: Template, release, or number of pods, that is to be there; `to` in the resource.
        resource_version: Of the Deployment: with another one nothing is changed.
        tries: How often it was planned: anew when the Deployment changed in something else.
        since: When it was last planned.
    """

    id: str
    action: Action
    name: str
    before: str = msgspec.field(default="", name="from")
    after: str = msgspec.field(default="", name="to")
    resource_version: str = ""
    tries: int = 1
    since: datetime | None = None


class Evidence(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What one metric says, for people; see `monitor.canary.counts.MetricVerdict`.

    Attributes:
        metric: Name.
        stable: Share of the bad, stable arm.
        canary: Canary's.
        log_e: Logarithm of the evidence.
        threshold: Where it rolls back when the metric alone speaks.
        ratio_low: The ratio is above it.
        ratio_high: And below it.
        phi: Over-dispersion.
        watermark: Up to when the counts go.
    """

    metric: str
    stable: float | None = None
    canary: float | None = None
    log_e: float = 0.0
    threshold: float = 0.0
    ratio_low: float = 0.0
    ratio_high: float | None = None
    phi: float | None = None
    watermark: datetime | None = None


class Limit(msgspec.Struct, frozen=True):
    """From which duration on a request is slow, fixed at the start.

    Attributes:
        metric: Name.
        seconds: Edge of a bucket.
    """

    metric: str
    seconds: float


class Frozen(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """By what an analysis judges; fixed before it begins.

    Attributes:
        policy: See there.
        attribution: What tells the releases apart.
        limits: Of latency metrics.
        sources: Where each metric of the policy comes from, in its order: a `Source`, or `promQL`.
    """

    policy: Policy
    attribution: Attribution
    limits: tuple[Limit, ...] = ()
    sources: tuple[str, ...] = ()


class Basis(msgspec.Struct, frozen=True):
    """On which release of a dependency a release was judged.

    Attributes:
        name: The dependency, as `namespace/name`.
        release: Its stable release then.
    """

    name: str
    release: str


class Restarted(msgspec.Struct, frozen=True):
    """How often a pod's containers had restarted when an analysis began.

    Attributes:
        pod: Its name.
        count: More than 0.
    """

    pod: str
    count: int


class Why(msgspec.Struct, frozen=True):
    """Why a release goes back: the status' own reason says meanwhile what that waits for.

    Attributes:
        reason: One word.
        message: In a sentence.
    """

    reason: str
    message: Text = ""


class Said(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The newest verdict.

    Attributes:
        decision: See there.
        reason: See there.
        message: In a sentence.
        automatic: Whether it may be acted on without a person.
        until: End of the newest minute it knows.
    """

    decision: Decision
    reason: str
    message: Text = ""
    automatic: bool = False
    until: datetime | None = None


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """A condition as Kubernetes has it."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int = 0


class CanaryStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """See the module.

    Attributes:
        observed_generation: Of the spec that this follows.
        phase: See there.
        reason: Why it is in this phase, or does not leave it; one word.
        message: The same in a sentence.
        key: What is judged: resource, release and template.
        analysis: The key and when its analysis began: the same release may be withdrawn and come again.
        stable_release: Release of the stable arm.
        canary_release: Release that is judged.
        stable_hash: Hash of the stable arm's template.
        canary_hash: Hash of the judged one's.
        step: The step that runs, from 0.
        step_since: When it began.
        since: When the analysis began, a whole minute.
        restarts: What pods had restarted then; `None` before, and in what an earlier version wrote.
        held_since: Since when it waits for dependencies.
        pending: `promote` or `rollback`: waits for a person.
        basis: See `Basis`.
        frozen: See there.
        said: The newest verdict.
        evidence: What each metric says.
        intent: What is being done.
        done: Ids of what was done in this analysis.
        keep_until: See `Phase.PROMOTED`.
        back: Why it goes, or went, back.
        theirs: In a conflict, the hash of the template that was there: it is not judged.
        caused_by: The dependency whose rollback caused this one.
        verified: Dependencies' promotions that were told of already: `namespace/name@release`.
        conditions: For `kubectl wait`.
    """

    observed_generation: int = 0
    phase: Phase = Phase.IDLE
    reason: str = ""
    message: Text = ""
    key: str = ""
    analysis: str = ""
    stable_release: str = ""
    canary_release: str = ""
    stable_hash: str = ""
    canary_hash: str = ""
    step: int = 0
    step_since: datetime | None = None
    since: datetime | None = None
    restarts: tuple[Restarted, ...] | None = None
    held_since: datetime | None = None
    pending: str = ""
    basis: tuple[Basis, ...] = ()
    frozen: Frozen | None = None
    said: Said | None = None
    evidence: tuple[Evidence, ...] = ()
    intent: Intent | None = None
    done: tuple[str, ...] = ()
    keep_until: datetime | None = None
    back: Why | None = None
    theirs: str = ""
    caused_by: str = ""
    verified: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
