"""The demo's apps write as a cluster's pods do, and go on where an earlier demo stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.__main__ import main
from demo.apps import LABELS_FILE, WORKLOADS, make_writers, write_labels
from demo.containers import next_restart
from demo.stack import wait_until
from fluentd.pods.names import read_labels


def lines_in(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.log"))


def test_the_demo_writes_a_few_hundred_lines_a_second_at_most(tmp_path: Path) -> None:
    writers = make_writers(tmp_path, seed=1)
    for writer in writers:
        for _ in range(100):
            writer.advance(0.1)
        writer.close()
    assert 500 < lines_in(tmp_path) < 3000
    assert len(writers) == sum(workload.pods for workload in WORKLOADS)


def test_there_is_an_app_called_demo_with_web_and_worker(tmp_path: Path) -> None:
    for writer in make_writers(tmp_path, seed=1):
        writer.close()
    processes = {folder.name for folder in tmp_path.glob("demo_*/*")}
    assert processes == {"demo-web", "demo-worker"}


def test_small_files_rotate(tmp_path: Path) -> None:
    for writer in make_writers(tmp_path, seed=1, rotate_bytes=2000):
        for _ in range(20):
            writer.advance(1.0)
        writer.close()
    assert list(tmp_path.rglob("*.gz"))


def test_a_second_demo_goes_on_as_the_next_run_and_keeps_the_last_one(tmp_path: Path) -> None:
    for _ in range(3):
        for writer in make_writers(tmp_path, seed=1):
            writer.advance(1.0)
            writer.close()
    folders = list(tmp_path.glob("*/*"))
    assert len(folders) == sum(workload.pods for workload in WORKLOADS)
    for folder in folders:
        assert next_restart(folder) == 3
        assert not (folder / "0.log").exists()
        assert (folder / "1.log").exists()


def test_every_pod_has_the_labels_that_deis_gives_in_a_file_that_the_agent_reads(tmp_path: Path) -> None:
    writers = make_writers(tmp_path, seed=1)
    write_labels(tmp_path, writers)
    for writer in writers:
        writer.close()
    labels = read_labels(tmp_path / LABELS_FILE)
    pods = {"/".join(folder.name.split("_")[:2]) for folder in tmp_path.iterdir() if folder.is_dir()}
    assert labels.keys() == pods
    assert {(of["app"], of["type"], of["version"]) for of in labels.values()} == {
        (workload.app, workload.process, workload.release) for workload in WORKLOADS
    }


def start(folder: Path, *prefix: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([*prefix, sys.executable, "-m", "demo", str(folder)])


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tmp_path)
        before = lines_in(tmp_path)
        wait_until(lambda before=before: lines_in(tmp_path) > before, seconds=20, what="lines of the demo")
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.parametrize("arguments", [[], ["--help"], ["folder", "-1"], ["folder", "seed"], ["a", "1", "b"]], ids=str)
def test_a_wrong_command_line_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    # The shell starts the demo in the background, says its pid, and is killed.
    shell = subprocess.Popen(
        ["/bin/sh", "-c", '"$0" -m demo "$1" & echo $!; wait', sys.executable, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    wait_until(lambda: lines_in(tmp_path) > 0, seconds=20, what="lines of the demo")
    shell.kill()
    shell.wait(10)
    shell.stdout.close()
    wait_until(lambda: not _runs(pid), seconds=10, what="end of the demo")


def _runs(pid: int) -> bool:
    """Whether it runs: one that has ended and that nobody has waited for is a zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
