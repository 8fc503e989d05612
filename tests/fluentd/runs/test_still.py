"""Quiet files are not read at each scan: the kernel's sizes and times say that nothing was written."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SECOND_NS = 1_000_000_000


@pytest.fixture
def quiet(tmp_path: Path, make_container: Any) -> Any:
    """A container whose file and folders have been left alone for long, as far as their times say."""
    container = make_container(tmp_path)
    container.append(container.line("first"))
    return container


class _Scans:
    """Scans and passes of an agent that is driven by hand, at wall times that lie behind those of the files."""

    def __init__(self, steps: Any) -> None:
        self.steps = steps
        self.at_ns = time.time_ns() + 60 * _SECOND_NS

    def scan(self, *, thorough: bool = False) -> int:
        """One scan; returns how many runs it wants looked at."""
        self.at_ns += 2 * _SECOND_NS
        self.steps.now += 2.0
        listing = self.steps.discovery.scan(started_ns=self.at_ns, thorough=thorough)
        self.steps.tree.apply(listing, now=self.steps.now)
        return len(self.steps.tree.due())

    def look(self) -> None:
        """One pass: what has nothing comes to rest."""
        self.steps.read()
        self.steps.acknowledge()
        for run in self.steps.tree.due():
            if self.steps.tree.may_rest(run, now=self.steps.now):
                self.steps.tree.rest(run)

    def settle(self) -> None:
        """Scans until a look is not wanted any more."""
        for _ in range(5):
            if not self.scan():
                return
            self.look()
        raise AssertionError("never still")


@pytest.fixture
def scans(steps: Any) -> _Scans:
    return _Scans(steps)


def test_a_file_that_nobody_writes_to_is_not_looked_at_again(scans: _Scans, quiet: Any) -> None:
    scans.settle()
    assert scans.scan() == 0
    assert scans.steps.logger.lines(), "it was read"
    assert scans.steps.tree.complete_ns == scans.at_ns, "and is known to be complete up to the start of the scan"
    assert scans.scan(thorough=True) == 1, "once in a while, times are not trusted"


@pytest.mark.parametrize(
    "act",
    [
        lambda container: container.append(container.line("second")),
        lambda container: container.append(b"no end"),
        lambda container: container.truncate(),
        lambda container: container.live.unlink(),
        lambda container: container.rotate(),
        lambda container: container.copytruncate(),
        lambda container: container.live.write_bytes(container.live.read_bytes().replace(b"first", b"other")),
    ],
    ids=["line", "piece", "truncate", "delete", "rotate", "copytruncate", "same size"],
)
def test_whatever_happens_to_it_a_look_is_due_and_nothing_is_complete_before(
    scans: _Scans, quiet: Any, act: Callable[[Any], object]
) -> None:
    scans.settle()
    complete_ns = scans.steps.tree.complete_ns
    act(quiet)
    assert scans.scan() == 1
    assert scans.steps.tree.complete_ns == complete_ns


def test_a_line_that_was_written_after_the_last_look_is_seen_though_the_stamp_before_the_rest_has_it(
    scans: _Scans, quiet: Any
) -> None:
    """The stamp is taken before a look, not after: between the look and the rest, something may be written."""
    scans.settle()
    scans.scan(thorough=True)
    scans.steps.read()
    quiet.append(quiet.line("second"))
    for run in scans.steps.tree.due():
        scans.steps.tree.rest(run)
    scans.settle()
    assert len(scans.steps.logger.lines()) == 2


def test_a_file_whose_time_is_young_may_be_written_to_without_its_time_changing(scans: _Scans, quiet: Any) -> None:
    os.utime(quiet.folder, ns=(_SECOND_NS, _SECOND_NS))
    scans.at_ns = time.time_ns() - _SECOND_NS
    for _ in range(6):
        scans.at_ns -= 2 * _SECOND_NS  # no time goes by
        assert scans.scan() == 1
        scans.look()


def test_a_deleted_file_is_closed_though_nothing_is_written_to_it(scans: _Scans, quiet: Any) -> None:
    scans.settle()
    quiet.append(quiet.line("last"))
    scans.scan()
    scans.look()
    quiet.live.unlink()
    for _ in range(20):
        scans.scan()
        scans.look()
    assert not scans.steps.open_inodes()


def test_a_file_of_an_earlier_run_is_closed_though_nothing_is_written_to_it(scans: _Scans, quiet: Any) -> None:
    scans.settle()
    quiet.append(quiet.line("last"))
    scans.scan()
    scans.look()
    later = quiet.folder / "1.log"
    quiet.append(quiet.line("again"), path=later)
    for _ in range(20):
        scans.scan()
        scans.look()
    assert {inode for _, inode in scans.steps.open_inodes()} == {later.stat().st_ino}


def test_pods_folders_that_did_not_change_are_not_listed(
    tmp_path: Path, scans: _Scans, quiet: Any, make_container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans.settle()
    (tmp_path / "odd").mkdir()
    scandir, listed = os.scandir, []

    def watched(path: str) -> Any:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    first = scans.steps.discovery.scan(started_ns=scans.at_ns)
    assert first.places
    listed.clear()
    again = scans.steps.discovery.scan(started_ns=scans.at_ns)
    assert listed == [str(tmp_path)]
    assert again.places == first.places
    assert again.ignored == first.ignored == [str(tmp_path / "odd")]
    make_container(tmp_path, name="worker")
    assert len(scans.steps.discovery.scan(started_ns=scans.at_ns).places) == 2
