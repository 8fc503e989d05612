"""The check of numbered lines finds each kind of fault: a check that finds nothing proves nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from demo.numbered import LONG_EVERY, Seen, Writers, find_faults, make_line

COUNT = 120


def lines() -> list[Seen]:
    return [Seen(make_line(0, 0, number), f"place {number}") for number in range(COUNT)]


def test_what_was_written_has_no_faults() -> None:
    assert find_faults(lines(), {0: COUNT}) == []
    assert LONG_EVERY < COUNT


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda seen: seen.pop(50), "lost: w0 n50"),
        (lambda seen: seen.pop(), f"lost: w0 n{COUNT - 1}"),
        (lambda seen: seen.insert(51, seen[50]), "doubled: w0 r0 n50"),
        (lambda seen: seen.insert(50, seen.pop(60)), "out of order: w0 r0 n50"),
        (lambda seen: seen.append(Seen("w0 r0 n999 " + "x" * (999 * 31 % 120), "late")), "never written: w0 n999"),
        (lambda seen: seen.append(Seen("rubbish", "somewhere")), "changed: 'rubbish'"),
        (lambda seen: seen.__setitem__(96, Seen(seen[96].message[:-1], "cut")), "changed: w0 r0 n96"),
    ],
    ids=["lost", "last lost", "doubled", "out of order", "never written", "rubbish", "cut"],
)
def test_each_fault_is_found_and_named(harm: Callable[[list[Seen]], object], word: str) -> None:
    seen = lines()
    harm(seen)
    faults = find_faults(seen, {0: COUNT})
    assert any(fault.startswith(word) for fault in faults), faults


def test_runs_of_one_container_may_interleave(tmp_path: Path) -> None:
    seen = [Seen(make_line(0, 0, 0), "a"), Seen(make_line(0, 1, 2), "b"), Seen(make_line(0, 0, 1), "c")]
    assert find_faults(seen, {0: 3}) == []


def test_writers_rotate_restart_and_count(tmp_path: Path) -> None:
    with Writers(tmp_path, writers=2, apps=1) as writers:
        writers.write(0, 10)
        writers.rotate(0)
        writers.write(0, 5)
        writers.restart(0)
        writers.write(0, 1)
        writers.write(1, 3)
        assert writers.written("app-0") == {0: 16, 1: 3}
        folder = writers.containers[0].folder(tmp_path)
        names = sorted(path.name.split(".log")[0] for path in folder.iterdir())
        assert names == ["0", "0", "1"]
