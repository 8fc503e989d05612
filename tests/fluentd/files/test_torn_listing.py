"""Names that change between their listing and the look at what they are, within one step of the directory's time."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fluentd.files.discovery import Discovery, Listing

_TIME_NS = 1_700_000_000_000_000_000


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has something happen each time right after the names of a directory are known, and the directory's time stand."""

    def set_hook(folder: Path, *acts: Callable[[], object]) -> None:
        scandir, left = os.scandir, list(acts)

        @contextmanager
        def listed(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
            with scandir(path) as entries:
                known = list(entries)
            if path == str(folder) and left:
                left.pop(0)()
                os.utime(folder, ns=(_TIME_NS, _TIME_NS))
            yield iter(known)

        monkeypatch.setattr(os, "scandir", listed)
        os.utime(folder, ns=(_TIME_NS, _TIME_NS))

    return set_hook


def _look(root: Path) -> tuple[list[str], Listing]:
    listing = Discovery(str(root)).scan(started_ns=_TIME_NS + 10**10)
    (files,) = listing.changed.values()
    return [Path(file.path).name for file in files], listing


def test_a_file_that_is_renamed_between_its_listing_and_the_look_at_it_is_found(
    tmp_path: Path, make_container: Any, between: Callable[..., None]
) -> None:
    """Its old name leads to the new file by then, and its new one was not listed."""
    container = make_container(tmp_path)
    container.append(container.line("old"))
    between(container.folder, container.rotate)
    names, listing = _look(tmp_path)
    assert names == ["0.log.20261124-000001", "0.log"]
    assert not listing.unsteady


def test_a_file_that_is_renamed_and_has_no_follower_yet_is_found(
    tmp_path: Path, make_container: Any, between: Callable[..., None]
) -> None:
    container = make_container(tmp_path)
    container.append(container.line("old"))
    between(container.folder, lambda: container.rotate(create=False))
    assert _look(tmp_path)[0] == ["0.log.20261124-000001"]


def test_a_folder_that_is_torn_at_each_try_proves_nothing(
    tmp_path: Path, make_container: Any, between: Callable[..., None]
) -> None:
    container = make_container(tmp_path)
    container.append(container.line("old"))
    between(container.folder, *[container.rotate] * 10)
    assert _look(tmp_path)[1].unsteady


def test_a_file_system_that_numbers_files_in_another_way_in_its_listings_is_no_rotation(
    tmp_path: Path, make_container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file that is a mount of its own, or an overlay over several file systems."""
    container = make_container(tmp_path)
    container.append(container.line("old"))
    os.utime(container.folder, ns=(_TIME_NS, _TIME_NS))
    facts = os.stat

    def other_inodes(path: Any, **options: Any) -> os.stat_result:
        result = facts(path, **options)
        return os.stat_result((result[0], result.st_ino + 1, *result[2:]), {"st_mtime_ns": result.st_mtime_ns})

    monkeypatch.setattr(os, "stat", other_inodes)
    names, listing = _look(tmp_path)
    assert names == ["0.log"]
    assert not listing.unsteady


def test_lines_that_a_torn_listing_would_hide_come_in_order(
    tmp_path: Path, make_container: Any, make_steps: Any, between: Callable[..., None]
) -> None:
    container, steps = make_container(tmp_path), make_steps(tmp_path)
    lines = [container.line("old"), container.line("new")]
    container.append(lines[0])

    def rotate() -> None:
        container.rotate()
        container.append(lines[1])

    between(container.folder, rotate)
    steps.round()
    steps.round()
    assert steps.logger.lines() == lines
    steps.tree.close()
