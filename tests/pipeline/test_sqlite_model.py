"""The SQLite queue beside a model of lists, through random sequences of what producers, consumers and time do."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import OffsetOutOfRangeError
from pipeline.queue.sqlite import SqliteOptions
from pipeline.queue.sqlite.append import Append, append
from pipeline.queue.sqlite.consumer import _commit, _committed, _fetch
from pipeline.queue.sqlite.database import Database, bounds, open_database, register
from pipeline.queue.sqlite.lag import Loss, read_lags, read_losses
from pipeline.queue.sqlite.retention import step

PARTITIONS = 3
GROUPS = ("a", "b")
SECOND = 1_000_000_000
KEEP_SECONDS, AGE_SECONDS = 10, 40
MAX_BYTES = 400_000

partitions = st.integers(0, PARTITIONS - 1)
actions = st.one_of(
    st.tuples(
        st.just("send"), partitions, st.lists(st.sampled_from([0, 1, 50, 40_000, 300_000]), min_size=1, max_size=4)
    ),
    st.tuples(st.just("fetch"), st.sampled_from([1, 100, 100_000, 10**9]), partitions),
    st.tuples(st.just("commit"), st.sampled_from(GROUPS), partitions, st.floats(0, 1)),
    st.tuples(st.just("wait"), st.integers(1, 30)),
    st.tuples(st.just("retain")),
    st.tuples(st.just("reopen")),
)


@dataclass
class Model:
    """What the queue must be: for each partition all records ever sent, as (time, value), and where it starts."""

    sent: list[list[tuple[int, bytes]]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    start: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    position: dict[str, list[int]] = field(default_factory=lambda: {group: [0] * PARTITIONS for group in GROUPS})
    lost: dict[tuple[str, int], Loss] = field(default_factory=dict)
    now_ns: int = 1000 * SECOND

    def kept_bytes(self) -> int:
        """Bytes of the records kept."""
        return sum(len(value) for part, start in zip(self.sent, self.start, strict=True) for _, value in part[start:])

    def retain(self) -> None:
        """One record at a time, whichever is due first."""
        while (partition := self._due()) is not None:
            offset = self.start[partition]
            size = len(self.sent[partition][offset][1])
            for group in GROUPS:
                if self.position[group][partition] <= offset:
                    loss = self.lost.get((group, partition), Loss(0, 0))
                    self.lost[group, partition] = Loss(loss.records + 1, loss.bytes + size)
            self.start[partition] += 1

    def _due(self) -> int | None:
        heads = [(self.sent[p][self.start[p]][0], p) for p in range(PARTITIONS) if self.start[p] < len(self.sent[p])]
        read = {p: min(self.position[group][p] for group in GROUPS) > self.start[p] for _, p in heads}
        for time_ns, partition in sorted(heads):
            seconds = KEEP_SECONDS if read[partition] else AGE_SECONDS
            if time_ns <= self.now_ns - seconds * SECOND:
                return partition
        if self.kept_bytes() > MAX_BYTES:
            return min((not read[partition], time_ns, partition) for time_ns, partition in heads)[2]
        return None


@contextmanager
def new_queue() -> Iterator[tuple[Database, SqliteOptions]]:
    with tempfile.TemporaryDirectory() as folder:
        options = SqliteOptions(
            path=Path(folder) / "queue.db",
            partitions=PARTITIONS,
            groups=GROUPS,
            max_bytes=MAX_BYTES,
            max_age_seconds=AGE_SECONDS,
            keep_seconds=KEEP_SECONDS,
        )
        opened = open_database(options, durable=False)
        try:
            yield opened, options
        finally:
            opened.close()


def act(action: tuple[object, ...], model: Model, queue: Database, options: SqliteOptions) -> None:
    match action:
        case ("send", int(partition), list(sizes)):
            values = [bytes([len(model.sent[partition]) % 256]) * size for size in sizes]
            with queue.write() as connection:
                firsts = append(connection, [Append(partition, values)], now_ns=model.now_ns)
            assert firsts == [len(model.sent[partition])]
            model.sent[partition] += [(model.now_ns, value) for value in values]
        case ("fetch", int(max_bytes), int(first)):
            check_fetch(model, queue, max_bytes=max_bytes, first=first)
        case ("commit", str(group), int(partition), float(fraction)):
            position = round(fraction * len(model.sent[partition]))
            _commit(queue, group, {partition: position})
            model.position[group][partition] = position
        case ("wait", int(seconds)):
            model.now_ns += seconds * SECOND
        case ("retain",):
            while step(queue, options, now_ns=model.now_ns, step_bytes=1000):
                pass
            model.retain()


def check_fetch(model: Model, queue: Database, *, max_bytes: int, first: int) -> None:
    """Everything is read once, in order, in fetches none of which is much over its limit."""
    positions = dict(enumerate(model.start))
    found: dict[int, list[tuple[int, bytes]]] = {partition: [] for partition in positions}
    while records := _fetch(queue, positions, max_bytes=max_bytes, first=first):
        assert sum(len(record.value) for record in records[:-1]) < max_bytes
        for record in records:
            assert record.offset == positions[record.partition]
            positions[record.partition] += 1
            found[record.partition].append((record.time_ns, record.value))
    for partition, start in enumerate(model.start):
        assert found[partition] == model.sent[partition][start:]
        if start:
            with pytest.raises(OffsetOutOfRangeError):
                _fetch(queue, {partition: start - 1}, max_bytes=1, first=0)


def check_facts(model: Model, queue: Database) -> None:
    rows = bounds(queue.connection)
    assert [rows[partition].start for partition in range(PARTITIONS)] == model.start
    assert [rows[partition].next for partition in range(PARTITIONS)] == [len(part) for part in model.sent]
    assert read_losses(queue.connection) == model.lost
    for group in GROUPS:
        first = [max(pair) for pair in zip(model.position[group], model.start, strict=True)]
        assert _committed(queue, group) == dict(enumerate(first))
    for lag in read_lags(queue.connection):
        unread = model.sent[lag.partition][max(model.position[lag.group][lag.partition], model.start[lag.partition]) :]
        assert (lag.records, lag.bytes) == (len(unread), sum(len(value) for _, value in unread))
        assert lag.oldest_ns == (unread[0][0] if unread else 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=30))
def test_the_queue_does_what_lists_would(sequence: list[tuple[object, ...]]) -> None:
    with new_queue() as (queue, options):
        model = Model()
        for action in sequence:
            if action == ("reopen",):
                queue.close()
                queue.connection = open_database(options, durable=False).connection
                with queue.write() as connection:
                    register(connection, "a")
            else:
                act(action, model, queue, options)
            check_facts(model, queue)
        check_fetch(model, queue, max_bytes=10**9, first=0)
