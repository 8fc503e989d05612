"""One hazard of log files each: what kubelet, logrotate, users and crashes do to them."""

import os
from pathlib import Path
from typing import Any

from pipeline.chunk import Flag
from pipeline.limits import CHUNK_BYTES, MIB

CLOSE = 6.0


def test_two_rotations_between_looks_keep_the_order(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(6)]
    container.append(*lines[:2])
    steps.round()
    container.append(lines[2])
    container.rotate()
    container.append(lines[3])
    container.rotate()
    container.append(*lines[4:])
    steps.settle()
    assert steps.logger.lines() == lines
    assert sorted(steps.logger.ordinals.values()) == [0, 1, 2]


def test_rotation_while_down_is_read_from_the_siblings_compressed_ones_too(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(8)]
    container.append(*lines[:2])
    steps.round()
    steps.save()
    container.append(*lines[2:4])
    first = container.rotate()
    container.append(*lines[4:6])
    container.rotate()
    container.append(*lines[6:])
    container.compress(first)
    steps.crash()
    steps.settle()
    assert steps.logger.lines() == lines
    assert [chunk.start for chunk in steps.logger.chunks if chunk.ordinal == 0] == [0, sum(map(len, lines[:2]))]


def test_a_compressed_file_that_was_sent_is_not_read_again(steps: Any, container: Any) -> None:
    container.append(container.line("a"))
    steps.round()
    rotated = container.rotate()
    container.append(container.line("b"))
    steps.settle()
    container.compress(rotated)
    chunks = len(steps.logger.chunks)
    steps.settle()
    steps.crash()
    steps.settle()
    assert len(steps.logger.chunks) == chunks
    assert len(steps.open_inodes()) == 1


def test_a_file_deleted_while_being_read_is_read_to_its_end(steps: Any, container: Any) -> None:
    lines = [container.line("x" * 1000) for _ in range(2000)]
    container.append(*lines)
    steps.scan()
    steps.read(1)
    container.live.unlink()
    with_end = container.line("torn")[:-1]
    steps.settle()
    assert steps.logger.lines() == lines
    assert with_end not in steps.logger.lines()
    for _ in range(3):
        steps.now += 100
        steps.round()
    assert not steps.open_inodes()
    assert list(steps.tree) == []


def test_a_reused_inode_is_another_source(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(2)]
    container.append(lines[0])
    inode = container.live.stat().st_ino
    steps.settle()
    steps.save()
    container.live.unlink()
    steps.tree.close()
    for _ in range(200):
        container.append(lines[1])
        if container.live.stat().st_ino == inode:
            break
        container.live.unlink()
    else:
        container.append(lines[1])
    steps.crash()
    steps.settle()
    assert steps.logger.lines() == lines


def test_links_that_dangle_loop_or_lead_out_are_survived(
    make_steps: type[Any], make_container: type[Any], tmp_path: Path
) -> None:
    root, outside, docker = tmp_path / "pods", tmp_path / "outside", tmp_path / "docker"
    for folder in (root, outside, docker):
        folder.mkdir()
    container = make_container(root)
    container.append(good := container.line("good"))
    (outside / "secret").write_bytes(b"2026-11-24T12:00:00Z stdout F secret\n")
    (docker / "a.log").write_bytes(linked := b"2026-11-24T12:00:00Z stdout F linked\n")
    (container.folder / "1.log").symlink_to(tmp_path / "nowhere")
    (container.folder / "2.log").symlink_to(container.folder / "2.log")
    (container.folder / "3.log").symlink_to(outside / "secret")
    (container.folder / "4.log").symlink_to(docker / "a.log")
    (container.folder / "5.log").mkdir()
    os.mkfifo(container.folder / "6.log")
    (root / "circle_circle_1").symlink_to(root, target_is_directory=True)
    (root / "no pod").mkdir()
    steps = make_steps(root, link_targets=(str(docker),))
    listing = steps.scan()
    steps.settle()
    assert sorted(bytes(data) for data in steps.logger.data.values()) == sorted([good, linked])
    assert listing.ignored == [str(container.folder / "3.log"), str(root / "no pod")]
    steps.tree.close()


