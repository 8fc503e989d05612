"""What needs no weighing: a canary that fails all its requests, and one whose pods keep crashing.

Both are rules, not tests: they hold without a history of noise. That the stable arm does not do the same is part of
each, so a dependency that takes both arms down rolls nothing back.
"""

from typing import Final, TypeVar

import numpy as np

from monitor.canary.arms import Arms, Bools, Floats
from monitor.canary.counts import Signals

OUTAGE_REQUESTS: Final = 10.0
"""In two minutes together each arm must have had as many."""

OUTAGE_SHARE: Final = 0.9
"""In each of two minutes in a row as much of the canary's requests failed, or more."""

HEALTHY_SHARE: Final = 0.25
"""In two minutes together no more of the stable arm's requests failed. An arm of 10 requests that fails a quarter at
random fails nine tenths with a probability of 0.00003."""

CRASHES: Final = 3
"""Restarts of the canary's containers that are no accident any more, when the stable arm has not as many a pod."""


def total_outage(arms: Arms) -> Bools:
    """After which minutes the canary is known to fail everything: (..., minutes). The warm-up counts as well."""
    failed = (arms.canary_n > 0) & (arms.canary_e >= OUTAGE_SHARE * arms.canary_n)
    stable_n, stable_e, canary_n = (
        counts + _minute_before(counts) for counts in (arms.stable_n, arms.stable_e, arms.canary_n)
    )
    stable_fine = stable_e <= HEALTHY_SHARE * stable_n
    enough = (canary_n >= OUTAGE_REQUESTS) & (stable_n >= OUTAGE_REQUESTS)
    result: Bools = failed & _minute_before(failed) & stable_fine & enough
    return result


Counts = TypeVar("Counts", Floats, Bools)


def _minute_before(values: Counts) -> Counts:
    result: Counts = np.concatenate([np.zeros_like(values[..., :1]), values[..., :-1]], axis=-1)
    return result


def crash_loop(signals: Signals) -> bool:
    """Whether half of the canary's pods wait after crashes, or they restart again and again, and stable's do not."""
    canary_pods, stable_pods = max(signals.canary_pods, 1), max(signals.stable_pods, 1)
    waiting, waiting_stable = signals.canary_crash_loops / canary_pods, signals.stable_crash_loops / stable_pods
    restarts, restarts_stable = signals.canary_restarts / canary_pods, signals.stable_restarts / stable_pods
    looping = waiting >= 0.5 and waiting > 2 * waiting_stable  # noqa: PLR2004 - half, and twice as many
    crashing = signals.canary_restarts >= CRASHES and restarts >= 1 and restarts > 3 * restarts_stable
    return looping or crashing
