"""What may follow when an analysis' time is over and nothing is decided. Pure."""

from typing import Final

from monitor.canary.counts import Reason, Verdict
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.spec import ActPolicy, OnInconclusive

NO_DATA: Final = "NoData"
"""Not one look has seen anything."""

TIME_OVER: Final = "TimeOver"

_UNKNOWN: Final = frozenset({NO_DATA, Reason.MISSING_DATA, Reason.UNATTRIBUTED})
"""Why nothing is decided, where what the release did is not known: nobody has seen that it does no harm."""


def reason_of(verdict: Verdict) -> str:
    """Why nothing is decided when the time is over, by a verdict that trusts what was seen.

    Minutes that it still waits for are missing by now.
    """
    return Reason.MISSING_DATA if verdict.reason == Reason.TOO_EARLY else TIME_OVER


def may_promote(canary: Canary, reason: str) -> bool:
    """Whether the release is promoted all the same: as asked for, and only if what it did is known.

    Args:
        canary: See there.
        reason: Why nothing is decided.
    """
    asked = canary.spec.on_inconclusive == OnInconclusive.PROMOTE and canary.spec.policy == ActPolicy.AUTO
    return asked and reason not in _UNKNOWN


def may_roll_back(canary: Canary) -> bool:
    """Whether the release goes back, as asked for."""
    return canary.spec.on_inconclusive == OnInconclusive.ROLLBACK and canary.spec.policy == ActPolicy.AUTO