def test_a_line_over_the_chunk_limit_goes_on_in_the_next_chunk(steps: Any, container: Any) -> None:
    before, after = container.line("before"), container.line("after")
    long = container.line("x" * (3 * MIB))
    container.append(before, long, after)
    steps.settle()
    assert steps.logger.lines() == [before, long, after]
    assert max(len(chunk.data) for chunk in steps.logger.chunks) <= CHUNK_BYTES
    middle = [chunk.flags for chunk in steps.logger.chunks]
    assert middle[:2] == [Flag.NONE, Flag.NONE]
    assert set(middle[2:]) == {Flag.MID_LINE}


def test_an_unterminated_last_line_is_sent_when_its_file_is_final(steps: Any, container: Any) -> None:
    whole, torn, following = container.line("a"), container.line("torn")[:-1], container.line("b")
    container.append(whole, torn)
    steps.round()
    container.rotate(create=False)
    steps.settle()
    assert steps.logger.lines() == [whole]
    container.append(following)
    steps.round()
    assert steps.logger.lines() == [whole, torn, following]
    assert [chunk.flags for chunk in steps.logger.chunks] == [Flag.NONE, Flag.FINAL, Flag.NONE]


def test_a_file_waits_a_moment_for_the_end_of_the_line_before_it(steps: Any, container: Any) -> None:
    whole, following = container.line("a"), container.line("b")
    container.append(whole[:-5])
    rotated = container.rotate()
    container.append(following)
    steps.round()
    assert steps.logger.lines() == []
    container.append(whole[-5:], path=rotated)
    steps.now += 0.5
    steps.round()
    assert steps.logger.lines() == [whole, following]


def test_a_long_line_left_open_at_the_end_of_a_deleted_file_is_closed(steps: Any, container: Any) -> None:
    container.append(container.line("a"), container.line("x" * (CHUNK_BYTES * 2))[:CHUNK_BYTES])
    steps.round()
    container.live.unlink()
    steps.settle()
    assert steps.logger.chunks[-1].flags == Flag.FINAL | Flag.MID_LINE
    assert steps.logger.chunks[-1].data == b""


def test_a_line_written_to_the_old_file_after_the_rotation_arrives(steps: Any, container: Any) -> None:
    a, b, late = container.line("a"), container.line("b"), container.line("late")
    container.append(a)
    steps.round()
    rotated = container.rotate()
    container.append(b)
    steps.round()
    container.append(late, path=rotated)
    steps.round()
    assert steps.logger.lines() == [a, late, b]
    assert [chunk.ordinal for chunk in steps.logger.chunks] == [0, 1, 0]


def test_pieces_of_a_line_across_a_rotation_stay_in_order(steps: Any, container: Any) -> None:
    pieces = [b"2026-11-24T12:00:00.%09dZ stdout P %s\n" % (n, b"x" * 16384) for n in range(1, 40)]
    pieces.append(b"2026-11-24T12:00:00.000000040Z stdout F end\n")
    for number, piece in enumerate(pieces):
        container.append(piece)
        if number in {7, 8, 20}:
            container.rotate()
        if number in {3, 20, 30}:
            steps.round()
    steps.settle()
    assert steps.logger.lines() == pieces
    assert len({chunk.origin for chunk in steps.logger.chunks}) == 1


def test_ordinals_and_partition_survive_a_crash_before_the_first_acknowledgement(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(3)]
    container.append(lines[0])
    first = container.rotate()
    container.append(lines[1])
    steps.scan()
    steps.read()
    sent = {one.source.id: one.source.ordinal for one in steps.inflight}
    steps.deliver_unacknowledged(2)
    first.unlink()
    steps.partition = 5
    steps.crash()
    steps.settle()
    assert steps.logger.lines() == lines[:2]
    assert steps.logger.ordinals == sent
    assert [run.partition for run in steps.tree] == [0]


def test_a_compressed_file_that_ends_in_the_middle_gives_what_it_has(steps: Any, container: Any) -> None:
    lines = [container.line(os.urandom(500).hex()) for _ in range(400)]
    container.append(*lines)
    compressed = container.compress(container.rotate())
    compressed.write_bytes(compressed.read_bytes()[:-20000])
    container.append(following := container.line("b"))
    steps.settle()
    got = steps.logger.lines()
    assert got[:50] == lines[:50]
    assert got[-1] == following
    assert steps.tally.damaged_files == 1


