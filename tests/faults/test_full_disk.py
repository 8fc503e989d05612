"""A full disk under agent state, queue or table: readiness says so, nothing is lost, and it recovers by itself."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stack import Stack, wait_until

DISK_BYTES = 24 * 1024 * 1024
BLOCK_BYTES = 4096


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], None]]:
    """A function that puts a tiny file system of its own under a folder."""
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs, which takes root: {done.stderr.decode().strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use up all room of a folder's file system; returns the file to remove."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * BLOCK_BYTES)
        except OSError:
            return ballast


def is_broken(stack: Stack, service: str) -> bool:
    """Whether a service is alive and says that it cannot serve, and why."""
    answer = stack.get(service, "/readyz")
    return (
        answer.status == 503
        and bool(json.loads(answer.body)["problems"])
        and stack.get(service, "/healthz").status == 200
    )


@pytest.mark.faults
@pytest.mark.parametrize("killed", [False, True], ids=["running on", "killed while full"])
@pytest.mark.parametrize(
    ("place", "service"),
    [("state", "agent"), ("queue", "agent"), ("store", "logger")],
    ids=["agent state", "queue", "table"],
)
def test_a_full_disk_loses_nothing_and_is_survived(
    make_trial: Callable[..., Any], small_disk: Callable[[Path], None], place: str, service: str, killed: bool
) -> None:
    trial = make_trial(seed=1, lines_per_second=40.0, restart_seconds=0)
    folder: Path = getattr(trial.stack, place)
    small_disk(folder)
    trial.start("agent")
    trial.start("logger")
    trial.stack.wait_ready("agent", "logger")
    trial.writers.start()
    wait_until(lambda: all(trial.followed.values()), seconds=30, what="the first lines")
    ballast = fill(folder)
    wait_until(lambda: is_broken(trial.stack, service), seconds=30, what=f"{service} says that it is not ready")
    if killed:
        trial.kill(service)
        trial.start(service)
        wait_until(lambda: is_broken(trial.stack, service), seconds=30, what=f"{service} runs and is not ready")
    pids = {name: process.pid for name, process in trial.stack.processes.items()}
    ballast.unlink()
    trial.stack.wait_ready("agent", "logger", seconds=60)
    assert {name: process.pid for name, process in trial.stack.processes.items()} == pids
    trial.verdict()
