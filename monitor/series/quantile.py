"""Quantiles and rates of what is in a window."""

import math
from collections.abc import Sequence
from typing import Final

from monitor.reading import Amount

_NS: Final = 1_000_000_000


def quantile(edges: Sequence[float], buckets: Sequence[int], ratio: float) -> float | None:
    """Estimate a quantile from the counts of buckets: linear inside a bucket, as Prometheus does.

    The true quantile (the smallest value that at least `ratio` of the samples do not exceed) lies in the same bucket,
    so the error is below the bucket's width. What lies above all edges is answered with the last edge; the true value
    is above it.

    Args:
        edges: Upper edges of the buckets, ascending, without the infinite one.
        buckets: Samples in each bucket, and then those above all edges: one more than `edges`.
        ratio: From 0 to 1.

    Returns:
        In the unit of the edges; `None` without samples.
    """
    count = sum(buckets)
    if not count or not edges:
        return None
    rank = max(0.0, min(1.0, ratio)) * count
    below = 0
    for index, edge in enumerate(edges):
        inside = buckets[index]
        if inside and below + inside >= rank:
            lower = _lower(edges, index)
            return lower + (edge - lower) * max(0.0, rank - below) / inside
        below += inside
    return edges[-1]


def _lower(edges: Sequence[float], index: int) -> float:
    """Where a bucket begins: the first at 0, or at its own edge where that is not above 0."""
    return edges[index - 1] if index else min(0.0, edges[0])


def per_second(amount: Amount, *, start_ns: int, stop_ns: int) -> float:
    """What a counter grew by each second of a window; of a histogram, the mean of its sum."""
    return amount.total * _NS / (stop_ns - start_ns)


def mean(amount: Amount) -> float | None:
    """Mean of a histogram's values; `None` without samples."""
    return amount.total / amount.count if amount.count and math.isfinite(amount.total) else None
