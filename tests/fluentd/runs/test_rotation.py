"""Rotation as kubelet does it, faster than it ever does, while the agent stops, crashes and starts.

ROTATION_SECONDS=120 for the long form. Time away is counted in rotations, not in seconds: files are kept for so many.
"""

import asyncio
import functools
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry
from zstandard import ZstdDecompressor

from fluentd.agent import Agent
from fluentd.runs.checkpoint import CheckpointFolder
from fluentd.settings import AgentSettings
from pipeline.chunk import Chunk
from pipeline.limits import KIB, MIB
from pipeline.pack import chunks_of, decode_pack
from pipeline.service import Health

SECONDS: Final = float(os.environ.get("ROTATION_SECONDS", "6"))
BYTES_PER_SECOND: Final = 10 * MIB
FILE_BYTES: Final = 512 * KIB
"""A rotation each 50 ms at that rate."""

KEPT_FILES: Final = 5
"""As kubelet does by default: the live one and four others."""

_NUMBER = re.compile(rb" F (\d{12}) ")
_LINES_AT_ONCE: Final = 300


class CheckingQueue:
    """Takes packs as a queue does, and holds each new line against the one before: bounded memory for any length."""

    queue_id, partitions = "checking", 2

    def __init__(self) -> None:
        self.next_number = 0
        self.repeated_bytes = 0
        self._ends: dict[bytes, int] = {}

    async def send(self, _partition: int, values: Sequence[bytes]) -> int:
        await asyncio.sleep(0)
        for value in values:
            for chunk in chunks_of(decode_pack(value, decompressor=ZstdDecompressor())):
                self._take(chunk)
        return 0

    async def close(self) -> None:
        """See `pipeline.queue.Producer`."""

    def _take(self, chunk: Chunk) -> None:
        end = self._ends.get(chunk.source, 0)
        assert chunk.start == chunk.prev_end <= end, "bytes are missing before the chunk"
        self.repeated_bytes += min(end, chunk.end) - chunk.start
        numbers = [int(number) for number in _NUMBER.findall(chunk.data[max(0, end - chunk.start) :])]
        assert numbers == list(range(self.next_number, self.next_number + len(numbers))), "a line is lost or doubled"
        self.next_number += len(numbers)
        self._ends[chunk.source] = max(end, chunk.end)


class Kubelet:
    """Writes numbered lines, and rotates: rename, create, compress all but the newest, delete the oldest.

    `seen` waits until the agent has sent a line, while there is an agent: a machine on which it cannot look at a
    folder for four rotations is too slow for this test, which is not the agent's fault.
    """

    def __init__(self, container: Any) -> None:
        self._files = container
        self._rotated: list[Any] = []
        self._begins: list[int] = [0]
        self._size = 0
        self.rotations = self.lines = 0
        self.seen: Callable[[int], Awaitable[None]] | None = None

    def write(self) -> int:
        """Some lines more; returns their size."""
        numbers = range(self.lines, self.lines + _LINES_AT_ONCE)
        data = [b"2026-11-24T12:00:00.000000000Z stdout F %012d %s\n" % (number, b"x" * 150) for number in numbers]
        self._files.append(*data)
        self.lines += _LINES_AT_ONCE
        size = sum(map(len, data))
        self._size += size
        return size

    @property
    def full(self) -> bool:
        """Whether the live file is due for rotation."""
        return self._size >= FILE_BYTES

    async def rotate(self) -> None:
        """One rotation, in kubelet's order."""
        while len(self._rotated) > KEPT_FILES - 2:
            begin = self._begins.pop(0)
            if self.seen is not None:
                await self.seen(begin)
            self._rotated.pop(0).unlink()
        if self._rotated:
            self._rotated[-1] = await asyncio.to_thread(self._files.compress, self._rotated[-1])
        self._rotated.append(self._files.rotate())
        self._begins.append(self.lines)
        self._size = 0
        self.rotations += 1


class Trial:
    """A container that writes at a steady rate, and an agent that comes and goes."""

    def __init__(self, settings: AgentSettings, kubelet: Kubelet, queue: CheckingQueue, chance: random.Random) -> None:
        self._settings, self._kubelet, self._queue, self._chance = settings, kubelet, queue, chance
        self.stops = self.crashes = self.waits = 0

    async def write(self, *, rotations: int = 0, seconds: float = 0.0) -> None:
        """Write until so many rotations were made and so much time is over."""
        last, until = self._kubelet.rotations + rotations, time.monotonic() + seconds
        while self._kubelet.rotations < last or time.monotonic() < until:
            if self._kubelet.full:
                await self._kubelet.rotate()
            size = self._kubelet.write()
            await asyncio.sleep(size / BYTES_PER_SECOND)  # never faster, to make up for a slow moment

    async def life(self, wait_until: Any, *, last: bool = False) -> None:
        """Start an agent, let it run a while, and end it right after a rotation that it has seen the end of.

        What is written between that and its end is for the next life; before the `last` ends, nothing is.
        """
        crash, stopping = self._chance.random() < 0.5, asyncio.Event()
        with CheckpointFolder(self._settings.state) as folder:
            running = Agent(
                self._settings, producer=self._queue, folder=folder, registry=CollectorRegistry(), health=Health()
            )
            running.restore(folder.load())
            async with asyncio.TaskGroup() as group:
                task = group.create_task(running.run(stopping))
                await wait_until(lambda: running._tree.complete_ns > 0, seconds=60)
                self._kubelet.seen = functools.partial(self._seen, wait_until)
                await self.write(seconds=self._chance.uniform(0.1, 1.0))
                await self._kubelet.rotate()
                self._kubelet.write()
                await wait_until(lambda: self._queue.next_number == self._kubelet.lines, seconds=60)
                await running._keeper.save(always=True)
                for _ in range(0 if last else self._chance.randrange(4)):  # what a crash forgets to have sent
                    self._kubelet.write()
                    await asyncio.sleep(self._chance.uniform(0.0, 0.1))
                self._kubelet.seen = None
                task.cancel() if crash else stopping.set()
        self.crashes += crash
        self.stops += not crash

    async def _seen(self, wait_until: Any, number: int) -> None:
        self.waits += self._queue.next_number <= number
        await wait_until(lambda: self._queue.next_number > number, seconds=60)


@pytest.mark.slow
async def test_nothing_is_lost_when_files_rotate_every_50_ms_and_the_agent_stops_and_crashes(
    live: Any, make_container: Any, wait_until: Any
) -> None:
    """Away for as many rotations as there are files kept, but one."""
    seed = int(os.environ.get("ROTATION_SEED", str(time.time_ns() % 2**32)))
    print(f"ROTATION_SEED={seed}")  # noqa: T201 - replays a failure
    chance, queue = random.Random(seed), CheckingQueue()
    settings: AgentSettings = live().settings.model_copy(update={"checkpoint_seconds": 5.0})
    kubelet = Kubelet(make_container(settings.pod_logs))
    trial = Trial(settings, kubelet, queue, chance)
    kubelet.write()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        await trial.life(wait_until)
        await trial.write(rotations=chance.randint(0, KEPT_FILES - 1))
    await trial.life(wait_until, last=True)
    assert queue.next_number == kubelet.lines
    print(  # noqa: T201 - the figures of the long form
        f"{kubelet.lines} lines, {kubelet.rotations} rotations, {trial.stops} stops, {trial.crashes} crashes, "
        f"{queue.repeated_bytes} bytes sent twice, {trial.waits} deletions waited for the agent"
    )
    assert kubelet.rotations > 10
    assert trial.stops + trial.crashes > 1
