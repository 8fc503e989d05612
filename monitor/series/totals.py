"""What a scrape shows: totals of all metrics of a shard at one moment, which change no more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.metric import LabelSet, Metric


@dataclass(frozen=True, slots=True)
class Trace:
    """The newest exemplar of a series.

    Attributes:
        trace_id: See `monitor.metric.Exemplar`.
        value: What its sample added or observed.
        time_ns: When.
    """

    trace_id: str
    value: float
    time_ns: int


@dataclass(frozen=True, slots=True)
class Totals:
    """One metric; arrays have one element for each of `sets`.

    Attributes:
        metric: Its definition.
        sets: Label sets, in the order in which they came; `pod` and `upstream` are empty.
        count: int64, samples.
        total: float64, sum of their values; of a gauge the newest.
        buckets: int64, one column for each edge of a histogram and one for what is above all; no column else.
        traces: Newest exemplars, by place in `sets`.
    """

    metric: Metric
    sets: Sequence[LabelSet]
    count: npt.NDArray[np.int64]
    total: npt.NDArray[np.float64]
    buckets: npt.NDArray[np.int64]
    traces: Mapping[int, Trace]
