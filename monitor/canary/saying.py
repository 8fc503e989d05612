"""What a status says: its phase, why, and what the newest verdict was. Pure."""

from typing import Final

import msgspec

from monitor.canary.counts import Verdict
from monitor.canary.resource.status import CanaryStatus, Evidence, Phase, Said

_MESSAGE: Final = 1000


def with_verdict(status: CanaryStatus, verdict: Verdict) -> CanaryStatus:
    """The status with what the newest verdict says, once it is fixed by what is judged."""
    frozen = status.frozen
    if frozen is None:
        return status
    shown = tuple(
        Evidence(
            metric=each.metric,
            stable=each.stable,
            canary=each.canary,
            log_e=round(each.log_evidence, 3),
            threshold=round(each.threshold, 3),
            ratio_low=each.ratio_low,
            ratio_high=each.ratio_high,
            phi=each.phi,
        )
        for each in verdict.metrics
    )
    said = Said(verdict.decision, verdict.reason, verdict.message[:_MESSAGE], verdict.automatic)
    return msgspec.structs.replace(status, evidence=shown, said=said)


def to_phase(status: CanaryStatus, phase: Phase, reason: str, message: str) -> CanaryStatus:
    """The status in another phase, and why."""
    return because(msgspec.structs.replace(status, phase=phase), reason, message)


def because(status: CanaryStatus, reason: str, message: str) -> CanaryStatus:
    """The status with why it is as it is."""
    return msgspec.structs.replace(status, reason=str(reason), message=message[:_MESSAGE])
