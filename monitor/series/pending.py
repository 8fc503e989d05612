"""Samples that wait until it is certain which pod was at the address to which a router passed their request.

They are kept one by one, with their own times: a pod's address may be another's within the same second. Once every node
has spoken of that time, or it is long enough ago, the pod at that very nanosecond is taken.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.metric import UNKNOWN, LabelSet
from monitor.pods.attribution import Endpoints
from monitor.series.cells import F64, I64
from monitor.series.limits import Limits
from monitor.series.totals import Trace


@dataclass(frozen=True, slots=True)
class Waiting:
    """Samples of one metric in arrival order; names as in `monitor.metric.Samples`."""

    sets: list[LabelSet]
    index: I64
    time_ns: I64
    values: F64 | None

    def chosen(self, which: Any) -> "Waiting":
        """Some of the samples; `sets` stays as it is."""
        return Waiting(
            self.sets, self.index[which], self.time_ns[which], None if self.values is None else self.values[which]
        )


class WaitingState(msgspec.Struct, frozen=True, array_like=True):
    """`Waiting` written down: little-endian int32, int64 and float64."""

    sets: tuple[LabelSet, ...]
    index: bytes
    time_ns: bytes
    values: bytes | None


class Pending:
    """The samples of one metric that wait. Their exemplars are no part of the state: nothing is counted by them."""

    def __init__(self) -> None:
        self._sets: dict[LabelSet, int] = {}
        self._parts: list[Waiting] = []
        self._count = 0
        self._traces: dict[LabelSet, Trace] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, samples: Waiting, limits: Limits) -> npt.NDArray[np.bool_]:
        """Let samples wait, whose label sets are in the order of their first samples.

        Returns:
            For each whether there was room for it.
        """
        numbers = np.array([self._number(labels, limits) for labels in samples.sets], np.int64)
        index = numbers[samples.index]
        fits = index >= 0
        room = max(limits.pending - self._count, 0)
        if np.count_nonzero(fits) > room:
            fits &= np.cumsum(fits) <= room
        if fits.any():
            values = None if samples.values is None else samples.values[fits]
            self._parts.append(Waiting([], index[fits], samples.time_ns[fits], values))
            self._count += len(self._parts[-1].index)
        return fits

    def _number(self, labels: LabelSet, limits: Limits) -> int:
        number = self._sets.get(labels)
        if number is None and len(self._sets) < limits.pending_sets:
            number = self._sets[labels] = len(self._sets)
        return -1 if number is None else number

    def all(self) -> Waiting:
        """All that waits."""
        parts = self._parts
        if len(parts) > 1:
            valued = any(part.values is not None for part in parts)
            index = np.concatenate([part.index for part in parts])
            time_ns = np.concatenate([part.time_ns for part in parts])
            values = np.concatenate([_values(part) for part in parts]) if valued else None
            self._parts = [Waiting([], index, time_ns, values)]
        if not self._parts:
            return Waiting([], np.zeros(0, np.int64), np.zeros(0, np.int64), None)
        one = self._parts[0]
        return Waiting(list(self._sets), one.index, one.time_ns, one.values)

    def take(self, until_ns: int) -> Waiting | None:
        """Take out the samples up to a time; `None` when there are none."""
        waiting = self.all()
        due = waiting.time_ns <= until_ns
        if not due.any():
            return None
        self._keep(waiting.chosen(~due))
        return waiting.chosen(due)

    def note(self, labels: LabelSet, trace: Trace, limits: Limits) -> None:
        """Keep an exemplar, if there is room for it."""
        if labels in self._traces or len(self._traces) < limits.pending_sets:
            self._traces[labels] = trace

    def traces_until(self, until_ns: int) -> list[tuple[LabelSet, Trace]]:
        """Take out the exemplars up to a time."""
        due = [(labels, trace) for labels, trace in self._traces.items() if trace.time_ns <= until_ns]
        for labels, _ in due:
            del self._traces[labels]
        return due

    def _keep(self, waiting: Waiting) -> None:
        """Keep no more than these samples, and the label sets that they have, in the order in which those came."""
        used = np.zeros(len(waiting.sets), np.bool_)
        used[waiting.index] = True
        numbers = np.cumsum(used) - 1
        kept = [labels for labels, is_used in zip(waiting.sets, used.tolist(), strict=True) if is_used]
        self._sets = {labels: number for number, labels in enumerate(kept)}
        self._parts = [Waiting([], numbers[waiting.index], waiting.time_ns, waiting.values)] if kept else []
        self._count = len(waiting.index)

    def state(self) -> WaitingState:
        """What waits, written down."""
        waiting = self.all()
        values = None if waiting.values is None else waiting.values.astype("<f8").tobytes()
        return WaitingState(
            tuple(waiting.sets), waiting.index.astype("<i4").tobytes(), waiting.time_ns.astype("<i8").tobytes(), values
        )

    @classmethod
    def of(cls, state: WaitingState) -> "Pending":
        """The same again."""
        made = cls()
        index, time_ns = np.frombuffer(state.index, "<i4"), np.frombuffer(state.time_ns, "<i8")
        values = None if state.values is None else np.frombuffer(state.values, "<f8").astype(np.float64)
        made._sets = {labels: number for number, labels in enumerate(state.sets)}
        made._count = len(index)
        if len(index):
            made._parts = [Waiting([], index.astype(np.int64), time_ns.astype(np.int64), values)]
        return made


def _values(part: Waiting) -> F64:
    return np.ones(len(part.index)) if part.values is None else part.values


def nobodys(labels: LabelSet) -> LabelSet:
    """The label set of samples whose pod is not known: the guess without a release and a pod."""
    return LabelSet(labels.namespace, labels.app, labels.process, UNKNOWN, "", labels.labels)


def attribute(waiting: Waiting, endpoints: Endpoints) -> tuple[Waiting, int]:
    """Find out who served the samples.

    Returns:
        The samples with label sets that name a pod and no upstream, in the order of their first sample; and of how many
        nobody is known to have served them.
    """
    index, first = _pieces(waiting, endpoints)
    sets: dict[LabelSet, int] = {}
    numbers = np.zeros(len(first), np.int64)
    unknown = np.zeros(len(first), np.bool_)
    for piece in np.argsort(first, kind="stable").tolist():
        sample = int(first[piece])
        labels = waiting.sets[int(waiting.index[sample])]
        served = endpoints.at(labels.upstream, int(waiting.time_ns[sample]))
        unknown[piece] = served is None
        if served is None:
            found = nobodys(labels)
        else:
            release = served.release or UNKNOWN
            found = LabelSet(served.namespace, served.app, served.process, release, served.pod, labels.labels)
        numbers[piece] = sets.setdefault(found, len(sets))
    return (
        Waiting(list(sets), numbers[index], waiting.time_ns, waiting.values),
        int(np.count_nonzero(unknown[index])),
    )


def _pieces(waiting: Waiting, endpoints: Endpoints) -> tuple[I64, I64]:
    """Group samples of the same label set between two changes at its address.

    Returns:
        The group of each sample, and the first sample of each group.
    """
    changes = {upstream: endpoints.changes(upstream) for upstream in {labels.upstream for labels in waiting.sets}}
    since = np.zeros(len(waiting.index), np.int64)
    order = np.argsort(waiting.index, kind="stable")
    bounds = np.searchsorted(waiting.index[order], np.arange(len(waiting.sets) + 1))
    for number, labels in enumerate(waiting.sets):
        of_set = order[bounds[number] : bounds[number + 1]]
        since[of_set] = np.searchsorted(
            np.array(changes[labels.upstream], np.int64), waiting.time_ns[of_set], side="right"
        )
    keys = waiting.index * (int(since.max(initial=0)) + 1) + since
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return index, first
