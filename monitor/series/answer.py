"""Parts of all shards, put together: a whole answer or none."""

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.metric import Kind, LabelSet, Metric
from monitor.reading import Amount, Answer, IncompleteError, Known, Question
from monitor.series.arrival import order_of
from monitor.series.gather import newer_of
from monitor.series.part import KnownPart, Newest, Part

Values = tuple[str, ...]


def merge(question: Question, parts: Sequence[Part], *, shards: int) -> Answer:
    """Put the parts of all shards together.

    Args:
        question: What was asked.
        parts: One of each shard, in any order.
        shards: How many there are.

    Raises:
        IncompleteError: A part is missing or unknown, the window begins before what a shard holds, or shards disagree
            on what the metric is; says which.
        KeyError: No shard knows a metric of that name.
    """
    by_shard = {part.shard: part for part in parts}
    _check(question, by_shard, shards)
    ordered = [by_shard[shard] for shard in sorted(by_shard)]
    metric = _metric(question, ordered)
    gauge = metric.kind == Kind.GAUGE
    return Answer(
        metric,
        min(part.watermark_ns for part in ordered),
        _newest(ordered) if gauge else _sums(ordered),
        sum(part.unattributed for part in ordered),
        sum(part.overflowed for part in ordered),
    )


def _check(question: Question, parts: Mapping[int, Part], shards: int) -> None:
    missing = [shard for shard in range(shards) if shard not in parts]
    if missing:
        raise IncompleteError(f"shards {_some(missing)} do not answer")
    unknown = [shard for shard, part in parts.items() if not part.watermark_ns]
    if unknown:
        raise IncompleteError(f"nothing is known to be complete of shards {_some(unknown)}")
    short = [shard for shard, part in parts.items() if part.held_ns > question.start_ns]
    if short:
        raise IncompleteError(f"shards {_some(short)} hold nothing of so long ago")
    mixed = [shard for shard, part in parts.items() if part.others]
    if mixed:
        raise IncompleteError(f"shards {_some(mixed)} have {question.metric} under several definitions")


def _some(shards: Sequence[int]) -> str:
    first = sorted(shards)[:10]
    return ", ".join(map(str, first)) + (" ..." if len(shards) > len(first) else "")


def _metric(question: Question, parts: Sequence[Part]) -> Metric:
    """The definition: of the shards that have samples, else of any that knows one."""
    known = [part.metric for part in parts if part.metric is not None]
    if not known:
        raise KeyError(question.metric)
    found = {part.metric for part in parts if part.metric is not None and (part.groups or part.newest)}
    if len(found) > 1:
        raise IncompleteError(f"shards have {question.metric} under several definitions")
    return found.pop() if found else known[0]


def _sums(parts: Sequence[Part]) -> dict[Values, Amount]:
    sums: dict[Values, Amount] = {}
    for group in (group for part in parts for group in part.groups):
        before = sums.get(group.values)
        if before is None:
            sums[group.values] = Amount(group.count, group.total, group.buckets)
        else:
            buckets = tuple(map(sum, zip(before.buckets, group.buckets, strict=True)))
            sums[group.values] = Amount(before.count + group.count, before.total + group.total, buckets)
    return sums


def _newest(parts: Sequence[Part]) -> dict[Values, Amount]:
    """Of a series that is in several shards, since its pod's lines moved, the newest value counts."""
    series: dict[LabelSet, Newest] = {}
    for newest in (newest for part in parts for newest in part.newest):
        before = series.get(newest.labels)
        series[newest.labels] = newest if before is None else newer_of(before, newest)
    sums: dict[Values, Amount] = {}
    for newest in series.values():
        before_sum = sums.get(newest.values, Amount(0, 0.0))
        sums[newest.values] = Amount(before_sum.count + newest.count, before_sum.total + newest.value)
    return sums


def merge_known(parts: Sequence[Sequence[KnownPart]]) -> list[Known]:
    """The metrics of all shards, by name; label sets that are in several shards count once."""
    by_metric: dict[Metric, list[KnownPart]] = {}
    for known in (known for part in parts for known in part):
        by_metric.setdefault(known.metric, []).append(known)
    return [
        Known(
            metric,
            len(np.unique(np.frombuffer(b"".join(known.sets for known in found), "<u8"))),
            max(known.newest_ns for known in found),
        )
        for metric, found in sorted(by_metric.items(), key=lambda each: order_of(each[0]))
    ]
