"""A whole agent with a file of rules."""

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
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


async def test_no_secret_gets_through_an_input_by_any_way(
    live: Callable[..., Any], tmp_path: Path, queue: Any, wait_until: Callable[..., Awaitable[None]]
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"redact": [{"packs": ["default"]}], "drop": [{"message": "healthz"}]}))
    listens = dict.fromkeys(("forward_listen", "syslog_listen", "syslog_udp_listen"), "127.0.0.1:0")
    agent = live(rules=rules, **listens)
    async with agent.running() as running:
        forward, syslog = running._inputs._inputs
        await wait_until(lambda: bool(forward.port and syslog.port and syslog.udp_port), 30.0)
        for port, data in (
            (forward.port, msgpack.packb(["shop", 1_764_000_000, {"log": f"a {KEY}"}])),
            (forward.port, msgpack.packb(["shop", 1_764_000_000, {"field": f"b {KEY}", "nested": {KEY: [KEY]}}])),
            (forward.port, msgpack.packb(["shop", 1_764_000_000, {"log": "healthz"}])),
            (syslog.port, f"<13>1 - {KEY} etcd {KEY} {KEY} - c {KEY}\n".encode()),
            (syslog.port, f"d {KEY}\n".encode()),
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            await writer.drain()
            writer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(f"<13>1 - h etcd - - - e {KEY}".encode(), ("127.0.0.1", syslog.udp_port))
        await wait_until(lambda: len(lines_in(queue)) == 5, 30.0)
    assert {letter for letter in "abcde" if any(f"{letter} [redacted" in line for line in lines_in(queue))} == {
        *"abcde"
    }
    assert KEY not in "".join(lines_in(queue))
    assert KEY not in repr([chunk.origin for chunk in queue.logger().chunks])
    assert agent.value("fluentd_dropped_lines_total", reason="drop_rule") == 1


def lines_in(queue: Any) -> list[str]:
    """All lines in the queue."""
    return [line.decode() for chunk in queue.logger().chunks for line in chunk.data.splitlines()]


async def test_an_agent_with_a_wrong_file_of_rules_does_not_start(live: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AGENT_RULES"):
        async with live(rules=tmp_path / "none.json").running():
            pass
