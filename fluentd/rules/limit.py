"""A rate limit in the time of the lines: how fast the container wrote, not how fast the agent reads.

A backlog that is read after an hour passes as it would have then. Tokens come at the change of a second, so that the
lines of a second are a mere count, however they lie in chunks.
"""

from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules.state import Working


def refill(state: Working, limit: RateLimit | None, second: int) -> None:
    """Go on to a line of `second`. A clock that steps back stands still here. Without any time there is no limit."""
    if limit is not None and not state.second:
        state.tokens = limit.burst
    if second <= state.second:
        return
    if limit is not None and state.second:
        state.tokens = min(limit.burst, state.tokens + limit.per_second * (second - state.second))
    state.second = second


def cost_of(limit: RateLimit, size: int) -> int:
    """What a line of `size` stored bytes takes."""
    return 1 if limit.unit is Unit.LINES else size


def admit(state: Working, limit: RateLimit, size: int) -> bool:
    """Whether a line passes; takes its tokens if so. The last one may take more than there are."""
    if state.tokens <= 0:
        return False
    state.tokens -= cost_of(limit, size)
    return True


def charge_piece(state: Working, limit: RateLimit, size: int) -> None:
    """A further piece of a line that passed: it passes too, and its bytes count."""
    if limit.unit is Unit.BYTES:
        state.tokens -= size
