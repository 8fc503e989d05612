"""Clients that others wrote: `logger` of util-linux, and Go's log/syslog."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

_GO = """
package main

import (
	"log/syslog"
	"os"
)

func main() {
	client, err := syslog.Dial(os.Args[1], os.Args[2], syslog.LOG_ERR|syslog.LOG_DAEMON, "goclient")
	if err != nil {
		panic(err)
	}
	for _, line := range []string{"first", "second\\nline", "third"} {
		if _, err := client.Write([]byte(line)); err != nil {
			panic(err)
		}
	}
	client.Close()
}
"""


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(300):
        assert await process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["--tcp", "--udp"])
@pytest.mark.parametrize("form", ["--rfc5424", "--rfc3164"])
async def test_logger_of_util_linux_is_understood(listen: Any, wait_until: Any, transport: str, form: str) -> None:
    async with listen() as here:
        port = here.server.port if transport == "--tcp" else here.server.udp_port
        server = ("--server", "127.0.0.1", "--port", str(port), transport, form)
        framing = ("--octet-count",) if transport == "--tcp" else ()
        for number in range(2):
            await _run("logger", *server, *framing, "--tag", "unit", "--priority", "daemon.err", f"line {number}")
        await wait_until(lambda: len(here.lines()) == 2)
        assert [(app, process) for app, process, _ in here.lines()] == [("node.syslog", "unit")] * 2
        assert [text.rpartition(" ")[2] for text in here.texts()] == ["0", "1"]
        assert all(line.startswith("stderr F ") for _, _, line in here.lines())
        assert here.value("fluentd_syslog_odd_messages_total", reason="format") == 0
        assert here.value("fluentd_syslog_odd_messages_total", reason="time") == 0


@pytest.mark.slow
@pytest.mark.real
async def test_gos_own_client_is_understood(listen: Any, wait_until: Any, tmp_path: Path) -> None:
    source, program = tmp_path / "client.go", tmp_path / "client"
    source.write_text(_GO)
    await _run("go", "build", "-o", str(program), str(source))
    async with listen() as here:
        for network, port in (("tcp", here.server.port), ("udp", here.server.udp_port)):
            before = len(here.lines())
            await _run(str(program), network, f"127.0.0.1:{port}")
            await wait_until(lambda before=before: len(here.lines()) >= before + 3)
        assert [process for _, process, _ in here.lines()].count("goclient") >= 6
        assert [text.rpartition(": ")[2] for text in here.texts() if "third" in text] == ["third", "third"]
        assert here.value("fluentd_syslog_odd_messages_total", reason="time") == 0
