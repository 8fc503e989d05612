"""Places where a fault test ends the process, as `kill -9` would, at an exact step.

A point is armed by `FAILPOINT=name` or `FAILPOINT=name:n` (the n-th passing), read once by `arm()` at the start of a
service. Nothing is armed in production, and an unarmed point costs one comparison.
"""

import os
import re
from typing import Final

EXIT_STATUS: Final = 137  # what a shell reports of a process ended by SIGKILL

POINTS: Final = frozenset(
    {
        "agent.read",
        "agent.sent",
        "agent.acked",
        "agent.checkpoint.temp",
        "agent.checkpoint.fsync",
        "agent.checkpoint.renamed",
        "queue-before-commit",
        "queue-after-commit",
        "logger.fetched",
        "logger.parsed",
        "logger.flushed",
        "logger.commit.data",
        "logger.commit.state",
        "logger.commit.before",
        "logger.commit.after",
        "logger.committed",
        "upkeep.rewritten",
        "upkeep.committed",
        "canary.planned",
        "canary.acted",
        "monitor.replaying",
        "monitor.state.written",
        "monitor.committed",
    }
)
"""All of them; a test compares. One that is misspelt would never be due, and its fault test would test nothing."""

_armed: dict[str, int] = {}


def check_spec(spec: str) -> str:
    """Return what `FAILPOINT` holds as it is.

    Raises:
        ValueError: Neither empty nor `name` or `name:n` with a point of `POINTS` and a count from 1.
    """
    name, colon, count = spec.partition(":")
    if spec and name not in POINTS:
        raise ValueError(f"no such step; known are {', '.join(sorted(POINTS))}")
    if colon and not re.fullmatch(r"[1-9][0-9]{0,8}", count):
        raise ValueError("expected `name` or `name:n`, with n from 1")
    return spec


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
