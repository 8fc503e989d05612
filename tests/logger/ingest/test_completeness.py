"""What must hold beyond one shard and one queue: nothing twice over another queue, nothing complete too early."""

from typing import Any

import pytest

from logger.ingest.inherit import newest_runs
from logger.table.writer import IngestTable
from pipeline.chunk import Flag
from pipeline.cri import STDERR, format_line, format_time
from pipeline.lines.assemble import AHEAD_NS
from pipeline.lines.resume import decode_state, encode_state

T0 = 1_790_000_000_123_456_781
NOW_NS = 1_790_000_000_000_000_000  # when the fixture's queue takes records
YEAR_NS = 365 * 86_400 * 10**9


def _line(at: int, content: bytes = b"text", *, partial: bool = False, stream: int = 0) -> bytes:
    return format_line(format_time(T0 + at), stream, content, partial=partial)


def _replace_queue(feed: Any) -> None:
    """A shard of a new queue over the same table."""
    old = decode_state(encode_state(feed.shard.state()))
    feed.next_offset = 0
    feed.shard = feed.new_shard(type(old)(0))
    feed.shard.inherit(newest_runs([old]))


def test_what_another_queue_brought_is_not_stored_again(feed: Any, run: Any) -> None:
    file = b"".join(_line(at) for at in range(6))
    size = len(file) // 6
    feed.send(run.chunk(file, 0, 4 * size))
    _replace_queue(feed)
    assert [row.offset for row in feed.send(run.chunk(file, 2 * size, 5 * size))] == [4 * size]
    feed.restart()
    assert [row.offset for row in feed.send(run.chunk(file, 0, 6 * size))] == [5 * size]
    assert feed.count("logger_gaps_total") == 0


def test_going_on_over_another_queue_is_no_gap_and_what_went_with_the_old_one_is(feed: Any, run: Any) -> None:
    file = b"".join(_line(at) for at in range(6))
    size = len(file) // 6
    feed.send(run.chunk(file, 0, 2 * size))
    _replace_queue(feed)
    feed.send(run.chunk(file, 2 * size, 3 * size))
    assert feed.count("logger_gaps_total") == 0
    feed.send(run.chunk(file, 4 * size, 5 * size))
    assert feed.count("logger_gaps_total") == 1


def test_a_line_in_pieces_goes_on_over_another_queue(feed: Any, run: Any) -> None:
    file = _line(0, b"one ", partial=True) + _line(1, b"line")
    cut = file.index(b"\n") + 1
    feed.send(run.chunk(file, 0, cut))
    _replace_queue(feed)
    assert [row.message for row in feed.send(run.chunk(file, cut, len(file)))] == [b"one line"]


def test_a_gap_of_another_queue_still_holds_its_nodes_watermark(feed: Any, run: Any) -> None:
    file = b"".join(_line(at) for at in range(4))
    size = len(file) // 4
    feed.send(run.chunk(file, 0, size), heartbeat_ns=T0)
    feed.send(run.chunk(file, 2 * size, 3 * size), heartbeat_ns=T0 + 10)
    _replace_queue(feed)
    feed.send(run.chunk(file, 3 * size, 4 * size), heartbeat_ns=T0 + 20)
    assert feed.shard.heartbeats() == {"n1": 0}
    feed.send(run.chunk(file, size, 2 * size), heartbeat_ns=T0 + 30)
    assert feed.shard.heartbeats() == {"n1": T0 + 30}


def test_of_two_queues_the_one_that_knows_more_of_a_run_counts(feed: Any, run: Any) -> None:
    file = b"".join(_line(at) for at in range(3))
    size = len(file) // 3
    feed.send(run.chunk(file, 0, size))
    older = decode_state(encode_state(feed.shard.state()))
    feed.send(run.chunk(file, size, 2 * size))
    newer = decode_state(encode_state(feed.shard.state()))
    for states in ([older, newer], [newer, older]):
        (known,) = newest_runs(states).values()
        assert known.sources[0].next == 2 * size


