"""A whole agent with a file of rules."""

import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SettingsError

KEY = "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.slow
async def test_rules_are_at_work_and_go_on_after_a_restart(
    live: Callable[..., Any],
    tmp_path: Path,
    queue: Any,
    make_container: type[Any],
    wait_until: Callable[..., Awaitable[None]],
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"redact": [{"packs": ["default"]}], "rate_limits": [{"rate": "5 lines/s"}]}))
    box = make_container(tmp_path / "pods")
    box.append(*(box.line(f"{number} {KEY}") for number in range(8)))
    agent = live(rules=rules)
    async with agent.running():
        await wait_until(lambda: len(sent(queue)) == 5, 30.0)
    box.append(*(box.line("more") for _ in range(4)))
    again = live(rules=rules)
    async with again.running():
        await wait_until(lambda: len(sent(queue)) == 6, 30.0)
        assert again.value("fluentd_dropped_lines_total", reason="rate_limit") == 5
    assert sent(queue) == [
        *(f"{number} [redacted:aws-access-key-id]".encode() for number in range(5)),
        b"7 lines dropped since 2026-11-24T12:00:00Z (rate limit)",
    ]
    assert agent.value("fluentd_redactions_total", kind="aws-access-key-id") == 5
    assert agent.value("fluentd_dropped_lines_total", reason="rate_limit") == 2


def sent(queue: Any) -> list[bytes]:
    """Messages of all chunks in the queue; each byte of a file is in one of them."""
    chunks: list[Any] = []
    for bodies in queue.packs():
        for body in bodies:
            at = 0
            for header in body.headers:
                chunks.append((header.start, header.end, body.data[at : at + header.length]))
                at += header.length
    chunks.sort()
    assert all(first[1] == second[0] for first, second in itertools.pairwise(chunks))
    return [line.split(b" ", 3)[3] for _, _, data in chunks for line in data.splitlines()]


async def test_an_agent_with_a_wrong_file_of_rules_does_not_start(live: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AGENT_RULES"):
        async with live(rules=tmp_path / "none.json").running():
            pass
