"""Batches made of lines by hand."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from monitor.metric import LabelSet, Samples
from pipeline.lines.batch import Batch, ChunkFacts

WEB = ChunkFacts("shop", "web", "v3", "shop-web-1", "shop-web", "n1", b"s1", 0, "shop")
GAP = b"2026-11-24T19:00:00.000000001Z stdout F "


@dataclass(frozen=True)
class Line:
    """A line and who wrote it."""

    content: bytes
    facts: ChunkFacts = WEB
    stream: int = 0
    time_ns: int = 1_790_000_000_000_000_000


def make_batch(lines: Sequence[Line]) -> Batch:
    """The lines in this order, with what the runtime puts between them."""
    parts, starts, stops, size = [], [], [], 0
    for line in lines:
        parts.append(GAP + line.content + b"\n")
        starts.append(size + len(GAP))
        stops.append(size + len(GAP) + len(line.content))
        size += len(parts[-1])
    facts = list(dict.fromkeys(line.facts for line in lines))
    rows = len(lines)
    return Batch(
        shard=0,
        first_offset=0,
        next_offset=1,
        buffer=b"".join(parts),
        starts=np.array(starts, np.int64),
        stops=np.array(stops, np.int64),
        time_ns=np.array([line.time_ns for line in lines], np.int64),
        order_ns=np.array([line.time_ns for line in lines], np.int64),
        stream=np.array([line.stream for line in lines], np.uint8),
        offset=np.array(starts, np.int64),
        continuation=np.zeros(rows, np.int32),
        facts_index=np.array([facts.index(line.facts) for line in lines], np.int32),
        queue_offset=np.zeros(rows, np.int64),
        facts=facts,
        heartbeats={},
        arrived_ns=0,
    )


def sums(samples: Sequence[Samples]) -> dict[str, dict[LabelSet, tuple[int, float]]]:
    """Of each metric and label set: how many samples, and the sum of their values."""
    counts: dict[str, Counter[LabelSet]] = {}
    totals: dict[str, Counter[LabelSet]] = {}
    for each in samples:
        values = each.values if each.values is not None else np.ones(len(each.index))
        count, total = counts.setdefault(each.metric.name, Counter()), totals.setdefault(each.metric.name, Counter())
        for index, value in zip(each.index.tolist(), values.tolist(), strict=True):
            count[each.sets[index]] += 1
            total[each.sets[index]] += value
    return {
        name: {labels: (number, round(totals[name][labels], 6)) for labels, number in of_sets.items()}
        for name, of_sets in counts.items()
    }


@pytest.fixture(scope="session")
def batch_of() -> Callable[[Sequence[Line]], Batch]:
    return make_batch


@pytest.fixture(scope="session")
def line() -> type[Line]:
    return Line


@pytest.fixture(scope="session")
def web() -> ChunkFacts:
    return WEB


@pytest.fixture(scope="session")
def added() -> Callable[[Sequence[Samples]], dict[str, dict[LabelSet, tuple[int, float]]]]:
    return sums
