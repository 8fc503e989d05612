"""A package client that fails is tried again, and its last words are kept."""

from pathlib import Path

import pytest

from demo.fetched import ATTEMPTS, fetch
from demo.stack import StackError


def _failing(folder: Path, times: int) -> list[str]:
    """A command that fails so often, and notes each try."""
    script = (
        f'echo try >> {folder}/tries; test "$(wc -l < {folder}/tries)" -gt {times} || {{ echo no network; exit 1; }}'
    )
    return ["sh", "-c", script]


def test_a_command_that_fails_at_first_is_tried_again(tmp_path: Path) -> None:
    fetch(_failing(tmp_path, ATTEMPTS - 1), seconds=10)
    assert len((tmp_path / "tries").read_text().split()) == ATTEMPTS


def test_a_command_that_never_works_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no network"):
        fetch(_failing(tmp_path, 99), seconds=10)
    assert len((tmp_path / "tries").read_text().split()) == ATTEMPTS
