"""Which bytes are new: chunks that come twice, late, in part, or not at all."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.chunk import Chunk, Flag, Origin
from pipeline.cri import format_line, format_time
from pipeline.lines.gaps import Gaps

T0 = 1_790_000_000_000_000_000
DAY = 86_400 * 10**9


def _file(lines: int, seed: int = 1) -> bytes:
    rng = random.Random(seed)
    return b"".join(
        format_line(format_time(T0 + 1000 * i), 0, b"%d " % i + b"x" * rng.randrange(20)) for i in range(lines)
    )


def _ends(file: bytes) -> list[int]:
    return [index + 1 for index, byte in enumerate(file) if byte == ord("\n")]


FILE = _file(12)
ENDS = [0, *_ends(FILE)]


def test_a_chunk_that_comes_again_is_dropped_and_counted(feed: Any, run: Any) -> None:
    chunk = run.chunk(FILE, 0, len(FILE))
    assert len(feed.send(chunk)) == 12
    feed.restart()
    assert feed.send(chunk) == []
    assert feed.count("logger_duplicate_bytes_total") == len(FILE)


@pytest.mark.parametrize("seen", [1, 5, 33, 50, 120, len(FILE) - 1])
def test_bytes_that_are_stored_are_trimmed_even_inside_a_line(feed: Any, run: Any, model: Any, seen: int) -> None:
    feed.send(run.chunk(FILE, 0, seen))
    feed.send(run.chunk(FILE, 0, len(FILE)))
    assert [row.message for row in feed.rows()] == [row.message for row in model([FILE])]
    assert feed.count("logger_duplicate_bytes_total") == seen


def test_missing_bytes_are_an_alarm_and_are_taken_when_they_come(feed: Any, run: Any, model: Any) -> None:
    a, b = ENDS[3], ENDS[6]
    feed.send(run.chunk(FILE, 0, a), heartbeat_ns=T0)
    feed.send(run.chunk(FILE, b, len(FILE)), heartbeat_ns=T0 + 100)
    assert feed.count("logger_gap_bytes_total") == b - a
    assert feed.count("logger_open_gaps", shard="3") == 1
    feed.restart()
    assert feed.batches[-1].heartbeats == {"n1": T0}
    assert len(feed.send(run.chunk(FILE, a, ENDS[4]), heartbeat_ns=T0 + 200)) == 1
    assert feed.batches[-1].heartbeats == {"n1": T0}
    feed.send(run.chunk(FILE, ENDS[2], ENDS[8]), heartbeat_ns=T0 + 300)
    assert feed.batches[-1].heartbeats == {"n1": T0 + 300}
    assert feed.count("logger_open_gaps", shard="3") == 0
    assert feed.rows() == model([FILE])


def test_a_declared_loss_is_no_alarm(feed: Any, run: Any) -> None:
    a, b = ENDS[3], ENDS[6]
    feed.send(run.chunk(FILE, 0, a), heartbeat_ns=T0)
    feed.send(run.chunk(FILE, b, len(FILE), prev_end=a, flags=Flag.DECLARED_LOSS), heartbeat_ns=T0 + 100)
    assert feed.count("logger_gaps_total") == 0
    assert feed.batches[-1].heartbeats == {"n1": T0 + 100}
    assert len(feed.rows()) == 9


def test_a_declared_loss_covers_only_what_it_names(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, 0, ENDS[3]))
    feed.send(run.chunk(FILE, ENDS[8], ENDS[9], prev_end=ENDS[5], flags=Flag.DECLARED_LOSS))
    assert feed.count("logger_gap_bytes_total") == ENDS[5] - ENDS[3]


def test_a_source_that_begins_in_the_middle_has_a_gap_before(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, ENDS[2], len(FILE)))
    assert feed.count("logger_gap_bytes_total") == ENDS[2]


def test_a_gap_in_the_middle_of_lines_loses_and_doubles_no_byte(feed: Any, run: Any) -> None:
    a, b = ENDS[3] + 7, ENDS[6] + 11
    for start, end in [(0, a), (b, len(FILE)), (a, b)]:
        feed.send(run.chunk(FILE, start, end))
    lines = FILE.split(b"\n")[:-1]
    whole = [row.message for row in feed.rows() if row.message in {line.split(b" ", 3)[3] for line in lines}]
    assert len(whole) >= 10
    assert feed.count("logger_bytes_total") == len(FILE)


def test_a_relabel_changes_the_rows_that_follow_and_nothing_else(feed: Any, make_run: Any) -> None:
    feed.send(make_run(release="v1").chunk(FILE, 0, ENDS[3]))
    feed.send(make_run(release="v2").chunk(FILE, ENDS[3], len(FILE)))
    releases = [batch.facts[index].release for batch in feed.batches for index in batch.facts_index.tolist()]
    assert releases == ["v1"] * 3 + ["v2"] * 9


def test_offsets_of_changed_lines_are_those_in_the_file(feed: Any, run: Any) -> None:
    lines = [format_line(format_time(T0 + i), 0, b"%d" % i) for i in range(5)]
    feed.send(_changed(run, lines[:4], (0, 100, 250, 300), end=400))
    feed.send(_changed(run, lines[2:], (0, 50, 150), start=250, end=500))
    assert [(row.offset, row.message) for row in feed.rows()] == [
        (0, b"0"),
        (100, b"1"),
        (250, b"2"),
        (300, b"3"),
        (400, b"4"),
    ]


def _changed(run: Any, lines: list[bytes], offsets: tuple[int, ...], *, start: int = 0, end: int) -> Chunk:
    packed = b"".join(value.to_bytes(4, "little") for value in offsets)
    return Chunk(run.origin(), run.source(), 0, start, end, start, b"".join(lines), line_offsets=packed)


@pytest.mark.parametrize(
    "change",
    [
        {"ordinal": -1},
        {"end": 2**62 + 10, "start": 2**62},
        {"line_offsets": b"\0\0\0\0\1"},
        {"line_offsets": b"\0\0\0\0"},
    ],
    ids=["ordinal", "offset", "ragged", "count"],
)
def test_a_pack_that_no_agent_would_send_is_kept_aside_and_counted(feed: Any, run: Any, change: dict[str, Any]) -> None:
    fields = {"source": run.source(), "ordinal": 0, "start": 0, "end": 10, "line_offsets": b""} | change
    data = b"a\nb\nc\nd\ne\n"
    chunk = Chunk(run.origin(), prev_end=0, data=data, **fields)
    assert feed.send(chunk) == []
    assert (
        feed.count("logger_bad_records_total", reason="content")
        + feed.count("logger_bad_records_total", reason="format")
        == 1
    )
    assert len(list(feed.folder.iterdir())) == 1
    assert len(feed.send(run.chunk(FILE, 0, len(FILE)))) == 12


def test_a_name_of_any_length_does_no_harm(feed: Any, run: Any) -> None:
    origin = Origin("n1", "ns", "p" * 1000, "u", "c", 0, "app")
    assert feed.send(Chunk(origin, run.source(), 0, 0, 2, 0, b"a\n")) == []
    assert (
        feed.count("logger_bad_records_total", reason="content")
        + feed.count("logger_bad_records_total", reason="format")
        == 1
    )


def test_ended_sources_are_forgotten_after_days_and_their_gaps_given_up(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, ENDS[2], len(FILE), flags=Flag.FINAL), heartbeat_ns=T0)
    feed.take([_late(feed, T0 + 3 * DAY)])
    assert feed.count("logger_open_gaps", shard="3") == 1
    feed.take([_late(feed, T0 + 8 * DAY)])
    assert feed.count("logger_open_gaps", shard="3") == 0
    assert feed.count("logger_given_up_bytes_total") == ENDS[2]
    assert feed.shard.state().runs == []


def _late(feed: Any, heartbeat_ns: int) -> Any:
    record = feed.record([], heartbeat_ns=heartbeat_ns)
    return type(record)(record.partition, record.offset, record.value, heartbeat_ns)


def test_a_heartbeat_from_the_far_future_makes_nothing_forgotten(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, 0, ENDS[5], flags=Flag.FINAL), heartbeat_ns=T0)
    feed.send(heartbeat_ns=T0 + 4000 * DAY, node="broken clock")
    assert feed.send(run.chunk(FILE, 0, ENDS[5])) == []


_machine_parts: dict[str, Any] = {}


class Delivery(RuleBasedStateMachine):
    """An agent that sends chunks again, cut otherwise, leaves some out and sends them later, and a logger that dies.

    Whatever the order, once every byte has come the rows are those of the whole files.
    """

    def __init__(self) -> None:
        super().__init__()
        self.feed = _machine_parts["make_feed"]()
        self.run = _machine_parts["make_run"]()
        self.sent = 0
        self.missing: list[tuple[int, int]] = []

    @initialize(seed=st.integers(0, 50))
    def write(self, seed: int) -> None:
        self.file = _file(30, seed)
        self.ends = [0, *_ends(self.file)]

    def _next(self, lines: int) -> int:
        index = min(self.ends.index(self.sent) + lines, len(self.ends) - 1)
        return self.ends[index]

    @rule(lines=st.integers(1, 6), beat=st.booleans())
    def send_the_next(self, lines: int, beat: bool) -> None:
        end = self._next(lines)
        if end > self.sent:
            self.feed.send(self.run.chunk(self.file, self.sent, end), heartbeat_ns=T0 if beat else 0)
            self.sent = end

    @rule(lines=st.integers(1, 4))
    def leave_out_the_next(self, lines: int) -> None:
        end = self._next(lines)
        if self.sent < end < len(self.file):
            self.missing.append((self.sent, end))
            self.sent = end
            self.send_the_next(1, beat=False)

    @rule(a=st.integers(0, 2000), b=st.integers(0, 2000))
    def send_again_cut_anywhere(self, a: int, b: int) -> None:
        start, end = sorted((a % (self.sent + 1), b % (self.sent + 1)))
        if start < end and not any(low < end and start < high for low, high in self.missing):
            assert self.feed.send(self.run.chunk(self.file, start, end)) == []

    @rule(extra=st.integers(0, 3))
    def send_what_was_missing(self, extra: int) -> None:
        if self.missing:
            low, high = self.missing.pop(0)
            index = self.ends.index(high)
            end = min(self.ends[min(index + extra, len(self.ends) - 1)], self.sent)
            if not any(a < end and high < b for a, b in self.missing):
                high = max(high, end)
            self.feed.send(self.run.chunk(self.file, low, high))

    @rule()
    def crash(self) -> None:
        self.feed.restart()

    @invariant()
    def gaps_are_those_left_out(self) -> None:
        assert self.feed.shard.gaps() == Gaps(len(self.missing), sum(high - low for low, high in self.missing), 0)

    def teardown(self) -> None:
        for low, high in self.missing:
            self.feed.send(self.run.chunk(self.file, low, high))
        self.feed.send(self.run.chunk(self.file, 0, len(self.file)))
        assert self.feed.rows() == _machine_parts["model"]([self.file])


def test_any_delivery_gives_the_rows_of_the_whole(make_feed: Any, make_run: Any, model: Any) -> None:
    _machine_parts.update(make_feed=make_feed, make_run=make_run, model=model)
    case = Delivery.TestCase
    case.settings = settings(
        max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    case("runTest").runTest()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(1, 300)), min_size=1, max_size=10))
def test_no_byte_is_stored_twice_whatever_comes(make_feed: Any, make_run: Any, spans: list[tuple[int, int]]) -> None:
    feed, run = make_feed(), make_run()
    covered: set[int] = set()
    for start, length in spans:
        end = min(start + length, len(FILE))
        if start < end:
            feed.send(run.chunk(FILE, start, end))
            covered |= set(range(start, end))
    names = [(row.offset, row.continuation) for row in feed.rows()]
    assert len(names) == len(set(names))
    total = sum(min(start + length, len(FILE)) - start for start, length in spans if start < len(FILE))
    assert feed.count("logger_duplicate_bytes_total") == total - len(covered)


_HEADERS = st.tuples(
    st.integers(0, 2), st.integers(0, 2), st.integers(0, 120), st.integers(0, 60), st.integers(0, 7), st.booleans()
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(_HEADERS, max_size=4), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_whatever_a_valid_pack_says_does_no_harm(make_feed: Any, make_run: Any, packs: list[Any], rng: Any) -> None:
    feed, run = make_feed(), make_run()
    for headers in packs:
        chunks = []
        for ordinal, source, start, length, flags, changed in headers:
            data = bytes(rng.choice(b"\n\n xP2") for _ in range(length))
            if rng.random() < 0.5:
                data = (
                    format_line(format_time(T0 + length), 0, data.replace(b"\n", b""), partial=rng.random() < 0.5)
                    + data
                )
            lines = data.count(b"\n") + (data[-1:] not in {b"", b"\n"})
            offsets = b"".join(index.to_bytes(4, "little") for index in range(lines)) if changed else b""
            end = start + (max(lines, length) if offsets else len(data))
            chunks.append(
                Chunk(run.origin(), run.source(source), ordinal, start, end, start // 2, data, Flag(flags), offsets)
            )
        feed.send(*chunks, heartbeat_ns=rng.choice([0, T0, T0 + 70 * 10**9, T0 + 3 * DAY]))
        if rng.random() < 0.3:
            feed.restart()
    assert feed.count("logger_bad_records_total", reason="format") == 0
    names = [
        (batch.facts[index].source, offset, continuation)
        for batch in feed.batches
        for index, offset, continuation in zip(
            batch.facts_index.tolist(), batch.offset.tolist(), batch.continuation.tolist(), strict=True
        )
    ]
    assert len(names) == len(set(names))
