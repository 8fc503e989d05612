"""Places where a fault test ends the process, as `kill -9` would, at an exact step.

A point is armed by `FAILPOINT=name` or `FAILPOINT=name:n` (the n-th passing), read once by `arm()` at the start of a
service. Nothing is armed in production, and an unarmed point costs one comparison.
"""

import os
from typing import Final

EXIT_STATUS: Final = 137  # what a shell reports of a process ended by SIGKILL

_armed: dict[str, int] = {}


def arm(spec: str) -> None:
    """Arm the point that `spec` names.

    Args:
        spec: `name` or `name:n`; empty arms nothing.
    """
    _armed.clear()
    if spec:
        name, _, count = spec.partition(":")
        _armed[name] = int(count or "1")


def failpoint(name: str) -> None:
    """End the process here, without any clean-up, if this point is armed and due."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        os._exit(EXIT_STATUS)
