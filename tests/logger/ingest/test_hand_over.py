"""A logger that leaves answers until others have its shards, and ends whatever the brokers do."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from logger import aggregator
from pipeline.errors import QueueUnavailableError


class Group:
    """What a member that leaves sees of its group."""

    partitions = 2

    def __init__(self, *told: Mapping[int, str] | None, hangs: bool = False) -> None:
        self.told = list(told)
        self.hangs = hangs
        self.left = False

    async def leave(self) -> None:
        self.left = True
        if self.hangs:
            await asyncio.get_running_loop().create_future()

    async def owners(self) -> Mapping[int, str]:
        owners = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if owners is None:
            raise QueueUnavailableError("the group is being rebalanced")
        return owners


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregator, "_LOOK_SECONDS", 0.001)


async def hand_over(group: Any) -> None:
    async with asyncio.timeout(30):
        await aggregator._hand_over(group)


async def test_it_ends_when_all_its_shards_have_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregator, "HANDOVER_SECONDS", 60.0)
    group = Group(None, {0: "a"}, None, {0: "a", 1: "b"})
    await hand_over(group)
    assert group.left
    assert len(group.told) == 1


async def test_the_last_of_a_group_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregator, "HANDOVER_SECONDS", 60.0)
    await hand_over(Group({}))


@pytest.mark.parametrize("group", [Group(None), Group({}, hangs=True)], ids=["no owners", "no answer to the leaving"])
async def test_it_ends_in_the_end_whatever_the_brokers_say(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregator, "HANDOVER_SECONDS", 0.05)
    await hand_over(group)
    assert group.left
