"""Access lines of any format as columns, and the samples that they make."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.metric import Exemplar, Metric, Samples
from monitor.rules.builtin import (
    REQUEST_SECONDS,
    REQUESTS,
    RESPONSE_BYTES,
    TRIES,
    TRY_SECONDS,
    WITHOUT_UPSTREAM,
)
from monitor.rules.codes import I32, I64
from monitor.rules.columns import Column, Who, label_sets
from monitor.rules.numbers import F64

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other")
OTHER_METHOD: Final = len(METHODS) - 1

CODES: Final = (*(f"{code:03d}" for code in range(1000)), "")
"""Values of the label `code`, by number; the last one stands for a try whose answer is not told."""
NO_CODE: Final = len(CODES) - 1

NO_UPSTREAM: Final = -1


@dataclass(frozen=True, slots=True)
class Tries:
    """Requests as a router passed them on; arrays have one element for each try, ascending by request.

    Attributes:
        request: int64, which request each belongs to.
        code: int32, the answer, index into `CODES`.
        seconds: float64, NaN when not told.
        upstream: int32, index into `Access.upstreams`.
    """

    request: I64
    code: I32
    seconds: F64
    upstream: I32


@dataclass(frozen=True, slots=True)
class Access:
    """Access lines of one source, in arrival order; arrays have one element for each.

    Attributes:
        source: Value of the label: which kind of writer.
        rows: int64, ascending: rows in the batch.
        time_ns: int64, times of the lines.
        who: Whose requests, as far as the lines and their writers tell.
        method: int32, index into `METHODS`.
        code: int32, the answer's status, index into `CODES`.
        seconds: float64, how long it took, NaN when not told.
        size: float64, bytes of the answer, NaN when not told.
        tries: Of routers: each try, and none for a request that was passed to no pod.
        upstreams: Addresses that `tries` speak of. The first is empty: it says nothing of who served.
        traces: Trace ids by request, which ascend.
    """

    source: str
    rows: I64
    time_ns: I64
    who: Who
    method: I32
    code: I32
    seconds: F64
    size: F64
    tries: Tries | None = None
    upstreams: tuple[str, ...] = ("",)
    traces: Mapping[int, str] = field(default_factory=dict)


def access_samples(access: Access) -> Iterator[Samples]:
    """What access lines add to the built-in metrics."""
    if not len(access.rows):
        return
    upstream = _last_upstream(access)
    source, method, code = (
        Column.same(access.source, len(access.rows)),
        Column(access.method, METHODS),
        Column(access.code, CODES),
    )
    yield _samples(access, REQUESTS, [source, method, code], upstream)
    yield _samples(access, REQUEST_SECONDS, [source], upstream, values=access.seconds)
    yield _samples(access, RESPONSE_BYTES, [source], upstream, values=access.size)
    if access.tries is not None:
        yield from _try_samples(access, access.tries, upstream)
        passed = np.zeros(len(access.rows), np.bool_)
        passed[access.tries.request] = True
        if not passed.all():
            yield _samples(access, WITHOUT_UPSTREAM, [source, code], None, which=np.flatnonzero(~passed))


def _last_upstream(access: Access) -> Column | None:
    """The address that each request was passed to in the end; empty where there is none."""
    if access.tries is None or not any(access.upstreams):
        return None
    last = np.zeros(len(access.rows), np.int32)
    last[access.tries.request] = access.tries.upstream  # the last of several writes stays
    return Column(last, access.upstreams)


def _try_samples(access: Access, tries: Tries, upstream: Column | None) -> Iterator[Samples]:
    """Each try as a request of its own."""
    source = Column.same(access.source, len(tries.request))
    each = Access(
        source=access.source,
        rows=access.rows[tries.request],
        time_ns=access.time_ns[tries.request],
        who=access.who.of(tries.request),
        method=access.method,
        code=tries.code,
        seconds=tries.seconds,
        size=tries.seconds,
    )
    to = None if upstream is None else Column(tries.upstream, access.upstreams)
    yield _samples(each, TRIES, [source, Column(tries.code, CODES)], to)
    yield _samples(each, TRY_SECONDS, [source], to, values=tries.seconds)


def _samples(
    access: Access,
    metric: Metric,
    labels: Sequence[Column],
    upstream: Column | None,
    *,
    which: I64 | None = None,
    values: F64 | None = None,
) -> Samples:
    """Samples of some of the requests, else of all, or of all that have a value."""
    if values is not None and (absent := np.isnan(values)).any():
        which = np.flatnonzero(~absent)
    if which is None:
        index, sets = label_sets(access.who, labels, upstream)
        traces = exemplars(access.traces, np.arange(len(index)), index) if metric.edges else ()
        return Samples(metric, sets, index, access.rows, access.time_ns, values, traces)
    index, sets = label_sets(
        access.who.of(which), [label.of(which) for label in labels], upstream and upstream.of(which)
    )
    traces = exemplars(access.traces, which, index) if metric.edges else ()
    values = None if values is None else values[which]
    return Samples(metric, sets, index, access.rows[which], access.time_ns[which], values, traces)


def exemplars(traces: Mapping[int, str], which: I64, index: I32) -> tuple[Exemplar, ...]:
    """Of each label set the last sample that has a trace.

    Args:
        traces: Trace ids by element, which ascend.
        which: int64, ascending: the element that each sample comes from.
        index: int32, label set of each sample.
    """
    if not traces:
        return ()
    elements = np.fromiter(traces, np.int64, len(traces))
    sample = np.searchsorted(which, elements)
    there = sample < len(which)
    there[there] = which[sample[there]] == elements[there]
    newest = dict(zip(index[sample[there]].tolist(), sample[there].tolist(), strict=True))
    return tuple(Exemplar(traces[int(which[of_set])], of_set) for of_set in newest.values())