def test_numbered_rotations_are_read_oldest_first(steps: Any, container: Any) -> None:
    lines = [container.line(str(number)) for number in range(3)]
    for name, line in zip(("0.log.2", "0.log.1", "0.log"), lines, strict=True):
        container.append(line, path=container.folder / name)
    container.compress(container.folder / "0.log.2")
    (container.folder / "0.log.3.tmp").write_bytes(b"no log\n")
    steps.settle()
    assert steps.logger.lines() == lines


def test_docker_lines_become_the_runtimes_format_under_the_names_of_their_own_bytes(steps: Any, container: Any) -> None:
    docker = [b'{"log":"line %d\\n","stream":"stdout","time":"2026-11-24T12:00:00.5Z"}\n' % n for n in range(3)]
    container.append(*docker[:2])
    steps.round()
    steps.save()
    steps.crash()
    container.append(docker[2])
    steps.round()
    first, second = steps.logger.chunks
    assert first.data == b"2026-11-24T12:00:00.5Z stdout F line 0\n2026-11-24T12:00:00.5Z stdout F line 1\n"
    assert (first.start, first.end) == (0, len(docker[0]) * 2)
    assert first.line_offsets == (0).to_bytes(4, "little") + len(docker[0]).to_bytes(4, "little")
    assert second.start == first.end


def test_completeness_is_held_back_by_what_is_not_read(steps: Any, container: Any) -> None:
    container.append(container.line("a"))
    steps.round()
    assert steps.tree.complete_ns == int(steps.now * 1e9)
    before = steps.tree.complete_ns
    steps.now += 1
    container.append(container.line("b"), b"torn")
    steps.scan()
    assert steps.tree.complete_ns == before
    steps.round()
    assert steps.tree.complete_ns == before, "a line may be on its way"
    steps.now += CLOSE
    steps.round()
    assert steps.tree.complete_ns == int(steps.now * 1e9), "nothing follows that torn line"


def test_a_folder_that_cannot_be_listed_holds_completeness_back(steps: Any, container: Any, tmp_path: Path) -> None:
    container.append(container.line("a"))
    steps.round()
    before = steps.tree.complete_ns
    aside = tmp_path.with_name("aside")
    tmp_path.rename(aside)
    steps.now += 1
    listing = steps.scan()
    steps.read()
    aside.rename(tmp_path)
    assert listing.problems
    assert steps.tree.complete_ns == before
    steps.round()
    assert steps.tree.complete_ns > before


def test_a_file_renamed_between_listing_and_opening_holds_completeness_back(steps: Any, container: Any) -> None:
    container.append(container.line("a"))
    listing = steps.discovery.scan(started_ns=int(steps.now * 1e9))
    container.rotate(create=False)
    steps.tree.apply(listing, now=steps.now)
    steps.read()
    assert steps.tree.complete_ns == 0
    steps.round()
    assert steps.tree.complete_ns == int(steps.now * 1e9)


def test_known_bytes_of_a_file_that_is_gone_after_a_restart_are_counted(steps: Any, container: Any) -> None:
    container.append(container.line("x" * CHUNK_BYTES), container.line("y" * CHUNK_BYTES))
    size = container.live.stat().st_size
    steps.scan()
    steps.read(1)
    steps.acknowledge()
    steps.save()
    container.live.unlink()
    steps.crash()
    steps.round()
    assert steps.tally.lost_bytes == {}, "a folder may be away for a moment"
    steps.now += 100
    steps.round()
    assert steps.tally.lost_bytes == {"deleted": size - CHUNK_BYTES}
    assert list(steps.tree) == []


def test_a_file_is_not_final_while_nothing_is_written_to_the_next(steps: Any, container: Any) -> None:
    whole = container.line("a")
    container.append(whole[:-5])
    steps.round()
    rotated = container.rotate()
    steps.now += CLOSE
    steps.round()
    container.append(whole[-5:], path=rotated)
    steps.round()
    assert [(chunk.data, chunk.flags) for chunk in steps.logger.chunks] == [(whole, Flag.NONE)]
