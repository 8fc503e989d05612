"""What a canary is judged by, and what the judgement says: counts of minutes in, a verdict out.

The words: an *arm* is a release under comparison, stable or canary; a *minute* holds what both arms did in the same
sixty seconds; *evidence* is by how much what was seen is likelier under "the canary is worse" than under "the canary is
as good as its tolerance allows"; a *verdict* is what follows. Nothing here reads a clock or does I/O.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

MINUTE_NS: Final = 60_000_000_000
"""Counts are of minutes, which begin and end at a multiple of it."""

Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Whole = Annotated[int, Meta(ge=0)]


class MetricKind(StrEnum):
    """What n and e of a metric's minutes are."""

    ERROR = "error"
    """n requests, e of them failed."""

    LATENCY = "latency"
    """n requests, e of them slower than a bucket's edge that was fixed before the analysis."""

    RATE = "rate"
    """n seconds that ready pods lived, e events (restarts, jobs done, lines with a fault)."""

    TRAFFIC = "traffic"
    """n seconds that ready pods lived, or planned shares; e requests that came. Says whether each arm is given what it
    should be, so it never rolls back: a comparison of other traffic than was planned is inconclusive."""


class Direction(StrEnum):
    """Which change of e/n is a harm."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class Minute(msgspec.Struct, frozen=True):
    """What both arms did in one complete minute.

    A minute that is not known is left out. Zeros say that it is known that nothing came.

    Attributes:
        start_ns: Its first nanosecond since the epoch.
        stable_n: Requests, or seconds of ready pods, of the stable arm.
        stable_e: Errors, slow requests or events among them.
        canary_n: As `stable_n`, of the canary.
        canary_e: As `stable_e`, of the canary.
    """

    start_ns: int
    stable_n: Amount
    stable_e: Amount
    canary_n: Amount
    canary_e: Amount


class MetricCounts(msgspec.Struct, frozen=True):
    """The known minutes of one metric, ascending and each at most once.

    Attributes:
        metric: Name, as in the policy.
        minutes: Those of the analysis, warm-up included.
    """

    metric: str
    minutes: tuple[Minute, ...] = ()


class Signals(msgspec.Struct, frozen=True):
    """What is known of the arms beside the counts, at the end of the newest complete minute.

    Attributes:
        stable_pods: Pods that the stable arm should have.
        stable_ready: Pods of it that are ready.
        stable_restarts: Container restarts of its pods since the analysis began.
        stable_crash_loops: Pods of it that wait to be started again after a crash (`CrashLoopBackOff`).
        canary_pods: As `stable_pods`, of the canary, and so on.
        canary_ready: Ready ones.
        canary_restarts: Restarts since the analysis began.
        canary_crash_loops: Pods that wait after a crash.
        unattributed_share: Of the requests to the app in the analysis' minutes, those that belong to no known release.
    """

    stable_pods: Whole = 0
    stable_ready: Whole = 0
    stable_restarts: Whole = 0
    stable_crash_loops: Whole = 0
    canary_pods: Whole = 0
    canary_ready: Whole = 0
    canary_restarts: Whole = 0
    canary_crash_loops: Whole = 0
    unattributed_share: Share = 0.0


class Observation(msgspec.Struct, frozen=True):
    """All that one look at an analysis sees.

    Attributes:
        start_ns: When the analysis began: a multiple of `MINUTE_NS`.
        until_ns: End of the newest minute that ought to be known by now, a multiple of `MINUTE_NS`. Who looks takes it
            from a clock, not from the data, so that data that stopped coming shows as missing minutes.
        metrics: Counts, in any order; a metric of the policy that has none is missing data.
        signals: The state of both arms.
    """

    start_ns: int
    until_ns: int
    metrics: tuple[MetricCounts, ...]
    signals: Signals = Signals()


class MetricPolicy(msgspec.Struct, frozen=True):
    """How one metric is judged.

    Attributes:
        name: Unique within the policy.
        kind: What n and e are.
        direction: What is a harm.
        weight: Its share of the evidence, relative to the other metrics'; of no meaning for `TRAFFIC`.
        tolerance: Ratio of canary to stable that is still no harm, at least 1 (for `DECREASE` its inverse is); `None`
            for the default, which depends on the traffic.
        phi: Over-dispersion from history (`monitor.canary.noise`), at least 1; `None` when there is no history.
        phi_size: `Noise.size` of that history; in minutes that compare more, phi grows. `None`: it does not.
        min_requests: Below this n of the canary over the analysis nothing is promoted.
        warm_up_minutes: First minutes of the analysis that are left out.
    """

    name: str
    kind: MetricKind = MetricKind.ERROR
    direction: Direction = Direction.INCREASE
    weight: Annotated[float, Meta(gt=0)] = 1.0
    tolerance: Annotated[float, Meta(ge=1)] | None = None
    phi: Annotated[float, Meta(ge=1)] | None = None
    phi_size: Annotated[float, Meta(gt=0)] | None = None
    min_requests: Amount = 100.0
    warm_up_minutes: Whole = 3


class Policy(msgspec.Struct, frozen=True):
    """How an analysis is judged.

    Attributes:
        metrics: At least one that is not `TRAFFIC`.
        false_rollback_rate: The promise: a canary that is within its tolerances is rolled back with at most this
            probability over the whole analysis, however often it is looked at.
        min_minutes: Minutes, without the warm-up, that every metric needs before anything is promoted.
    """

    metrics: tuple[MetricPolicy, ...]
    false_rollback_rate: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    min_minutes: Annotated[int, Meta(ge=1)] = 10


class Decision(StrEnum):
    """What follows from the counts."""

    CONTINUE = "continue"
    """Nothing speaks against the canary, and too little was seen to promote it."""

    ROLLBACK = "rollback"
    PROMOTABLE = "promotable"
    """Nothing speaks against the canary, and enough was seen; whether all steps are done is not decided here."""

    INCONCLUSIVE = "inconclusive"
    """What was seen cannot be trusted. Looking again later may help."""


class Reason(StrEnum):
    """Why; each belongs to one decision."""

    EVIDENCE = "Evidence"
    TOTAL_OUTAGE = "TotalOutage"
    CRASH_LOOP = "CrashLoop"

    TOO_EARLY = "TooEarly"
    TOO_FEW_REQUESTS = "TooFewRequests"
    NOT_READY = "NotReady"

    WITHIN_TOLERANCE = "WithinTolerance"

    MISSING_DATA = "MissingData"
    UNATTRIBUTED = "Unattributed"
    TRAFFIC_SHARE = "TrafficShare"


class MetricVerdict(msgspec.Struct, frozen=True):
    """What one metric says. Logarithms are natural.

    Attributes:
        metric: Name.
        stable: e/n of the stable arm after the warm-up; `None` when its n is 0.
        canary: e/n of the canary; `None` when its n is 0.
        ratio: Canary to stable, by the minutes' own shares of traffic; `None` when nothing tells it.
        ratio_low: Ratios below it are excluded at the policy's rate, 0 when none are.
        ratio_high: Ratios above it are excluded; `None` when none are.
        log_evidence: Logarithm of the evidence at the newest minute.
        peak_log_evidence: The largest it was at any minute.
        threshold: What the logarithm must reach when this metric alone speaks.
        phi: What the evidence was tempered with, at most.
        tolerance: What it is evidence against.
        minutes: How many went into it.
        missing: How many of the analysis are not known.
        canary_n: n of the canary in those that went in.
    """

    metric: str
    stable: float | None
    canary: float | None
    ratio: float | None
    ratio_low: float
    ratio_high: float | None
    log_evidence: float
    peak_log_evidence: float
    threshold: float
    phi: float
    tolerance: float
    minutes: int
    missing: int
    canary_n: float


class Verdict(msgspec.Struct, frozen=True):
    """What follows from one look, and everything it was decided by.

    Attributes:
        decision: What follows.
        reason: Why.
        message: The same in a sentence, with the figures.
        automatic: Whether it may be acted upon without a person: false when a metric has no history of noise, unless
            the reason is a total outage or a crash loop.
        log_evidence: Logarithm of the metrics' evidence together, at the newest minute.
        peak_log_evidence: The largest it was at any minute; the rollback goes by it, so it stays once it is due.
        threshold: Logarithm of the evidence at which the canary is rolled back: `ln(1/false_rollback_rate)`.
        crossed_ns: End of the first minute at which the evidence reached the threshold.
        metrics: What each metric says, in the policy's order.
    """

    decision: Decision
    reason: Reason
    message: str
    automatic: bool
    log_evidence: float
    peak_log_evidence: float
    threshold: float
    crossed_ns: int | None = None
    metrics: tuple[MetricVerdict, ...] = ()
