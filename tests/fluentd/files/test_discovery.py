"""Names of files and folders, and what a scan looks at."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.files.discovery import Discovery, parse_log, parse_pod


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo_demo-web-1_uid-1", ("demo", "demo-web-1", "uid-1")),
        ("kube-system_kube-proxy-x_0123456789abcdef0123456789abcdef", None),
        ("a_b", None),
        ("a_b_c_d", None),
        ("a_b_", None),
        ("..", None),
        ("a_b_c\n", None),
        ("a_b_\udcff", None),
        ("Strange_näme_1", ("Strange", "näme", "1")),
        (f"a_{'b' * 254}_c", None),
    ],
)
def test_pod_folders_are_told_by_their_names(name: str, expected: tuple[str, str, str] | None) -> None:
    if name.startswith("kube-system"):
        expected = ("kube-system", "kube-proxy-x", "0123456789abcdef0123456789abcdef")
    assert parse_pod(name) == expected


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("0.log", True),
        ("12.log.20261124-120000", True),
        ("0.log.20261124-120000.gz", True),
        ("0.log.1", True),
        ("0.log.2.gz", True),
        ("0.log-20261124", True),
        ("0.log.20261124-120000.tmp", False),
        ("0.log.gz", False),
        ("0.log.20261124-120000.gz.tmp", False),
        ("x.log", False),
        ("00.log", False),
        ("٣.log", False),
        ("9999999999.log", False),
        ("0.log\n", False),
        (".0.log", False),
    ],
)
def test_log_files_are_told_by_their_names(name: str, known: bool) -> None:
    assert (parse_log(name) is not None) == known


@given(name=st.text(max_size=40))
def test_no_name_breaks_the_parsing(name: str) -> None:
    parse_log(name)
    parse_pod(name)


def test_files_come_oldest_first(tmp_path: Path, make_container: Any) -> None:
    container = make_container(tmp_path)
    names = [
        "0.log.3.gz",
        "0.log.2.gz",
        "0.log.1",
        "0.log",
        "1.log.20261124-120000.gz",
        "1.log.20261124-120001",
        "1.log",
    ]
    for name in reversed(names):
        (container.folder / name).touch()
    (files,) = Discovery(str(tmp_path)).scan(started_ns=1).changed.values()
    assert [Path(file.path).name for file in files] == names


def test_a_folder_that_did_not_change_is_not_listed_again(tmp_path: Path, make_container: Any) -> None:
    container = make_container(tmp_path)
    container.append(container.line())
    discovery = Discovery(str(tmp_path))
    now = time.time_ns()
    assert discovery.scan(started_ns=now).changed, "listed"
    assert discovery.scan(started_ns=now).changed, "too young to be trusted: it may change within one step of its time"
    os.utime(container.folder, ns=(now - 10**10, now - 10**10))
    assert discovery.scan(started_ns=now).changed
    assert not discovery.scan(started_ns=now).changed
    assert discovery.scan(started_ns=now, thorough=True).changed
    container.rotate()
    assert discovery.scan(started_ns=now).changed


def test_a_missing_root_is_a_problem_and_a_missing_pod_is_not(tmp_path: Path) -> None:
    assert Discovery(str(tmp_path / "nowhere")).scan(started_ns=1).problems
    assert not Discovery(str(tmp_path)).scan(started_ns=1).problems
