"""After a burst the agent gives memory back, once."""

import asyncio
import ctypes
from types import SimpleNamespace

import pytest

from fluentd import memory
from fluentd.memory import BURST_BYTES, give_back_after_bursts


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_heap_is_trimmed_once_after_each_burst_and_never_while_bytes_are_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=trims.append))
    monkeypatch.setattr(memory, "_LOOK_SECONDS", 0)
    taken, used = [0], [0]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(give_back_after_bursts(taken_bytes=lambda: taken[0], used_bytes=lambda: used[0]))
        await _turns(5)
        assert trims == []
        taken[0], used[0] = BURST_BYTES, 1
        await _turns(5)
        assert trims == []
        used[0] = 0
        await _turns(5)
        assert trims == [0]
        taken[0] += BURST_BYTES - 1
        await _turns(5)
        assert trims == [0]
        taken[0] += 1
        await _turns(5)
        assert trims == [0, 0]
        task.cancel()


async def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    await give_back_after_bursts(taken_bytes=lambda: BURST_BYTES, used_bytes=lambda: 0)
