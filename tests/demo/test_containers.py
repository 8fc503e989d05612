"""The demo's log files are what containerd and kubelet make: pieces, names, rotation, gzip."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.containers import PIECE_BYTES, Container, ContainerLog, next_restart, remove_dead_runs
from pipeline.cri import STDERR, STDOUT, parse_header

CONTAINER = Container("shop", "shop-web-abc-x1", "uid-1", "shop-web")


def stored(path: Path) -> list[tuple[int, bool, bytes]]:
    """(stream, partial, content) of each stored line."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = []
    for line in data.splitlines(keepends=True):
        assert line.endswith(b"\n")
        header = parse_header(line)
        assert header is not None
        lines.append((header.stream, header.partial, line[header.content_start : -1]))
    return lines


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ContainerLog]:
    made = ContainerLog(tmp_path, CONTAINER)
    yield made
    made.close()


def test_files_are_named_as_kubelet_names_them(tmp_path: Path, log: ContainerLog) -> None:
    assert log.path == tmp_path / "shop_shop-web-abc-x1_uid-1" / "shop-web" / "0.log"


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        (0, [0]),
        (1, [1]),
        (PIECE_BYTES, [PIECE_BYTES]),
        (PIECE_BYTES + 1, [PIECE_BYTES, 1]),
        (3 * PIECE_BYTES, [PIECE_BYTES] * 3),
    ],
)
def test_a_long_line_is_stored_in_pieces_ended_by_one_full(log: ContainerLog, size: int, pieces: list[int]) -> None:
    content = b"y" * size
    log.write(content, stream=STDERR)
    lines = stored(log.path)
    assert [len(part) for _, _, part in lines] == pieces
    assert [partial for _, partial, _ in lines] == [True] * (len(pieces) - 1) + [False]
    assert {stream for stream, _, _ in lines} == {STDERR}


def test_an_unfinished_line_has_no_full_piece(log: ContainerLog) -> None:
    log.write_unfinished(b"a" * (PIECE_BYTES + 5))
    assert [partial for _, partial, _ in stored(log.path)] == [True, True]


def test_rotation_leaves_the_newest_rotated_file_plain_and_compresses_the_others(log: ContainerLog) -> None:
    for number in range(4):
        log.write(b"%d" % number)
        log.rotate()
    rotated = log.rotated()
    assert [path.suffix == ".gz" for path in rotated] == [True, True, True, False]
    assert [stored(path)[0][2] for path in rotated] == [b"0", b"1", b"2", b"3"]
    assert log.path.read_bytes() == b""


def test_five_files_are_kept_the_live_one_included(log: ContainerLog) -> None:
    for number in range(9):
        log.write(b"%d" % number)
        log.rotate()
    assert [stored(path)[0][2] for path in log.rotated()] == [b"5", b"6", b"7", b"8"]
    assert not list(log.folder.glob("*.tmp"))


def test_a_full_file_is_rotated(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path, CONTAINER, rotate_bytes=100)
    for _ in range(4):
        log.write(b"x" * 30)
    log.close()
    assert [len(stored(path)) for path in (*log.rotated(), log.path)] == [2, 2, 0]


def test_a_rotation_may_fall_between_the_pieces_of_a_line(log: ContainerLog) -> None:
    log.rotate_soon()
    log.write(b"y" * (PIECE_BYTES + 1))
    assert [len(stored(path)) for path in (*log.rotated(), log.path)] == [1, 1]


def test_copytruncate_keeps_the_file_and_empties_it(log: ContainerLog) -> None:
    log.write(b"before")
    inode = log.path.stat().st_ino
    log.copytruncate()
    log.write(b"after")
    assert log.path.stat().st_ino == inode
    assert [content for _, _, content in stored(log.path)] == [b"after"]
    assert [content for _, _, content in stored(log.rotated()[0])] == [b"before"]


def test_a_restart_begins_a_new_file_and_old_runs_can_be_removed(log: ContainerLog) -> None:
    log.write(b"one")
    log.rotate()
    log.restart()
    log.write(b"two")
    assert log.path.name == "1.log"
    assert next_restart(log.folder) == 2
    remove_dead_runs(log.folder, before=1)
    assert [path.name for path in log.folder.iterdir()] == ["1.log"]


def test_bytes_may_be_written_as_they_are(log: ContainerLog) -> None:
    log.write_stored(b"no header\n")
    log.write(b"x", stream=STDOUT)
    assert log.path.read_bytes().startswith(b"no header\n2")
