"""Gaps: named, listed, and accepted as lost, after which nothing waits for them; what comes after all is taken."""

from typing import Any

import pytest

from pipeline.cri import format_line, format_time
from pipeline.errors import FatalError
from pipeline.lines.gaps import GapName, Gaps, accept_gaps, find_gaps
from pipeline.lines.resume import ShardState, decode_state, encode_state

T0 = 1_790_000_000_000_000_000
FILE = b"".join(format_line(format_time(T0 + 1000 * i), 0, b"line %d" % i) for i in range(12))
ENDS = [0, *(at + 1 for at, byte in enumerate(FILE) if byte == 10)]


def state_of(feed: Any) -> ShardState:
    """The resume state as it would be on disk."""
    return decode_state(encode_state(feed.shard.state()))


def two_gaps(feed: Any, run: Any) -> None:
    """Lines 3 to 5 and 8 to 9 are missing."""
    feed.send(run.chunk(FILE, 0, ENDS[3]), heartbeat_ns=T0 + 1)
    feed.send(run.chunk(FILE, ENDS[6], ENDS[8]), run.chunk(FILE, ENDS[10], ENDS[12]), heartbeat_ns=T0 + 2)


def test_gaps_are_listed_with_their_node_and_the_time_that_they_hold(feed: Any, run: Any) -> None:
    two_gaps(feed, run)
    feed.send(run.chunk(FILE, ENDS[12], ENDS[12]), heartbeat_ns=T0 + 3)
    found = list(find_gaps(3, state_of(feed)))
    assert [gap.name for gap in found] == [
        GapName(3, run.source(), ENDS[3], ENDS[6]),
        GapName(3, run.source(), ENDS[8], ENDS[10]),
    ]
    assert {(gap.node, gap.origin, gap.ordinal, gap.held_ns) for gap in found} == {("n1", run.origin(), 0, T0 + 1)}
    assert feed.shard.gaps() == Gaps(2, ENDS[6] - ENDS[3] + ENDS[10] - ENDS[8], 0)
    assert feed.count("logger_open_gap_bytes", shard="3") == ENDS[6] - ENDS[3] + ENDS[10] - ENDS[8]


def test_a_declared_loss_is_no_gap(feed: Any, run: Any) -> None:
    feed.send(run.chunk(FILE, ENDS[3], ENDS[4], prev_end=0, flags=4))
    assert list(find_gaps(3, state_of(feed))) == []
    assert feed.shard.gaps() == Gaps(0, 0, 0)


def test_the_watermark_goes_on_when_the_last_gap_of_its_node_is_accepted(feed: Any, run: Any) -> None:
    two_gaps(feed, run)
    first, second = [gap.name for gap in find_gaps(3, state_of(feed))]
    for names, heard_ns in (([first], T0 + 1), ([second], T0 + 2)):
        state = state_of(feed)
        assert accept_gaps(state, names) == names[0].end - names[0].start
        feed.shard = feed.new_shard(decode_state(encode_state(state)))
        assert feed.shard.heartbeats() == {"n1": heard_ns}
    lost_bytes = first.end - first.start + second.end - second.start
    feed.restart()
    assert feed.shard.gaps() == Gaps(0, 0, lost_bytes)
    feed.send(heartbeat_ns=T0 + 3)
    assert feed.batches[-1].heartbeats == {"n1": T0 + 3}
    assert feed.count("logger_accepted_gap_bytes", shard="3") == lost_bytes


def test_bytes_of_an_accepted_gap_are_taken_when_they_come_after_all(feed: Any, run: Any, model: Any) -> None:
    two_gaps(feed, run)
    state = state_of(feed)
    accept_gaps(state, [gap.name for gap in find_gaps(3, state)])
    feed.shard = feed.new_shard(state)
    feed.send(run.chunk(FILE, 0, len(FILE)))
    assert feed.rows() == model([FILE])
    assert feed.shard.gaps().count == 0


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (-1, 0), (0, 1)])
def test_only_a_gap_as_it_stands_can_be_accepted(feed: Any, run: Any, shift: tuple[int, int]) -> None:
    two_gaps(feed, run)
    state = state_of(feed)
    name = next(find_gaps(3, state)).name
    with pytest.raises(FatalError, match="no such gap"):
        accept_gaps(state, [GapName(3, name.source, name.start + shift[0], name.end + shift[1])])
    accept_gaps(state, [name])
    with pytest.raises(FatalError, match="no such gap"):
        accept_gaps(state, [name])


def test_a_gap_that_is_given_up_with_its_source_is_counted_no_more(feed: Any, run: Any) -> None:
    two_gaps(feed, run)
    feed.send(run.chunk(FILE, ENDS[12], ENDS[12], flags=2))
    feed.send(heartbeat_ns=T0 + 20 * 86_400 * 10**9)  # a clock that is ahead counts for a day at most
    while feed.shard.gaps().count:
        state = state_of(feed)
        state.clock_ns += 86_400 * 10**9
        feed.shard = feed.new_shard(state)
        feed.send(heartbeat_ns=state.clock_ns + 1)
    assert feed.shard.gaps() == Gaps(0, 0, 0)


def test_a_name_reads_back_and_what_is_none_is_refused() -> None:
    name = GapName(12, bytes(range(16)), 5, 9)
    assert GapName.parse(str(name)) == name
    for text in (
        "",
        "gap",
        str(name) + "0 ",
        "1:zz:1-2",
        "1:00:2-2",
        "1:00:3-2",
        "1:0:1-2",
        "-1:00:1-2",
        "1:00:1-",
        "\u0661:00:1-2",
    ):
        with pytest.raises(ValueError, match="is no gap"):
            GapName.parse(text)


def test_a_state_of_a_version_that_knew_nothing_of_accepted_gaps_is_read() -> None:
    old = b"\x01" + b"\x95\x07\x00\x00\x80\x90"
    assert decode_state(old) == ShardState(7)
