"""What the monitor, or the API server, answers about canaries (docs/canary.md), and what it amounts to."""

from datetime import datetime
from typing import Final, TypeVar

import msgspec

from deis_logs.errors import ServerError

UNDECIDED_STATUS: Final = 4
"""Exit status: the analysis ended, and nothing was decided."""

BAD_STATUS: Final = 3
"""Exit status: the release went back, or would."""

_GOOD: Final = 0
_OF_PHASE: Final = {"Promoted": _GOOD, "RolledBack": BAD_STATUS}
_OF_REASON: Final = {"WouldPromote": _GOOD, "WouldRollBack": BAD_STATUS}


class Evidence(msgspec.Struct, frozen=True, rename="camel"):
    """What one metric says.

    Attributes:
        metric: Name.
        stable: Share of the bad, stable arm; `None` when nothing came.
        canary: The canary's.
        log_e: Natural logarithm of the evidence.
        threshold: Where it rolls back when the metric alone speaks.
        ratio_low: The ratio of canary to stable is above it.
        ratio_high: And below it; `None` for no bound.
        phi: What noise it was tempered with.
    """

    metric: str
    stable: float | None = None
    canary: float | None = None
    log_e: float = 0.0
    threshold: float = 0.0
    ratio_low: float = 0.0
    ratio_high: float | None = None
    phi: float | None = None

    @property
    def fraction(self) -> float:
        """How much of the threshold is reached, from 0."""
        return max(0.0, self.log_e / self.threshold) if self.threshold > 0 else 0.0


class Said(msgspec.Struct, frozen=True, rename="camel"):
    """The newest verdict.

    Attributes:
        decision: What follows from the counts.
        reason: Why.
        message: In a sentence.
        automatic: Whether it may be acted on without a person.
    """

    decision: str = ""
    reason: str = ""
    message: str = ""
    automatic: bool = False


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """A condition, as Kubernetes has it."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class Basis(msgspec.Struct, frozen=True):
    """On which release of a dependency the canary was judged."""

    name: str = ""
    release: str = ""


class Intent(msgspec.Struct, frozen=True, rename="camel"):
    """What is being done."""

    action: str = ""
    name: str = ""


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """How a canary stands; the names are those of the resource."""

    phase: str = "Idle"
    reason: str = ""
    message: str = ""
    key: str = ""
    stable_release: str = ""
    canary_release: str = ""
    step: int = 0
    since: datetime | None = None
    pending: str = ""
    basis: tuple[Basis, ...] = ()
    said: Said | None = None
    evidence: tuple[Evidence, ...] = ()
    intent: Intent | None = None
    keep_until: datetime | None = None
    caused_by: str = ""
    conditions: tuple[Condition, ...] = ()


class DependsOn(msgspec.Struct, frozen=True):
    """A dependency as the canary names it."""

    name: str = ""
    policy: str = ""


class Canary(msgspec.Struct, frozen=True, rename="camel"):
    """One canary.

    Attributes:
        namespace: Its own.
        name: In the namespace.
        policy: Who acts.
        target: The Deployment that is judged.
        decided: Whether its release is judged for good.
        depends_on: See there.
        status: See there.
    """

    namespace: str
    name: str
    policy: str = ""
    target: str = ""
    decided: bool = False
    depends_on: tuple[DependsOn, ...] = ()
    status: Status = Status()

    @property
    def path(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def fraction(self) -> float:
        """How near the loudest metric is to rolling back alone."""
        return max((each.fraction for each in self.status.evidence), default=0.0)

    @property
    def outcome(self) -> int | None:
        """The exit status of its end; `None` before it."""
        if not self.decided:
            return None
        status = self.status
        return _OF_PHASE.get(status.phase, _OF_REASON.get(status.reason, UNDECIDED_STATUS))


class Canaries(msgspec.Struct, frozen=True):
    """All that a token opens."""

    canaries: tuple[Canary, ...]


class Edge(msgspec.Struct, frozen=True):
    """A canary depends on another."""

    dependent: str = msgspec.field(name="from")
    to: str
    policy: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """Why a canary is not accepted."""

    reason: str = ""
    message: str = ""


class Graph(msgspec.Struct, frozen=True):
    """Canaries and who depends on whom.

    Attributes:
        nodes: All that a token opens.
        edges: Among them.
        refused: By path.
    """

    nodes: tuple[Canary, ...]
    edges: tuple[Edge, ...] = ()
    refused: dict[str, Refusal] = {}


class MetricVerdict(msgspec.Struct, frozen=True):
    """What one metric said at a minute; as `Evidence`."""

    metric: str
    log_evidence: float
    threshold: float


class Verdict(msgspec.Struct, frozen=True):
    """What would have been decided at a minute."""

    decision: str
    reason: str
    message: str
    log_evidence: float
    threshold: float
    metrics: tuple[MetricVerdict, ...] = ()


class Look(msgspec.Struct, frozen=True):
    """One minute of an analysis that was replayed, from 1."""

    minute: int
    verdict: Verdict


class Looks(msgspec.Struct, frozen=True):
    """All minutes up to the end, or to a rollback."""

    looks: tuple[Look, ...]


T = TypeVar("T")


def read(body: bytes, kind: type[T]) -> T:
    """Read an answer as `kind`.

    Raises:
        ServerError: It is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServerError(f"the answer is not that of a monitor ({error}): check --url") from error
