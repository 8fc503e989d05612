"""`python -m fluentd` as a process of its own."""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.queue import open_consumer

pytestmark = pytest.mark.slow

_PROBE = """
import atexit, sys
from fluentd.__main__ import main
status = main()
peak_kib = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print("PROBE", peak_kib, *[name for name in ("numpy", "pyarrow", "deltalake", "pandas") if name in sys.modules])
sys.exit(status)
"""


async def _ready(url: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


async def test_a_thousand_files_take_little_memory_and_no_library_of_the_logger(
    tmp_path: Path, make_container: Any, unused_tcp_port: int
) -> None:
    for number in range(1000):
        container = make_container(tmp_path / "pods", uid=f"uid-{number}")
        container.append(container.line(f"first of {number}"), container.line("x" * 3000))
    environment = {
        "AGENT_POD_LOGS": str(tmp_path / "pods"),
        "AGENT_STATE": str(tmp_path / "state"),
        "AGENT_LISTEN": f"127.0.0.1:{unused_tcp_port}",
        "QUEUE_URL": f"sqlite:///{tmp_path}/queue.db",
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROBE, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        await _ready(f"http://127.0.0.1:{unused_tcp_port}/readyz")
        consumer = await open_consumer(environment["QUEUE_URL"], group="logger")
        await consumer.close()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    words = next(line for line in out.decode().splitlines() if line.startswith("PROBE")).split()
    assert words[2:] == [], "the agent's image has none of these"
    assert int(words[1]) * 1024 <= 80 * 1000 * 1000
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 1000


@pytest.mark.parametrize(
    ("variable", "value"), [("AGENT_INFLIGHT_BYTES", "1"), ("AGENT_LISTEN", "nowhere"), ("AGENT_ZSTD_LEVEL", "99")]
)
async def test_a_bad_setting_is_named_and_ends_with_status_2(variable: str, value: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fluentd",
        env={variable: value, "AGENT_STATE": str(tmp_path), "PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert variable in error.decode()