@pytest.mark.parametrize("stream", [0, STDERR])
def test_nothing_is_complete_beyond_a_line_whose_end_has_not_come(feed: Any, run: Any, stream: int) -> None:
    file = _line(5, b"begins ", partial=True, stream=stream) + _line(900, b"ends", stream=stream)
    cut = file.index(b"\n") + 1
    feed.send(run.chunk(file, 0, cut), heartbeat_ns=T0 + 100)
    assert feed.shard.heartbeats() == {"n1": T0 + 5}
    feed.send(heartbeat_ns=T0 + 200)
    assert feed.shard.heartbeats() == {"n1": T0 + 5}
    feed.restart()
    assert feed.shard.heartbeats() == {"n1": T0 + 5}
    feed.send(run.chunk(file, cut, len(file)), heartbeat_ns=T0 + 1000)
    assert feed.shard.heartbeats() == {"n1": T0 + 1000}


def test_nothing_is_complete_beyond_a_physical_line_that_is_open(feed: Any, run: Any) -> None:
    file = _line(5, b"x" * 1000)
    feed.send(run.chunk(file, 0, 500), heartbeat_ns=T0 + 100)
    assert feed.shard.heartbeats() == {"n1": T0 + 5}
    feed.send(run.chunk(file, 500, len(file), flags=Flag.MID_LINE), heartbeat_ns=T0 + 200)
    assert feed.shard.heartbeats() == {"n1": T0 + 200}


@pytest.mark.parametrize("open_line", [False, True])
def test_a_line_that_its_writer_left_without_an_end_holds_for_a_minute_and_is_shown(
    feed: Any, run: Any, open_line: bool
) -> None:
    """The container was killed in the middle of it."""
    file = _line(5, b"x" * 1000) if open_line else _line(5, b"begins ", partial=True)
    feed.send(run.chunk(file, 0, 500 if open_line else len(file)), heartbeat_ns=T0 + 100)
    feed.send(heartbeat_ns=T0 + 59 * 10**9)
    assert (feed.shard.heartbeats(), feed.rows()) == ({"n1": T0 + 5}, [])
    feed.send(heartbeat_ns=T0 + 61 * 10**9)
    assert (feed.shard.heartbeats(), len(feed.rows())) == ({"n1": T0 + 61 * 10**9}, 1)
    feed.restart()
    assert feed.shard.heartbeats() == {"n1": T0 + 61 * 10**9}


def test_a_line_that_was_shown_early_for_want_of_memory_holds_as_long_as_any(
    feed: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.lines.pending._PENDING_BYTES", 3)
    file = _line(5, b"begins ", partial=True)
    feed.send(run.chunk(file, 0, len(file)), heartbeat_ns=T0 + 100)
    assert (feed.shard.heartbeats(), len(feed.rows())) == ({"n1": T0 + 5}, 1)
    feed.send(heartbeat_ns=T0 + 61 * 10**9)
    assert feed.shard.heartbeats() == {"n1": T0 + 61 * 10**9}


def test_one_line_from_a_clock_far_ahead_does_not_take_the_rest_of_its_run_along(feed: Any, run: Any) -> None:
    file = _line(0) + _line(YEAR_NS) + _line(1) + _line(2)
    feed.send(run.chunk(file, 0, len(file)))
    assert feed.orders() == [T0, *[NOW_NS + AHEAD_NS] * 3]
    assert [row.time_ns for row in feed.rows()] == [T0, T0 + YEAR_NS, T0 + 1, T0 + 2]
    for cut in (at + 1 for at, byte in enumerate(file) if byte == ord(b"\n")):
        assert feed.orders() == _orders_in_two(feed, run, file, cut)


def _orders_in_two(feed: Any, run: Any, file: bytes, cut: int) -> list[int]:
    fresh = type(feed)(feed.folder)
    fresh.send(run.chunk(file, 0, cut))
    fresh.send(run.chunk(file, cut, len(file)))
    orders: list[int] = fresh.orders()
    return orders


def test_the_table_tells_what_other_queues_left_in_it(tmp_path: Any) -> None:
    first = IngestTable.open(str(tmp_path), queue_id="first")
    first.load_states()
    first.commit(parts={}, positions={0: 7, 1: 9}, states={0: b"zero", 1: b"one"})
    assert first.states_of_other_queues() == []
    second = IngestTable.open(str(tmp_path), queue_id="second")
    assert sorted(second.states_of_other_queues()) == [b"one", b"zero"]
    second.load_states()
    second.commit(parts={}, positions={0: 1}, states={0: b"new"})
    assert sorted(second.states_of_other_queues()) == [b"one", b"zero"]
    assert IngestTable.open(str(tmp_path), queue_id="first").states_of_other_queues() == [b"new"]
