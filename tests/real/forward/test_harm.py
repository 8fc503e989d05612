"""An agent with a Forward input is killed and attacked: what it acknowledged is in the queue, its memory is bounded."""

import asyncio
import contextlib
import gzip
import os
import random
import signal
from pathlib import Path
from typing import Any

import msgpack
import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]

KILLS = int(os.environ.get("FORWARD_KILLS", "4"))
MIB = 2**20


class Careful:
    """A client that sends each frame again until it is acknowledged, over as many connections as that takes."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._port = name, port
        self.acknowledged = 0
        self.stopping = False

    async def run(self) -> None:
        """Send numbered frames, one after the other."""
        while not self.stopping:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._connection()
            await asyncio.sleep(0.02)

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while not self.stopping:
                number = self.acknowledged
                entries = b"".join(
                    msgpack.packb([1, {"log": f"{self._name} {number} {part}"}]) for part in range(number % 7 + 1)
                )
                writer.write(msgpack.packb(["careful", gzip.compress(entries), option(self._name, number)]))
                answer = msgpack.packb({"ack": f"{self._name}-{number}"})
                async with asyncio.timeout(30):
                    assert await reader.readexactly(len(answer)) == answer
                self.acknowledged += 1
        finally:
            writer.close()


def option(name: str, number: int) -> dict[str, str]:
    """Options of a frame."""
    return {"chunk": f"{name}-{number}", "compressed": "gzip"}


async def test_what_was_acknowledged_is_in_the_queue_whenever_the_agent_is_killed(agent: Any) -> None:
    seed = int(os.environ.get("FORWARD_SEED", str(random.randrange(2**32))))
    print("FORWARD_SEED", seed)  # noqa: T201 - replays a failure
    choose = random.Random(seed)
    await agent.start()
    clients = [Careful(f"c{number}", agent.port) for number in range(4)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run())
        for kill in range(KILLS):
            await more_acknowledged(clients[kill % len(clients)], 5)
            await asyncio.sleep(choose.uniform(0, 0.2))
            await agent.stop(signal.SIGKILL if kill % 2 else signal.SIGTERM)
            await agent.start()
        for client in clients:
            client.stopping = True
    await agent.stop()
    messages = [message.decode() for _, _, message in await agent.messages()]
    arrived = set(messages)
    for client in clients:
        for number in range(client.acknowledged):
            for part in range(number % 7 + 1):
                assert f"{client._name} {number} {part}" in arrived
    # One frame of each client is on its way at a stop, and is doubled if its acknowledgement did not get out.
    assert len(messages) - len(arrived) <= KILLS * len(clients) * 7


def resident_bytes(pid: int) -> int:
    """Memory of a process, at its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def send_to_the_end(port: int, data: bytes) -> None:
    """Send bytes, say that there are no more, and wait until the other side closes."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(60):
                await reader.read()
        finally:
            writer.transport.abort()


async def hold_half(port: int, data: bytes, *, go: asyncio.Event) -> None:
    """Send half a frame, and leave only when told."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await go.wait()
    writer.transport.abort()


def hostile_inputs() -> list[bytes]:
    """Each a frame, or not, that claims or becomes more than it is."""
    bomb = gzip.compress(b"\0" * 256 * MIB)
    assert 1000 * len(bomb) < 256 * MIB
    return [
        msgpack.packb(["bomb", bomb, {"compressed": "gzip", "chunk": "bomb"}]),
        b"\x91" * 100_000,
        b"\x93\xa1x\xdd\xff\xff\xff\xff" + b"\x00" * 5 * MIB,
        b"\x93\xa1x\xc6\xff\xff\xff\xff" + b"\x00" * 5 * MIB,
        b"\xdd\x00\x3f\xff\xff" * 1000,
        msgpack.packb(["x", 1, {"a": [[]] * MIB}]),
        msgpack.packb(["x", 1, {"a": [{}] * MIB}]),
        msgpack.packb(["x", b"\x92\x01\x80" * 300_000]),
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(100_000),
    ]


async def test_hostile_clients_take_little_memory_and_harm_no_other(agent: Any) -> None:
    """Two frames of 4 MiB, two that are decompressed, 192 KiB for each of 40 clients: the limit is 23.5 MiB."""
    agent.environment["AGENT_FORWARD_FRAME_BYTES"] = str(4 * MIB)
    await agent.start()
    careful = Careful("good", agent.port)
    half = msgpack.packb(["half", b"x" * 3 * MIB])[: 2 * MIB]
    go = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(careful.run())
        usual = msgpack.packb(["usual", b"\x92\x01\x80" * 300_000])
        async with asyncio.TaskGroup() as loud:
            for _ in range(4):
                loud.create_task(send_to_the_end(agent.port, usual))
        await more_acknowledged(careful, 10)
        before = resident_bytes(agent.pid)
        holding = [group.create_task(hold_half(agent.port, half, go=go)) for _ in range(20)]
        await more_acknowledged(careful, 10)
        go.set()
        await asyncio.wait(holding)
        async with asyncio.TaskGroup() as attackers:
            for data in hostile_inputs() * 2:
                attackers.create_task(send_to_the_end(agent.port, data))
        await more_acknowledged(careful, 10)
        careful.stopping = True
    grown = resident_bytes(agent.pid) - before
    print("grown", grown // MIB, "MiB")  # noqa: T201 - the figure
    assert grown < 2 * (4 * 4 * MIB + 40 * 192 * 1024)
    metrics = await agent.metrics()
    for reason, count in {"inflated": 2, "nesting": 2, "size": 4}.items():
        assert f'fluentd_forward_closed_total{{reason="{reason}"}} {count}.0' in metrics
    await agent.stop()
    assert {app for app, _, message in await agent.messages() if message.startswith(b"good")} == {"careful"}


async def more_acknowledged(careful: Careful, count: int) -> None:
    """Wait until `count` more of a client's frames are acknowledged."""
    before = careful.acknowledged
    async with asyncio.timeout(60):
        while careful.acknowledged < before + count:  # noqa: ASYNC110 - by another process
            await asyncio.sleep(0.01)
