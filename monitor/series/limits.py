"""Every bound of a shard's series, each with its reason."""

from dataclasses import dataclass
from typing import Final

_MINUTE_NS: Final = 60_000_000_000

PATIENCE_NS: Final = _MINUTE_NS
"""A sample is attributed at the latest when the shard's clock is this far beyond it: its node may say nothing."""

SILENT_NS: Final = 10 * _MINUTE_NS
"""A node that has said nothing for so long is not waited for: it may have gone for ever."""

SLACK_NS: Final = 5 * _MINUTE_NS
"""Windows are kept for so long beyond `WINDOW_NS`: a question is asked of a watermark that is behind the clock."""

AHEAD_NS: Final = 60 * _MINUTE_NS
"""Times that are further ahead of the queue's are in totals only: nobody asks, and the slots would fill the memory."""


MOST_VALUE: Final = 1e200
"""A larger value counts as this: whatever lines say, no sum of them is infinite."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one shard. What is beyond them goes to the label set `_overflow`: sums stay exact.

    Attributes:
        apps: Apps with label sets of their own; all others are one.
        app_sets: Label sets of one app over all metrics, pods not told apart.
        own_sets: Of them, for one metric of the app's own rules.
        pod_sets: Label sets of one app over all metrics, pods told apart; beyond, its pods are one.
        sets: Label sets of all apps, pods told apart; beyond, an app gets no new ones.
        own_metrics: Metrics of apps' own rules; the samples of others are dropped.
        pending: Samples of one metric that wait for their pod to be certain; beyond, nobody served them.
        pending_sets: Label sets of them.
        idle_ns: A total without samples for so long, by the shard's clock, is forgotten.
    """

    apps: int = 1000
    app_sets: int = 2000
    own_sets: int = 500
    pod_sets: int = 8000
    sets: int = 100_000
    own_metrics: int = 5000
    pending: int = 500_000
    pending_sets: int = 20_000
    idle_ns: int = 24 * 60 * _MINUTE_NS
