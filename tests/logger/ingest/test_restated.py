"""A queue that replaced another: what the table has is known, what the agent says that it sent is held against it."""

from typing import Any

import pytest

from logger.ingest.inherit import close_gaps, newest_runs, take_newer
from pipeline.chunk import Chunk, Flag
from pipeline.cri import format_line, format_time
from pipeline.lines.gaps import Gaps, find_gaps, gap_bytes
from pipeline.lines.resume import decode_state, encode_state

T0 = 1_790_000_000_000_000_000
FILES = [
    b"".join(format_line(format_time(T0 + 1000 * (20 * file + i)), 0, b"%d of %d" % (i, file)) for i in range(12))
    for file in range(3)
]
ENDS = [[0, *(at + 1 for at, byte in enumerate(file) if byte == 10)] for file in FILES]


def stated(run: Any, ordinal: int, end: int) -> Chunk:
    """What an agent says of a file to a new queue."""
    return Chunk(run.origin(), run.source(ordinal), ordinal, end, end, end, b"")


@pytest.fixture
def replace(feed: Any, make_feed: Any) -> Any:
    """Returns a feed of another queue, which inherits what this one's table has."""

    def replace() -> Any:
        other = make_feed()
        other.shard.inherit(newest_runs([decode_state(encode_state(feed.shard.state()))]))
        return other

    return replace


def test_a_file_that_came_as_a_whole_is_no_gap(feed: Any, run: Any, replace: Any) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][12]), heartbeat_ns=T0)
    other = replace()
    assert other.send(stated(run, 0, ENDS[0][12]), heartbeat_ns=T0 + 1) == []
    assert other.shard.gaps() == Gaps(0, 0, 0)
    assert other.batches[-1].heartbeats == {"n1": T0 + 1}
    assert [row.offset for row in other.send(run.chunk(FILES[0] * 2, ENDS[0][12], ENDS[0][12] + ENDS[0][3]))] == [
        ENDS[0][12] + start for start in ENDS[0][:3]
    ]


def test_what_was_in_the_old_queue_only_is_a_gap_even_if_the_file_never_goes_on(
    feed: Any, run: Any, replace: Any
) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]), heartbeat_ns=T0)
    other = replace()
    other.send(stated(run, 0, ENDS[0][12]), stated(run, 1, ENDS[1][4]))
    other.send(heartbeat_ns=T0 + 1)
    gaps = [(gap.name.source, gap.name.start, gap.name.end) for gap in find_gaps(3, other.shard.state())]
    assert gaps == [(run.source(0), ENDS[0][5], ENDS[0][12]), (run.source(1), 0, ENDS[1][4])]
    assert other.count("logger_gap_bytes_total") == ENDS[0][12] - ENDS[0][5] + ENDS[1][4]
    assert other.batches[-1].heartbeats == {"n1": 0}  # nothing is known to be complete
    other.send(run.chunk(FILES[0], ENDS[0][5], ENDS[0][12]), run.chunk(FILES[1], 0, ENDS[1][4], ordinal=1))
    assert other.shard.gaps() == Gaps(0, 0, 0)


def test_a_statement_that_is_repeated_or_late_changes_nothing(feed: Any, run: Any, replace: Any) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]))
    other = replace()
    for _ in range(2):
        other.send(stated(run, 0, ENDS[0][7]))
        other.restart()
    assert other.count("logger_gaps_total") == 1
    other.send(run.chunk(FILES[0], ENDS[0][7], ENDS[0][9]))
    other.send(stated(run, 0, ENDS[0][7]))
    assert other.count("logger_gaps_total") == 1


def test_a_file_that_the_table_has_forgotten_is_no_gap(feed: Any, run: Any, replace: Any) -> None:
    feed.send(run.chunk(FILES[2], 0, ENDS[2][5], ordinal=2))
    other = replace()
    other.send(stated(run, 0, ENDS[0][12]), stated(run, 1, ENDS[1][12]), stated(run, 2, ENDS[2][5]))
    assert other.shard.gaps() == Gaps(0, 0, 0)
    assert [source.ordinal for source in other.shard.state().runs[0].sources] == [2]


def test_a_declared_end_of_a_file_that_is_not_known_is_taken_as_ever(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILES[2], 0, ENDS[2][5], ordinal=2))
    feed.send(Chunk(run.origin(), run.source(1), 1, 40, 40, 10, b"", Flag.FINAL | Flag.DECLARED_LOSS))
    assert feed.shard.gaps() == Gaps(1, 10, 0)


