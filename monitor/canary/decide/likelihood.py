"""How much likelier a minute is when the canary is r times as bad as it may be, than when it is just that bad.

Given that k = stable_e + canary_e events happened in a minute, each fell to the canary with probability
q(r) = w r / (1 - w + w r), where w is the canary's part of n and r the ratio of the arms' rates. Whatever moves the
rate of both arms alike is in k and cancels. The logarithm of the likelihood ratio of r r0 to r0 is

    l(r) = canary_e ln[q(r r0) / q(r0)] + stable_e ln[(1 - q(r r0)) / (1 - q(r0))].

exp(l) has a mean of at most 1 as long as the true ratio is at most r0, be the events Poisson (rates) or binomial of any
probability (errors among requests): with A and B the two fractions above, E[A^canary_e B^stable_e] is
(1 + p r0 (A - 1))^canary_n (1 + p (B - 1))^stable_n for binomials, at most
exp(p (canary_n r0 (A - 1) + stable_n (B - 1))) = exp(0).
"""

from typing import Final

import numpy as np

from monitor.canary.arms import Arms, Floats
from monitor.canary.counts import Direction

RATIOS: Final[Floats] = np.array([1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 200.0])
"""By how much the canary may be worse than its tolerance, before it is known by how much it is."""

LOG_PRIOR: Final[Floats] = np.log(np.array([0.5, 1.0, 2.0, 2.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.5]) / 11.7)
"""Logarithms of what part of the evidence each of `RATIOS` has; their sum is 1."""

MINUTE_LIMIT: Final = 3.0
"""Most that one minute may add to the logarithm of the evidence, tempered: a factor of 20.

So no single minute rolls back, however bad, and two may. A bound from above keeps the mean of the factor below 1.
It takes noise with heavy tails (one minute of a burst of errors in one arm) from 1.2 % false rollbacks to 0.2 %.
"""


def log_ratios(arms: Arms, *, null: Floats, ratios: Floats) -> Floats:
    """The logarithm l of each minute for each ratio.

    Args:
        arms: Counts, (..., minutes).
        null: r0, broadcasts against (..., minutes, ratios).
        ratios: r, (ratios,): above 1 the canary is worse, below 1 the stable arm is.

    Returns:
        (..., minutes, ratios), 0 in minutes that do not compare the arms.
    """
    counted = arms.compared()
    share = arms.share[..., np.newaxis]
    # ln[(1 - q(r r0)) / (1 - q(r0))]; the canary's fraction is that times r.
    stable = np.log1p(share * (null - 1.0)) - np.log1p(share * (null * ratios - 1.0))
    canary = stable + np.log(ratios)
    return canary * counted.canary_e[..., np.newaxis] + stable * counted.stable_e[..., np.newaxis]


def tempered(arms: Arms, *, null: float, direction: Direction, phi: Floats) -> Floats:
    """What each minute adds to the logarithm of the evidence, for each alternative of one direction.

    Args:
        arms: Counts, (..., minutes).
        null: The tolerance, at least 1; for `DECREASE` its inverse is the null.
        direction: `INCREASE` or `DECREASE`.
        phi: Over-dispersion, broadcasts against (..., minutes): noise that varies phi times as much as chance makes a
            phi-th of the evidence.

    Returns:
        (..., minutes, alternatives), none above `MINUTE_LIMIT`.
    """
    sign = -1.0 if direction is Direction.DECREASE else 1.0
    logs = log_ratios(arms, null=np.float64(null) ** np.array([sign]), ratios=RATIOS**sign)
    return np.minimum(logs / phi[..., np.newaxis], MINUTE_LIMIT)
