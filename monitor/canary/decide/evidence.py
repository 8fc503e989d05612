"""Evidence over time: minutes multiplied, alternatives and onsets averaged.

E_t = sum over onsets s of weight_s x sum over alternatives j of prior_j x exp(sum of minutes from s to t of l_j / phi).

As long as the canary is within its tolerance (and phi is 1, or as large as the noise is), E begins at 1 and on average
never grows, so it ever reaches 1/alpha with probability alpha at most, however often one looks (Ville). That is why a
rollback may go by the largest E of all minutes. An average of such E, over metrics too, is one again, however they
depend on each other.
"""

from typing import Final

import numpy as np

from monitor.canary.arms import Arms, Floats
from monitor.canary.counts import Direction
from monitor.canary.decide.likelihood import LOG_PRIOR, tempered

ONSETS: Final[tuple[tuple[int, float], ...]] = (
    (0, 0.8), (10, 0.04), (20, 0.04), (30, 0.04), (40, 0.04), (50, 0.04),
)  # fmt: skip
"""From how many minutes after the warm-up on the canary may have gone bad, and what part of the evidence that has.

With half of it for later onsets a canary that is bad from the start is found a tenth later than with a fifth.
"""


def log_evidence(
    arms: Arms, *, null: float, direction: Direction, phi: Floats | float = 1.0, warm_up_minutes: int = 0
) -> Floats:
    """Logarithm of the evidence after each minute.

    Args:
        arms: Counts, (..., minutes).
        null: The tolerance, at least 1.
        direction: What is a harm.
        phi: Over-dispersion, at least 1, broadcasts against (..., minutes).
        warm_up_minutes: How many minutes at the beginning are left out.

    Returns:
        (..., minutes); 0 is no evidence, negative speaks for the canary.
    """
    factor = np.asarray(phi, np.float64)
    sides = [Direction.INCREASE, Direction.DECREASE] if direction is Direction.EITHER else [direction]
    paths = [
        mixed_over_time(tempered(arms, null=null, direction=side, phi=factor), warm_up_minutes=warm_up_minutes)
        for side in sides
    ]
    return log_mean(np.stack(paths), np.log(np.full(len(sides), 1.0 / len(sides))))


def mixed_over_time(minutes: Floats, *, warm_up_minutes: int) -> Floats:
    """Average over onsets and alternatives after each minute: (..., minutes, alternatives) to (..., minutes)."""
    sums = np.cumsum(minutes, axis=-2)
    return log_mean(
        np.stack([_since(sums, warm_up_minutes + onset) for onset, _ in ONSETS]),
        np.log(np.array([weight for _, weight in ONSETS])),
    )


def _since(sums: Floats, onset: int) -> Floats:
    """Average over the alternatives of what came from a minute on; before it nothing is known."""
    late = np.zeros_like(sums)
    if onset == 0:
        late = sums
    elif onset < sums.shape[-2]:
        late[..., onset:, :] = sums[..., onset:, :] - sums[..., onset - 1 : onset, :]
    return log_mean(np.moveaxis(late, -1, 0), LOG_PRIOR)


def log_mean(logs: Floats, log_weights: Floats) -> Floats:
    """Logarithm of the weighted mean of what the logarithms along the first axis stand for, without overflow."""
    weighted = logs + log_weights.reshape(-1, *(1,) * (logs.ndim - 1))
    largest = weighted.max(axis=0)
    result: Floats = largest + np.log(np.exp(weighted - largest).sum(axis=0))
    return result
