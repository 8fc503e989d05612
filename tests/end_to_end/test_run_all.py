"""Services in one process: they are stopped in order, one that fails ends all, and no stop takes forever."""

import asyncio

import pytest

from pipeline.errors import FatalError, RetriableError
from pipeline.up import run_all


def waiting(name: str, ended: list[str]) -> "object":
    async def run(stopping: asyncio.Event) -> None:
        try:
            await stopping.wait()
        finally:
            ended.append(name)

    return run


async def test_services_stop_in_the_order_given() -> None:
    ended: list[str] = []
    stopping = asyncio.Event()
    stopping.set()
    await run_all({name: waiting(name, ended) for name in ("agent", "monitor", "logger")}, stopping)
    assert ended == ["agent", "monitor", "logger"]


async def test_a_later_service_is_not_stopped_before_an_earlier_one_has_drained() -> None:
    drained, told = asyncio.Event(), asyncio.Event()

    async def agent(stopping: asyncio.Event) -> None:
        await stopping.wait()
        await drained.wait()

    async def logger(stopping: asyncio.Event) -> None:
        await stopping.wait()
        told.set()
        assert drained.is_set()

    stopping = asyncio.Event()
    stopping.set()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(run_all({"agent": agent, "logger": logger}, stopping))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not told.is_set()
        drained.set()
    assert told.is_set()


async def test_a_service_that_raises_ends_all() -> None:
    ended: list[str] = []

    async def failing(_: asyncio.Event) -> None:
        raise RetriableError("no luck")

    with pytest.raises(ExceptionGroup) as raised:
        await run_all({"agent": failing, "logger": waiting("logger", ended)}, asyncio.Event())
    assert raised.group_contains(RetriableError, match="no luck")
    assert ended == ["logger"]


async def test_a_service_that_ends_by_itself_is_an_error_that_names_it() -> None:
    async def short(_: asyncio.Event) -> None:
        return

    with pytest.raises(ExceptionGroup) as raised:
        await run_all({"agent": short, "logger": waiting("logger", [])}, asyncio.Event())
    assert raised.group_contains(FatalError, match="agent ended by itself")


async def test_an_address_in_use_names_the_service() -> None:
    async def failing(_: asyncio.Event) -> None:
        async with asyncio.TaskGroup():
            raise OSError(98, "address already in use")

    with pytest.raises(ExceptionGroup) as raised:
        await run_all({"monitor": failing}, asyncio.Event())
    assert raised.group_contains(FatalError, match=r"monitor: .*address already in use")


async def test_a_service_that_does_not_stop_is_named_after_the_time_allowed() -> None:
    async def stubborn(_: asyncio.Event) -> None:
        await asyncio.Event().wait()

    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(ExceptionGroup) as raised:
        await run_all({"agent": stubborn, "logger": waiting("logger", [])}, stopping, stop_seconds=0.05)
    assert raised.group_contains(FatalError, match="agent, logger")
