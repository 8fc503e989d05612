"""What is told of a promoted release after its dependencies were promoted, too. Pure."""

from typing import Final

import msgspec

from monitor.canary.approval import ROLLBACK
from monitor.canary.counts import Decision
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.names import APPROVE
from monitor.canary.resource.status import CanaryStatus
from monitor.canary.saying import because
from monitor.canary.world import World

VERIFIED: Final = 50
"""Most promotions of dependencies that are remembered."""


def looked_again(canary: Canary, world: World) -> CanaryStatus:
    """Tell once how it does since its dependencies were promoted; there is no control arm, so a person decides."""
    names = world.ruling.verify
    status = msgspec.structs.replace(canary.status, verified=(*canary.status.verified, *names)[-VERIFIED:])
    told = f"since the promotion of {', '.join(names)}: "
    if world.again is None:
        return because(status, "Verify", f"{told}look at it again, there are no counts of before and after")
    if world.again.decision != Decision.ROLLBACK:
        return because(status, "Verified", told + world.again.message)
    status = msgspec.structs.replace(status, pending=ROLLBACK)
    return because(status, "VerifyFailed", f"{told}{world.again.message} ({APPROVE}={status.key}:{ROLLBACK} goes back)")
