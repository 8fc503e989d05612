"""What real parts are made of, fetched from package registries by their own clients, and again when a network fails."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from demo.stack import StackError

ATTEMPTS: Final = 3

_DEBIAN: Final = """
cd "$0" && mkdir -p lists/partial && {
  apt-get download "$1" || {
    apt-get -qq -o Dir::State::Lists="$0/lists" update && apt-get -o Dir::State::Lists="$0/lists" download "$1"; }
} && dpkg -x ./*.deb . && rm -r ./*.deb lists
"""
"""A machine that never asked what packages there are is told, in a folder of ours: no right is needed for that. Always
the version that the distribution has now: it keeps no other."""


def fetch(command: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None) -> None:
    """Run a package client until it succeeds, at most `ATTEMPTS` times of at most `seconds` each.

    Raises:
        StackError: It never did; shows its last words.
    """
    for _ in range(ATTEMPTS):
        done = subprocess.run(  # noqa: S603 - the callers' own commands, versions fixed there
            command,
            check=False,
            timeout=seconds,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if done.returncode == 0:
            return
    raise StackError(f"{' '.join(command)} failed {ATTEMPTS} times: {done.stdout[-2000:]}")


def fetch_debian(package: str, folder: Path, *, seconds: float) -> None:
    """Unpack a package of Debian below `folder`, unless that is there; nothing of it is installed or started.

    Raises:
        StackError: It cannot be had.
    """
    if folder.exists():
        return
    partial = folder.with_name(f"{folder.name}.partial.{os.getpid()}")
    partial.mkdir(parents=True)
    fetch(["sh", "-c", _DEBIAN, str(partial), package], seconds=seconds)
    with suppress(OSError):  # another run was faster
        partial.rename(folder)
    shutil.rmtree(partial, ignore_errors=True)
