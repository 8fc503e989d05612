"""A file that is truncated: what it was, its copy, and what grows in it after."""

from typing import Any

from pipeline.chunk import Flag
from pipeline.limits import CHUNK_BYTES


def test_the_unread_rest_of_a_truncated_file_is_read_from_its_copy(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(4)]
    container.append(lines[0])
    steps.round()
    container.append(lines[1])
    container.copytruncate()
    container.append(*lines[2:])
    steps.settle()
    assert steps.logger.lines() == lines
    assert len(steps.logger.ordinals) == 2
    assert steps.tally.lost_bytes == {}
    assert steps.tally.truncations == 1


def test_known_bytes_of_a_truncated_file_without_a_copy_are_counted_and_declared(steps: Any, container: Any) -> None:
    container.append(container.line("a"), b"x" * (CHUNK_BYTES - 200) + b"\n", container.line("lost"), b"torn")
    size = container.live.stat().st_size
    steps.scan()
    steps.read(1)
    steps.read(0)
    (sent,) = steps.inflight
    container.truncate()
    container.append(container.line("b"))
    steps.settle()
    lost = size - sent.chunk.end
    assert lost > 0
    assert steps.tally.lost_bytes == {"truncated": lost}
    (told,) = [chunk for chunk in steps.logger.chunks if chunk.flags & Flag.DECLARED_LOSS]
    assert (told.prev_end, told.start, told.end, told.data) == (sent.chunk.end, size, size, b"")
    assert steps.logger.lines()[-1].endswith(b" b\n")


def test_a_file_regrown_to_the_same_size_with_the_same_end_is_another_source(steps: Any, container: Any) -> None:
    first, second = container.line("x" * 100), container.line("x" * 100)
    container.append(first)
    steps.round()
    container.truncate()
    container.append(second)
    steps.settle()
    assert steps.logger.lines() == [first, second]
    assert steps.tally.truncations == 1


def test_a_file_regrown_while_down_with_the_same_first_line_is_another_source(steps: Any, container: Any) -> None:
    first, second, third = container.line("a"), container.line("b"), container.line("longer than b")
    container.append(first, second)
    steps.round()
    steps.save()
    container.truncate()
    container.append(first, third)
    steps.crash()
    steps.settle()
    assert steps.logger.lines() == [first, second, first, third]
    assert len(steps.logger.ordinals) == 2
    assert steps.tally.truncations == 1


def test_copies_of_two_truncations_and_a_rotation_between_looks_come_in_order(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(4)]
    torn = container.line("torn")[:-1]
    container.append(lines[0])
    steps.round()
    container.copytruncate()
    container.append(torn)
    container.copytruncate()
    container.append(lines[1])
    container.rotate()
    container.append(lines[2])
    steps.settle()
    assert b"".join(steps.logger.sources()) == lines[0] + torn + lines[1] + lines[2]


def test_the_copy_of_what_a_truncated_file_is_now_and_the_file_are_one_source(steps: Any, container: Any) -> None:
    """Truncated, written to and copied before anybody looked; the writer goes on in the file."""
    lines = [container.line(f"{number}") for number in range(4)]
    container.append(lines[0])
    steps.round()
    container.copytruncate()
    container.append(lines[1], lines[2])
    container.next_name().write_bytes(container.live.read_bytes())
    container.append(lines[3])
    steps.settle()
    assert steps.logger.lines() == lines
