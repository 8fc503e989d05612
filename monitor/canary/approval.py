"""What a person lets happen, or stops, by annotations of a canary. Pure."""

from typing import Final

import msgspec

from monitor.canary.counts import Verdict
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.names import ABORT, APPROVE
from monitor.canary.resource.status import CanaryStatus
from monitor.canary.saying import because

PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"


def waiting(canary: Canary, what: str, verdict: Verdict) -> CanaryStatus:
    """The status with what waits for a person, and how it is let happen."""
    told = f"annotation {APPROVE}={canary.status.key}:{what} lets it happen: {verdict.message}"
    return because(msgspec.structs.replace(canary.status, pending=what), "WaitsForApproval", told)


def approved(canary: Canary, what: str) -> bool:
    """Whether a person let it happen, for this very analysis."""
    return canary.annotations.get(APPROVE) == f"{canary.status.key}:{what}"


def aborted(canary: Canary) -> bool:
    """Whether a person wants this analysis' release to go back."""
    return canary.annotations.get(ABORT) == canary.status.key
