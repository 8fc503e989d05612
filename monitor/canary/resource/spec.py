"""What a person asks of a canary. All but the target has a default; bounds are those of the resource's schema."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from monitor.canary.counts import Direction
from monitor.canary.resource.duration import Duration

Name = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Query = Annotated[str, Meta(min_length=1, max_length=4096)]

STEPS: Final = 20
METRICS: Final = 10
DEPENDENCIES: Final = 50


class Mode(StrEnum):
    """Where the two releases run."""

    TWO_DEPLOYMENTS = "twoDeployments"
    """Two Deployments behind one Service; the share of the traffic is the share of the pods."""

    SURGE = "surge"
    """One Deployment whose rollout is held while the new pods are judged."""

    BASELINE = "baseline"
    """The new release is deployed, as Deis does it; the one before runs on beside it in a Deployment of ours."""


class Attribution(StrEnum):
    """What tells which release served a request."""

    UPSTREAM = "upstream"
    """A router's lines name the pod's address."""

    POD_LINES = "podLines"
    """The pods write access lines themselves."""

    SERVICE = "service"
    """Each arm is an app of its own to the router."""


class Source(StrEnum):
    """Counts that the monitor has without being told how."""

    ERRORS = "errors"
    """Requests, and those answered with 500 or above."""

    LATENCY = "latency"
    """Requests, and those slower than a limit fixed at the start."""

    ERROR_LINES = "errorLines"
    """Seconds of ready pods, and lines of level error and above."""

    TRAFFIC = "traffic"
    """Pods, and requests: whether each arm is given its share."""


class TargetRef(msgspec.Struct, frozen=True, rename="camel"):
    """The Deployment that users' requests go to."""

    name: Name
    kind: Annotated[str, Meta(pattern="^Deployment$")] = "Deployment"
    api_version: Annotated[str, Meta(pattern="^apps/v1$")] = "apps/v1"


class Arms(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who is compared.

    Attributes:
        mode: See `Mode`.
        stable: `TWO_DEPLOYMENTS`: the stable Deployment, the target by default. `SERVICE`: also its app to the router.
        canary: `TWO_DEPLOYMENTS`: the canary's Deployment, the target's name with `-canary` by default. `BASELINE`: the
            name of our Deployment, `-baseline` by default. `SERVICE`: also its app to the router.
        attribution: See `Attribution`; by default the first that tells the stable release.
    """

    mode: Mode = Mode.TWO_DEPLOYMENTS
    stable: Name | None = None
    canary: Name | None = None
    attribution: Attribution | None = None


class Step(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the analysis.

    Attributes:
        pods: Of the canary; of the baseline where that is ours.
        min_time: How long it takes at least.
    """

    pods: Annotated[int, Meta(ge=1, le=1000)] = 1
    min_time: Duration = "10m"


class PromQL(msgspec.Struct, frozen=True):
    """Counts of one minute from Prometheus, as instant queries at its end.

    `$namespace`, `$app`, `$process` and `$release` stand for those of the arm.

    Attributes:
        total: How many. Not `n`: that is a truth value in YAML.
        bad: How many of them were bad.
    """

    total: Query
    bad: Query


class MetricSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One metric to judge by. It has either a source or a pair of queries.

    Attributes:
        name: Unique.
        source: See `Source`.
        prom_ql: See `PromQL`.
        direction: What is a harm.
        tolerance: Ratio that is no harm yet; by default it depends on the traffic.
        weight: Share of the evidence.
        min_requests: Below it nothing is promoted.
        warm_up: First part of the analysis, left out; whole minutes.
        limit_seconds: `LATENCY`: slower than this is slow; by default the edge nearest to the stable release's p95.
    """

    name: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
    source: Source | None = None
    prom_ql: PromQL | None = msgspec.field(default=None, name="promQL")
    direction: Direction = Direction.INCREASE
    tolerance: Annotated[float, Meta(ge=1, le=100)] | None = None
    weight: Annotated[float, Meta(ge=0.001, le=1000)] = 1.0
    min_requests: Annotated[float, Meta(ge=0, le=1e12)] = 100.0
    warm_up: Duration = "3m"
    limit_seconds: Annotated[float, Meta(gt=0, le=3600)] | None = None


class Dependence(StrEnum):
    """What a dependency's changes do to who depends on it."""

    HOLD = "hold"
    """Start only when no dependency is in change."""

    VERIFY = "verify"
    """And look again when one was promoted."""

    ROLLBACK = "rollback"
    """And go back with one that goes back."""


class DependsOn(msgspec.Struct, frozen=True, rename="camel"):
    """An edge of the graph.

    Attributes:
        name: Of another Canary; `namespace/name` in another namespace, which must grant it.
        policy: Each includes those before it.
    """

    name: Annotated[str, Meta(min_length=1, max_length=317, pattern=r"^([-a-z0-9]+/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    policy: Dependence = Dependence.HOLD


class ActPolicy(StrEnum):
    """Who acts."""

    AUTO = "auto"
    APPROVE = "approve"
    DRY_RUN = "dryRun"


class OnInconclusive(StrEnum):
    """What happens when the time is over and nothing is decided."""

    WAIT = "wait"
    PROMOTE = "promote"
    """Not while what the release did is unknown: then it waits."""

    ROLLBACK = "rollback"


class CanarySpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """See the module.

    Attributes:
        target_ref: See `TargetRef`.
        arms: See `Arms`.
        steps: One after the other.
        metrics: Errors, and latency where it is known, by default.
        false_rollback_rate: How often a good release may be rolled back.
        max_duration: After this nothing more is waited for.
        keep_stable: How long after a promotion late evidence still rolls back.
        policy: See `ActPolicy`.
        on_inconclusive: See `OnInconclusive`.
        depends_on: Edges of the graph.
        granted_to: Namespaces whose canaries may depend on this one.
        suspend: Nothing is begun and nothing is done.
    """

    target_ref: TargetRef
    arms: Arms = Arms()
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=STEPS)] = (Step(),)
    metrics: Annotated[tuple[MetricSpec, ...], Meta(max_length=METRICS)] = ()
    false_rollback_rate: Annotated[float, Meta(ge=0.0001, le=0.5)] = 0.01
    max_duration: Duration = "2h"
    keep_stable: Duration = "30m"
    policy: ActPolicy = ActPolicy.AUTO
    on_inconclusive: OnInconclusive = OnInconclusive.WAIT
    depends_on: Annotated[tuple[DependsOn, ...], Meta(max_length=DEPENDENCIES)] = ()
    granted_to: Annotated[tuple[Name, ...], Meta(max_length=DEPENDENCIES)] = ()
    suspend: bool = False

    @property
    def stable_name(self) -> str:
        """Name of the Deployment that users' requests go to."""
        return self.arms.stable or self.target_ref.name

    @property
    def canary_name(self) -> str:
        """Name of the second Deployment; empty where there is none."""
        suffixes = {Mode.TWO_DEPLOYMENTS: "-canary", Mode.BASELINE: "-baseline", Mode.SURGE: ""}
        suffix = suffixes[self.arms.mode]
        return (self.arms.canary or f"{self.target_ref.name}{suffix}") if suffix else ""
