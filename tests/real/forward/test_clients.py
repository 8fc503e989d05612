"""Real clients of four libraries: every record arrives once, with its time, and is acknowledged."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fluent import asyncsender, sender

pytestmark = [pytest.mark.real, pytest.mark.slow]

COUNT = 100
T = 1_700_000_000 * 10**9


def expected(app: str) -> list[tuple[str, int, bytes]]:
    """What `COUNT` numbered records become."""
    return [(app, T + number, b"%d" % number) for number in range(COUNT)]


@pytest.mark.parametrize("kind", [sender.FluentSender, asyncsender.FluentSender], ids=["sync", "async"])
async def test_fluent_logger_for_python(agent: Any, kind: Callable[..., Any]) -> None:
    def send() -> None:
        client = kind("python", host="127.0.0.1", port=agent.port, timeout=30.0)
        for number in range(COUNT):
            assert client.emit_with_time("web", sender.EventTime(T // 10**9, number), {"log": str(number)})
        client.emit_with_time("web", T // 10**9, {"a": 1, "b": ["text", None]})
        client.close()

    await agent.start()
    await asyncio.to_thread(send)
    await _until_arrived(agent, COUNT + 1)
    await agent.stop()
    assert await agent.messages() == [*expected("python"), ("python", T, b'{"a":1,"b":["text",null]}')]


@pytest.mark.parametrize("mode", ["Message", "Forward", "PackedForward", "CompressedPackedForward"])
async def test_fluent_logger_for_node(agent: Any, node_client: list[str], client_run: Any, mode: str) -> None:
    await agent.start()
    assert await client_run(node_client, "127.0.0.1", agent.port, COUNT, mode) == (0, "")
    assert await agent.messages() == expected("node")


async def test_fluent_logger_for_node_with_a_key_and_a_user(
    agent: Any, node_client: list[str], client_run: Any, tmp_path: Path
) -> None:
    access = tmp_path / "access.json"
    users = {"ann": {"password": "pw", "apps": ["node"]}}
    access.write_text(json.dumps({"keys": {"all": {"key": "secret"}}, "users": users}))
    agent.environment["AGENT_FORWARD_ACCESS"] = str(access)
    await agent.start()
    command = (node_client, "127.0.0.1", agent.port, COUNT, "PackedForward")
    assert await client_run(*command, "secret", "ann", "pw") == (0, "")
    assert (await client_run(*command, "secret", "ann", "wrong"))[0] == 1
    assert (await client_run(*command, "wrong", "ann", "pw"))[0] == 1
    assert await agent.messages() == expected("node")


@pytest.mark.parametrize("mode", ["message", "forward", "packed", "compressed"])
async def test_fluent_forward_go(agent: Any, go_client: Any, client_run: Any, mode: str) -> None:
    command = go_client("ibm")
    agent.environment["AGENT_FORWARD_SHARED_KEY"] = "secret"
    await agent.start()
    assert (await client_run(command, "127.0.0.1", agent.port, COUNT, mode, "wrong"))[0] == 1
    assert await client_run(command, "127.0.0.1", agent.port, COUNT, mode, "secret") == (0, "")
    assert await agent.messages() == expected("ibm")


@pytest.mark.parametrize("security", ["plain", "tls"])
async def test_fluent_logger_golang(agent: Any, go_client: Any, client_run: Any, tmp_path: Path, security: str) -> None:
    command = go_client("golang")
    if security == "tls":
        make_certificate(tmp_path)
        agent.environment["AGENT_FORWARD_CERT"] = str(tmp_path / "cert.pem")
        agent.environment["AGENT_FORWARD_KEY"] = str(tmp_path / "key.pem")
    await agent.start()
    assert await client_run(command, "127.0.0.1", agent.port, COUNT, security) == (0, "")
    assert await agent.messages() == expected("golang")


async def test_copies_go_from_one_agent_to_another(agent: Any, go_client: Any, client_run: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = type(agent)(tmp_path / "other")
    other.environment["FORWARD_OUT"] = f"127.0.0.1:{agent.port}"
    await agent.start()
    try:
        await other.start()
        assert await client_run(go_client("golang"), "127.0.0.1", other.port, COUNT) == (0, "")
        await _until_arrived(agent, COUNT)
    finally:
        await other.stop()
    await agent.stop()
    copies = [(app, time_ns, json.loads(message)) for app, time_ns, message in await agent.messages()]
    assert [(app, time_ns, record["log"].encode()) for app, time_ns, record in copies] == expected("golang")
    assert {record["kubernetes"]["container_name"] for _, _, record in copies} == {"forward"}


async def _until_arrived(agent: Any, count: int) -> None:
    """Wait until the agent has taken `count` messages."""
    wanted = f'fluentd_input_messages_total{{input="forward"}} {float(count)}'
    async with asyncio.timeout(60):
        while wanted not in await agent.metrics():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


def make_certificate(folder: Path) -> None:
    """Make `cert.pem` and `key.pem` for 127.0.0.1."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1", "-days", "2"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
