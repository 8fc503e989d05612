"""The resume state: complete, versioned, and readable for ever."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunk import Flag
from pipeline.cri import format_line, format_time
from pipeline.errors import FormatError
from pipeline.lines.resume import ShardState, decode_state, encode_state

T0 = 1_790_000_000_000_000_000

OLD = bytes.fromhex("0195072ace0001e24081a26e319303020190")
"""Version 1, as first written: next offset 7, one node, no runs."""


def test_old_bytes_are_read() -> None:
    state = decode_state(OLD)
    assert (state.next_offset, state.clock_ns, state.pruned_ns, state.runs) == (7, 42, 123456, [])
    assert state.nodes["n1"].effective_ns == 2


@pytest.mark.parametrize("blob", [b"", b"\x02" + OLD[1:], OLD[:-1], OLD + b"x", b"\x01\xc0"])
def test_other_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(FormatError):
        decode_state(blob)


def test_an_empty_state_survives() -> None:
    assert decode_state(encode_state(ShardState(5))) == ShardState(5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_replay_from_any_commit_makes_the_same_rows(make_feed: Any, make_run: Any, seed: int) -> None:
    """What a crash repeats: the records from a resume state on, in batches cut in other places."""
    rng = random.Random(seed)
    straight = make_feed()
    records = _records(straight, make_run, rng)
    straight.take(records)
    expected = _all(straight)
    again = make_feed()
    at = rng.randrange(len(records))
    for record in records[:at]:
        again.take([record])
    again.restart()
    first = again.take(records[at : at + 2])
    again.restart()
    again.take(records[at + 2 :])
    assert first
    assert sorted(_all(again)) == sorted(expected)
    assert encode_state(again.shard.state()) == encode_state(straight.shard.state())


def _all(feed: Any) -> list[tuple[Any, ...]]:
    return [facts for batch in feed.batches for facts in _facts(batch)]


def _facts(batch: Any) -> list[tuple[Any, ...]]:
    return [
        (
            batch.facts[batch.facts_index[i]].source,
            batch.facts[batch.facts_index[i]].release,
            int(batch.offset[i]),
            int(batch.continuation[i]),
            int(batch.time_ns[i]),
            int(batch.order_ns[i]),
            int(batch.queue_offset[i]),
            batch.buffer[batch.starts[i] : batch.stops[i]],
        )
        for i in range(batch.rows)
    ]


def _records(feed: Any, make_run: Any, rng: random.Random) -> list[Any]:
    """Records of two runs with everything odd: pieces, open lines, clocks that step back, gaps, repetitions."""
    runs = [make_run(uid="a"), make_run(uid="b", app="other")]
    files = [_file(rng), _file(rng)]
    at = [0, 0]
    records = []
    for number in range(12):
        chunks = []
        for index in rng.sample(range(2), rng.randrange(1, 3)):
            file, start = files[index], at[index]
            end = min(len(file), start + rng.randrange(1, 400))
            flags = Flag.FINAL if end == len(file) and rng.random() < 0.5 else Flag.NONE
            if start < end:
                kind = rng.random()
                if kind < 0.15:
                    start = min(start + rng.randrange(60), end - 1)
                elif kind < 0.3:
                    start = max(0, start - rng.randrange(60))
                chunks.append(runs[index].chunk(file, start, end, flags=flags))
                at[index] = end
        beat = T0 + number * 20 * 10**9 if rng.random() < 0.6 else 0
        if chunks or beat:
            records.append(feed.record(chunks, heartbeat_ns=beat))
    return records


def _file(rng: random.Random) -> bytes:
    lines = []
    for _ in range(40):
        time = format_time(T0 + rng.randrange(10**9))
        line = format_line(
            time, rng.randrange(2), rng.randbytes(rng.randrange(200)).replace(b"\n", b""), partial=rng.random() < 0.3
        )
        lines.append(line if rng.random() < 0.9 else b"no header\n")
    return b"".join(lines)