@pytest.mark.parametrize(("brought", "left"), [(12, 0), (9, ENDS[0][12] - ENDS[0][5]), (5, ENDS[0][12] - ENDS[0][5])])
def test_a_gap_is_closed_when_the_old_queue_has_brought_all_of_it_since(
    feed: Any, run: Any, replace: Any, brought: int, left: int
) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]), heartbeat_ns=T0)
    other = replace()
    other.send(stated(run, 0, ENDS[0][12]), heartbeat_ns=T0 + 1)
    feed.send(run.chunk(FILES[0], ENDS[0][5], ENDS[0][brought]))
    state = decode_state(encode_state(other.shard.state()))
    assert close_gaps(state, feed.shard.state().runs) == (0 if left else ENDS[0][12] - ENDS[0][5])
    assert sum(map(gap_bytes, state.runs)) == left
    other.shard = other.new_shard(state)
    assert other.shard.heartbeats() == {"n1": 0 if left else T0 + 1}


def test_bytes_that_the_old_queue_lacks_too_close_no_gap(feed: Any, run: Any, replace: Any) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]))
    other = replace()
    other.send(stated(run, 0, ENDS[0][9]))
    feed.send(run.chunk(FILES[0], ENDS[0][6], ENDS[0][12]))
    state = other.shard.state()
    assert close_gaps(state, feed.shard.state().runs) == 0
    assert [(gap.name.start, gap.name.end) for gap in find_gaps(3, state)] == [(ENDS[0][5], ENDS[0][9])]


@pytest.fixture
def back(feed: Any) -> Any:
    """Returns the old queue's shard as it is loaded again after another queue has brought what `other` has."""

    def back(other: Any) -> Any:
        state = decode_state(encode_state(feed.shard.state()))
        inherited = newest_runs([decode_state(encode_state(other.shard.state()))])
        take_newer(state, inherited)
        feed.shard = feed.new_shard(state)
        feed.shard.inherit(inherited)
        return feed

    return back


def test_a_queue_that_was_left_and_is_back_knows_what_the_other_brought_meanwhile(
    feed: Any, run: Any, replace: Any, back: Any, model: Any
) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]), heartbeat_ns=T0)
    other = replace()
    other.send(stated(run, 0, ENDS[0][5]), heartbeat_ns=T0 + 1)
    other.send(run.chunk(FILES[0], ENDS[0][5], ENDS[0][9] - 3))
    feed = back(other)
    assert feed.send(stated(run, 0, ENDS[0][9] - 3), heartbeat_ns=T0 + 2) == []
    assert feed.shard.gaps() == Gaps(0, 0, 0)
    feed.send(run.chunk(FILES[0], ENDS[0][5], len(FILES[0])))
    assert sorted(feed.rows() + other.rows()) == model([FILES[0]])


def test_what_a_queue_may_still_bring_is_not_taken_for_missing_when_it_is_back(
    feed: Any, run: Any, replace: Any, back: Any, model: Any
) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]), heartbeat_ns=T0)
    other = replace()
    other.send(stated(run, 0, ENDS[0][8]))
    other.send(run.chunk(FILES[0], ENDS[0][8], ENDS[0][12]))
    feed = back(other)
    feed.send(run.chunk(FILES[0], ENDS[0][5], ENDS[0][8]))
    assert sorted(feed.rows() + other.rows()) == model([FILES[0]])
    assert feed.shard.gaps() == Gaps(0, 0, 0)


def test_gaps_that_the_other_queue_has_filled_are_none_when_the_first_is_back(
    feed: Any, run: Any, replace: Any, back: Any
) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][2]), heartbeat_ns=T0)
    feed.send(run.chunk(FILES[0], ENDS[0][4], ENDS[0][6]), run.chunk(FILES[0], ENDS[0][8], ENDS[0][9]))
    other = replace()
    other.send(run.chunk(FILES[0], ENDS[0][2], ENDS[0][5]), run.chunk(FILES[0], ENDS[0][9], ENDS[0][12]))
    feed = back(other)
    gaps = [(gap.name.start, gap.name.end) for gap in find_gaps(3, feed.shard.state())]
    assert gaps == [(ENDS[0][6], ENDS[0][8])]
    assert feed.shard.gaps() == Gaps(1, ENDS[0][8] - ENDS[0][6], 0)


def test_a_queue_that_is_not_behind_takes_nothing_over(feed: Any, run: Any, replace: Any) -> None:
    feed.send(run.chunk(FILES[0], 0, ENDS[0][5]))
    other = replace()
    other.send(stated(run, 0, ENDS[0][5]))
    state = feed.shard.state()
    assert take_newer(state, newest_runs([other.shard.state()])) == 0
    assert take_newer(other.shard.state(), newest_runs([state])) == 0
