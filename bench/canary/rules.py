"""Who decides: counts of many analyses in, the minute of each one's rollback out (`NEVER` when there is none)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.canary.arms import Arms, Bools, Floats
from monitor.canary.counts import Direction
from monitor.canary.decide.atonce import total_outage
from monitor.canary.decide.evidence import log_evidence, log_mean
from monitor.canary.noise import dispersion, tempering

NEVER: Final = 10**6
"""Minute of a rollback that did not come: later than all others."""

Minutes = npt.NDArray[np.int64]


def ours(
    metrics: Sequence[Arms], history: Sequence[Arms], *, tolerance: float, weights: Floats, alpha: float
) -> Minutes:
    """The decider of the monitor, with the over-dispersion of each analysis' own history.

    Args:
        metrics: Counts of each metric, (analyses, minutes).
        history: A/A counts of each metric, (analyses, minutes).
        tolerance: r0, of all metrics.
        weights: Of the metrics, their sum is 1.
        alpha: False rollback rate.
    """
    paths = []
    for arms, before in zip(metrics, history, strict=True):
        noise = dispersion(before)
        phi = tempering(arms, phi=noise.phi, size=noise.size)
        paths.append(log_evidence(arms, null=tolerance, direction=Direction.INCREASE, phi=phi))
    together = log_mean(np.stack(paths), np.log(weights))
    return _first((together >= -np.log(alpha)) | total_outage(metrics[0]))


FLAGGER_SUCCESS: Final = 0.99
FLAGGER_FAILED_CHECKS: Final = 5


def flagger(arms: Arms) -> Minutes:
    """A static threshold each minute, and a rollback at the fifth minute that is beyond it.

    The success rate of the canary must be 99 %; a minute without requests is no check.
    """
    failed = (arms.canary_n > 0) & (arms.canary_e > (1 - FLAGGER_SUCCESS) * arms.canary_n)
    return _first(np.cumsum(failed, axis=-1) >= FLAGGER_FAILED_CHECKS)


KAYENTA_TOLERANCE: Final = 0.25
KAYENTA_QUANTILE: Final = 2.3263478740408408
"""Of the normal distribution, for an interval of 98 %."""

KAYENTA_EVERY: Final = 5
"""Minutes between looks; one look at the end would come an hour after the fault."""

AT_ONCE: Final = 250
"""Analyses whose pairs of minutes are in memory together."""


def kayenta(arms: Arms) -> Minutes:
    """The Mann-Whitney judge on the error ratios of all minutes so far, every five minutes.

    A metric is high when the lower end of the 98 % interval of the shift between the arms (Hodges and Lehmann) is above
    a quarter of the shift's estimate, and the ratio of means is above 1.
    """
    canary, stable = (
        np.divide(e, n, out=np.zeros_like(e), where=n > 0)
        for e, n in ((arms.canary_e, arms.canary_n), (arms.stable_e, arms.stable_n))
    )
    high = np.zeros(canary.shape, np.bool_)
    for look in range(KAYENTA_EVERY, canary.shape[1] + 1, KAYENTA_EVERY):
        for first in range(0, len(canary), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            high[some, look - 1] = _is_high(canary[some, :look], stable[some, :look])
    return _first(high)


def _is_high(canary: Floats, stable: Floats) -> Bools:
    minutes = canary.shape[1]
    shifts = (canary[:, :, np.newaxis] - stable[:, np.newaxis, :]).reshape(len(canary), -1)
    pairs, deviation = minutes**2, np.sqrt(minutes**2 * (2 * minutes + 1) / 12)
    lower_at = int(pairs / 2 - KAYENTA_QUANTILE * deviation - 0.5)
    if lower_at < 0:
        return np.zeros(len(canary), np.bool_)
    shifts.partition((lower_at, pairs // 2), axis=1)
    lower, estimate = shifts[:, lower_at], shifts[:, pairs // 2]
    result: Bools = (lower > KAYENTA_TOLERANCE * np.abs(estimate)) & (canary.mean(axis=1) > stable.mean(axis=1))
    return result


def _first(over: Bools) -> Minutes:
    """The first minute of each analysis that is over, counted from 1."""
    return np.where(over.any(axis=-1), over.argmax(axis=-1) + 1, NEVER)
