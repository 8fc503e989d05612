"""Metrics made of lines: what rules give and series keep.

The words: a *metric* is a definition; a *label set* names one series of it; a *sample* is one line's contribution.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

UNKNOWN: Final = "_unknown"
"""Release of what belongs to no release that is known here; no release begins with `_`."""

OVERFLOW: Final = "_overflow"
"""Stands for all label sets beyond an app's budget, and for all apps beyond the bound; no name begins with `_`."""

STANDING: Final = ("namespace", "app", "process", "release")
"""Labels that every series has, before the metric's own."""


class Kind(StrEnum):
    """What a metric's samples are added up to."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """The definition of a metric.

    Attributes:
        name: As Prometheus knows it, in base units; without `_total` for a counter.
        kind: See `Kind`.
        help: One sentence.
        labels: Names of the labels beside the standing ones, in order.
        edges: Upper edges of a histogram's buckets, ascending, without the infinite one.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()


class LabelSet(msgspec.Struct, frozen=True, array_like=True):
    """What names one series of a metric.

    Attributes:
        namespace: Of the pod that served; where nothing tells, of the line's writer.
        app: The app.
        process: Process type, empty when unknown.
        release: Release; `UNKNOWN` when nothing tells it.
        pod: The pod that served, empty when unknown. Windows tell pods apart; what is scraped does not.
        labels: Values of the metric's own labels, in their order.
        upstream: `ip:port` to which a router passed the request. When it is not empty, namespace, app, process, release
            and pod are a guess that the pod at that address replaces as soon as it is certain which one that was.
    """

    namespace: str
    app: str
    process: str = ""
    release: str = ""
    pod: str = ""
    labels: tuple[str, ...] = ()
    upstream: str = ""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A trace that shows what a sample stands for.

    Attributes:
        trace_id: As the line had it: 16 or 32 hexadecimal digits.
        sample: Which sample of its `Samples` it belongs to.
    """

    trace_id: str
    sample: int


@dataclass(frozen=True, slots=True)
class Samples:
    """What one batch of lines adds to one metric; arrays have one element for each sample, in arrival order.

    Attributes:
        metric: The metric.
        sets: The distinct label sets.
        index: int32, which of `sets` each sample has.
        row: int64, ascending: the batch's row that each sample comes from; a row may give several. Which label sets are
            kept and which are beyond a budget goes by it, so that it does not depend on where a batch was cut.
        time_ns: int64, when it happened: the time of its line.
        values: float64, what it adds (counter), says (gauge) or observes (histogram, in base units); `None` when each
            sample is 1.
        exemplars: A few traces, at most one for each label set: of its last sample that has one.
    """

    metric: Metric
    sets: list[LabelSet]
    index: npt.NDArray[np.int32]
    row: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64] | None = None
    exemplars: tuple[Exemplar, ...] = ()
