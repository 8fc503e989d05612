"""What real parts are made of, fetched from package registries by their own clients, and again when a network fails."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from demo.stack import StackError

ATTEMPTS: Final = 3


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
