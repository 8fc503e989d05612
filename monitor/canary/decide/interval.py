"""Which ratios of the arms the counts exclude: those that, taken for the tolerance, would be rejected now.

The evidence falls as the null rises (the likelihood is concave in the logarithm of the ratio), so each bound is one
crossing, found by laying a grid over the interval that holds it, again and again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.canary.arms import Arms, Bools, Floats
from monitor.canary.decide.evidence import ONSETS, log_mean
from monitor.canary.decide.likelihood import LOG_PRIOR, MINUTE_LIMIT, RATIOS, log_ratios

Indexes = npt.NDArray[np.int64]

FURTHEST: Final = np.log(1e4)
"""Ratios beyond ten thousand, or below its inverse, are not told apart."""

POINTS: Final = 9
ROUNDS: Final = 6


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """What is known of canary to stable; `low` is 0 and `high` is `None` where nothing is excluded."""

    low: float
    high: float | None


def ratio_interval(arms: Arms, *, phi: Floats, log_threshold: float, warm_up_minutes: int = 0) -> RatioInterval:
    """Ratios that the counts of one analysis, of shape (minutes,), do not exclude, to four digits.

    phi broadcasts against (minutes,). Each bound by itself is exceeded with at most the probability that the threshold
    stands for.
    """
    counted = arms.from_minute(warm_up_minutes).compared()
    telling = counted.stable_e + counted.canary_e > 0
    kept, at = _only(counted, telling), np.flatnonzero(telling) - warm_up_minutes
    tempering = np.broadcast_to(phi, telling.shape)[telling, np.newaxis]
    low = _crossing(kept, at, sign=1.0, phi=tempering, log_threshold=log_threshold)
    high = _crossing(kept, at, sign=-1.0, phi=tempering, log_threshold=log_threshold)
    return RatioInterval(0.0 if low is None else float(np.exp(low)), None if high is None else float(np.exp(high)))


def _only(arms: Arms, kept: Bools) -> Arms:
    return Arms(arms.stable_n[kept], arms.stable_e[kept], arms.canary_n[kept], arms.canary_e[kept], arms.known[kept])


def _crossing(arms: Arms, at: Indexes, *, sign: float, phi: Floats, log_threshold: float) -> float | None:
    """Logarithm of the ratio at which the evidence for more (sign 1) or less (-1) falls to the threshold."""
    rejected, allowed = -sign * FURTHEST, sign * FURTHEST
    if _at_newest(arms, at, np.array([rejected]), sign=sign, phi=phi)[0] < log_threshold:
        return None
    for _ in range(ROUNDS):
        nulls = np.linspace(rejected, allowed, POINTS)
        over = _at_newest(arms, at, nulls, sign=sign, phi=phi) >= log_threshold
        last = max(0, int(over.sum()) - 1)
        rejected, allowed = nulls[last], nulls[min(last + 1, POINTS - 1)]
    return float(rejected)


def _at_newest(arms: Arms, at: Indexes, log_nulls: Floats, *, sign: float, phi: Floats) -> Floats:
    """Logarithm of the evidence at the newest minute against each null: (nulls,)."""
    null = np.exp(log_nulls)[:, np.newaxis, np.newaxis]
    logs = np.minimum(log_ratios(arms, null=null, ratios=RATIOS**sign) / phi, MINUTE_LIMIT)
    sums = np.stack([logs[:, at >= onset].sum(axis=1) for onset, _ in ONSETS])
    by_onset = log_mean(np.moveaxis(sums, -1, 0), LOG_PRIOR)
    return log_mean(by_onset, np.log(np.array([weight for _, weight in ONSETS])))
