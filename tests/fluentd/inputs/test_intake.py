"""Lines from the network become contiguous chunks, are acknowledged when the queue has them, and stay within bounds."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.inputs.delivery import Delivery
from fluentd.inputs.group import Inputs
from fluentd.inputs.intake import Lines
from fluentd.inputs.lines import PIECE_BYTES, cri_lines
from pipeline.chunk import Flag
from pipeline.cri import STDERR, parse_header
from pipeline.limits import CHUNK_BYTES

T = 1_764_000_000_123_456_789


def lines_of(app: str, *messages: bytes, process: str = "web") -> Lines:
    return Lines(app, process, b"".join(cri_lines(T, one) for one in messages), len(messages))


def test_chunks_of_an_app_are_contiguous_and_of_one_source(make_intake: Any, lanes: Any) -> None:
    intake, delivery = make_intake(), Delivery()
    for number in range(3):
        intake.put("forward", lines_of("shop", b"%d" % number), delivery)
        intake.put("forward", lines_of("blog", b"%d" % number), delivery)
    for app in ("shop", "blog"):
        chunks = [one.chunk for _, one in lanes.put_chunks if one.chunk.origin.app == app]
        assert len({(chunk.source, chunk.origin.uid, chunk.ordinal) for chunk in chunks}) == 1
        assert [chunk.prev_end for chunk in chunks] == [0, *[chunk.end for chunk in chunks[:-1]]]
        assert all(chunk.start == chunk.prev_end and chunk.end - chunk.start == len(chunk.data) for chunk in chunks)
    assert len({partition for partition, one in lanes.put_chunks if one.chunk.origin.app == "shop"}) == 1


def test_each_start_names_its_sources_anew_and_keeps_their_partitions(make_intake: Any, lanes: Any) -> None:
    for _ in range(2):
        make_intake().put("forward", lines_of("shop", b"a"), Delivery())
    (first_partition, first), (second_partition, second) = lanes.put_chunks
    assert first_partition == second_partition
    assert first.chunk.source != second.chunk.source
    assert first.chunk.origin.uid != second.chunk.origin.uid


def test_a_delivery_is_done_when_the_queue_has_every_chunk_and_not_before_it_is_sealed(
    make_intake: Any, lanes: Any
) -> None:
    intake, delivery = make_intake(), Delivery()
    intake.put("forward", lines_of("shop", b"a"), delivery)
    lanes.acknowledge()
    assert not delivery.done
    intake.put("forward", lines_of("blog", b"b"), delivery)
    delivery.seal()
    assert not delivery.done
    lanes.acknowledge()
    assert delivery.done


def test_what_is_accepted_and_not_put_holds_the_heartbeat_back_and_an_idle_input_does_not(make_intake: Any) -> None:
    intake = make_intake()
    inputs = Inputs(intake)
    assert inputs.complete_ns > time.time_ns() + 10**18
    with intake.accept() as first_ns:
        with intake.accept() as second_ns:
            assert inputs.complete_ns == first_ns <= second_ns
        assert inputs.complete_ns == first_ns <= time.time_ns()
    assert inputs.complete_ns > time.time_ns() + 10**18
    assert Inputs().complete_ns > time.time_ns() + 10**18


async def test_what_is_on_its_way_is_bounded_and_room_comes_with_acknowledgements(make_intake: Any, lanes: Any) -> None:
    intake = make_intake(limit_bytes=2 * CHUNK_BYTES)
    puts = 0
    while intake.has_room():
        intake.put("forward", lines_of("shop", b"x" * 50_000), Delivery())
        puts += 1
    assert intake.used_bytes <= 2 * CHUNK_BYTES
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await intake.room()
    lanes.acknowledge()
    async with asyncio.timeout(30):
        await intake.room()
    assert puts > 3
    assert intake.used_bytes == 0


def test_made_up_names_share_sources_beyond_a_number_and_stay_contiguous(make_intake: Any, lanes: Any) -> None:
    intake = make_intake(own_sources=3)
    for _ in range(2):
        for number in range(100):
            intake.put("forward", lines_of(f"app-{number}", b"text"), Delivery())
    ends: dict[bytes, int] = {}
    for partition, one in lanes.put_chunks:
        assert one.chunk.start == one.chunk.prev_end == ends.get(one.chunk.source, 0)
        ends[one.chunk.source] = one.chunk.end
        assert 0 <= partition < 8
    assert len(ends) <= 3 + 8
    assert {one.chunk.origin.app for _, one in lanes.put_chunks} == {f"app-{number}" for number in range(100)}


def test_the_end_of_an_input_ends_each_of_its_sources_for_good(make_intake: Any, lanes: Any) -> None:
    intake = make_intake(own_sources=1)
    for app in ("shop", "blog"):
        intake.put("forward", lines_of(app, b"a"), Delivery())
    intake.end()
    finals = [one.chunk for _, one in lanes.put_chunks if one.chunk.flags & Flag.FINAL]
    assert [chunk.data for chunk in finals] == [b"", b""]
    assert {chunk.source for chunk in finals} == {one.chunk.source for _, one in lanes.put_chunks}
    assert all(chunk.start == chunk.end == chunk.prev_end > 0 for chunk in finals)
    with pytest.raises(RuntimeError):
        intake.put("forward", lines_of("shop", b"late"), Delivery())


def test_lines_are_counted_by_input(make_intake: Any, registry: Any) -> None:
    lines = lines_of("shop", b"a", b"b\nc")
    make_intake().put("forward", lines, Delivery())
    assert registry.get_sample_value("fluentd_input_messages_total", {"input": "forward"}) == 2
    assert registry.get_sample_value("fluentd_input_bytes_total", {"input": "forward"}) == len(lines.data)


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=50), st.booleans())
def test_every_message_comes_back_from_its_lines(time_ns: int, message: bytes, error: bool) -> None:
    data = cri_lines(time_ns, message, stream=STDERR if error else 0)
    assert data.endswith(b"\n")
    contents = []
    for line in data[:-1].split(b"\n"):
        header = parse_header(line)
        assert header is not None
        assert (header.time_ns, header.partial, header.stream) == (time_ns, False, STDERR if error else 0)
        contents.append(line[header.content_start :])
    assert b"\n".join(contents) == message.removesuffix(b"\n")


def test_a_long_line_is_cut_into_pieces_that_join_and_each_fits_a_chunk(make_intake: Any, lanes: Any) -> None:
    long = bytes(range(11, 256)) * 4000
    intake = make_intake(limit_bytes=8 * 2**20)
    intake.put("forward", lines_of("shop", b"before", long + b"\nafter", b"last"), Delivery())
    chunks = [one.chunk for _, one in lanes.put_chunks]
    assert all(len(chunk.data) <= CHUNK_BYTES and chunk.data.endswith(b"\n") for chunk in chunks)
    joined, whole = b"", []
    for line in b"".join(chunk.data for chunk in chunks)[:-1].split(b"\n"):
        header = parse_header(line)
        assert header is not None
        assert len(line) - header.content_start <= PIECE_BYTES
        joined += line[header.content_start :]
        if not header.partial:
            whole.append(joined)
            joined = b""
    assert whole == [b"before", long, b"after", b"last"]
