"""Real Forward clients, built once; and an agent's process that they send to."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from zstandard import ZstdDecompressor

from demo.fetched import fetch
from pipeline.cri import parse_header
from pipeline.pack import chunks_of, decode_pack
from pipeline.queue import open_consumer

CLIENTS = Path(__file__).parent / "clients"
CACHE = Path(__file__).parents[3] / "build" / "forward-clients"
BUILD_SECONDS = 300
PARTITIONS = range(4)  # of a new queue


def _cached(name: str) -> Path:
    """Where a client lies when it is built: another place for each state of its source."""
    told = hashlib.blake2b(digest_size=8)
    for path in sorted((CLIENTS / name).iterdir()):
        told.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return CACHE / f"{name}-{told.hexdigest()}"


def _build(name: str, command: Callable[[Path], list[str]]) -> Path:
    """Copy a client's source and run `command` in it, unless that was done before."""
    target = _cached(name)
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial.{os.getpid()}")
        shutil.copytree(CLIENTS / name, partial, dirs_exist_ok=True)
        fetch(command(partial), seconds=BUILD_SECONDS)
        with contextlib.suppress(OSError):  # another run was faster
            partial.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
    return target


@pytest.fixture(scope="session")
def go_client() -> Callable[[str], list[str]]:
    """Builds a client of the folder named; returns the command that starts it."""
    if shutil.which("go") is None:
        pytest.skip("real Forward clients: no go on this machine")

    def build(name: str) -> list[str]:
        folder = _build(name, lambda to: ["go", "build", "-C", str(to), "-o", "client", "."])
        return [str(folder / "client")]

    return build


@pytest.fixture(scope="session")
def node_client() -> list[str]:
    """The command that starts the Node client."""
    if shutil.which("npm") is None:
        pytest.skip("real Forward clients: no npm on this machine")
    folder = _build(
        "node", lambda to: ["npm", "ci", "--prefix", str(to), "--no-audit", "--no-fund", "--ignore-scripts"]
    )
    return ["node", str(folder / "client.js")]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class AgentProcess:
    """An agent with a Forward input, on a queue of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "pods").mkdir()
        self.port, self._http_port = _free_port(), _free_port()
        self.url = f"sqlite:///{folder}/queue.db"
        self.environment = {
            "PATH": os.environ["PATH"],
            "QUEUE_URL": self.url,
            "AGENT_POD_LOGS": str(folder / "pods"),
            "AGENT_STATE": str(folder / "state"),
            "AGENT_LISTEN": f"127.0.0.1:{self._http_port}",
            "AGENT_FORWARD_LISTEN": f"127.0.0.1:{self.port}",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and wait until it takes connections."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fluentd", env=self.environment, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    break
                assert self._process.returncode is None, "the agent ended"
                await asyncio.sleep(0.05)
        await (await open_consumer(self.url, group="test")).close()  # from now on records are kept for it

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            async with asyncio.timeout(60):
                await self._process.wait()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    async def metrics(self) -> str:
        """What it counts."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self._http_port}/metrics") as answer,
        ):
            return await answer.text()

    async def messages(self) -> list[tuple[str, int, bytes]]:
        """App, time and message of each line in the queue; in the order of each source."""
        consumer = await open_consumer(self.url, group="test")
        positions, found = dict.fromkeys(PARTITIONS, 0), []
        decompressor = ZstdDecompressor()
        try:
            while records := await consumer.fetch(positions, max_bytes=2**20, wait_seconds=0.0):
                for record in records:
                    positions[record.partition] = record.offset + 1
                    for chunk in chunks_of(decode_pack(record.value, decompressor=decompressor)):
                        for line in chunk.data.splitlines():
                            header = parse_header(line)
                            assert header is not None
                            found.append((chunk.origin.app, header.time_ns, line[header.content_start :]))
        finally:
            await consumer.close()
        return found


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent, not started."""
    one = AgentProcess(tmp_path)
    yield one
    await one.stop(signal.SIGKILL)


async def run_client(command: list[str], *arguments: object) -> tuple[int, str]:
    """Run a client to its end; status and what it says is wrong."""
    process = await asyncio.create_subprocess_exec(
        *command, *map(str, arguments), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(120):
            _, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, error.decode()


@pytest.fixture
def client_run() -> Callable[..., object]:
    return run_client
