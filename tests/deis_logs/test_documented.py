"""Whatever can be typed stands in docs/cli.md."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from deis_logs.cli import app

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_documented(name: str) -> None:
    assert re.search(rf"^\| `{name}[ `]", TEXT, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "option"),
    [(name, option) for name, command in COMMANDS.items() for part in command.params for option in part.opts],
)
def test_each_option_is_documented_with_every_spelling(command: str, option: str) -> None:
    rows = [row.split("|")[1] for row in TEXT.splitlines() if row.startswith("|")]
    spelled = "FILE" if option == "file" else option
    assert any(re.search(rf"(?<![\w-]){re.escape(spelled)}(?![\w-])", row) for row in rows), f"{command} {option}"


@pytest.mark.parametrize("variable", ["DEIS_LOGS_URL", "DEIS_LOGS_TOKEN", "DEIS_PROFILE", "HEPHY_PROFILE", "NO_COLOR"])
def test_each_variable_is_documented(variable: str) -> None:
    assert f"`{variable}`" in TEXT.partition("## Environment")[2]


def test_nothing_is_documented_that_cannot_be_typed() -> None:
    typed = {option for command in COMMANDS.values() for part in command.params for option in part.opts} | {"--help"}
    assert set(re.findall(r"`[^`]*?(--[a-z][a-z-]*)", TEXT)) <= typed
