"""One loud container, or one partition that takes nothing, delays no other; a backlog is read in the order wanted."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from fluentd.lanes.sender import Sender
from fluentd.runs.turns import OLD_TURNS
from pipeline.errors import QueueUnavailableError
from pipeline.limits import MIB

_LINE = b"2026-11-24T12:00:00.%09dZ stdout F %s\n"


def _lines(count: int, text: bytes = b"x" * 200) -> bytes:
    return b"".join(_LINE % (number, text) for number in range(count))


def _log(agent: Any, app: str) -> Path:
    folder = agent.settings.pod_logs / f"{app}_{app}-web-1_uid-{app}" / "web"
    folder.mkdir(parents=True)
    return folder / "0.log"


def _partition(running: Any, app: str) -> int:
    return next(run.partition for run in running._tree if run.place.namespace == app)


@pytest.fixture
def stuck(queue: Any, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Partitions that take nothing for now."""
    partitions: set[int] = set()
    send = queue.send

    async def send_or_not(partition: int, values: list[bytes]) -> int:
        if partition in partitions:
            raise QueueUnavailableError("stuck")
        return await send(partition, values)

    monkeypatch.setattr(queue, "send", send_or_not)
    return partitions


async def test_a_partition_that_takes_nothing_delays_only_its_own(
    live: Any, queue: Any, stuck: set[int], wait_until: Any
) -> None:
    """A loud container behind it leaves the others their part of the budget; nothing is lost, and all goes on."""
    agent = live(inflight_bytes=2 * MIB)
    apps = [f"app{number}" for number in range(12)]
    logs = {app: _log(agent, app) for app in apps}
    for app, log in logs.items():
        log.write_bytes(_LINE % (0, app.encode()))
    async with agent.running() as running:
        await wait_until(lambda: len(queue.lines()) == len(apps), seconds=60)
        loud = apps[0]
        quiet = [app for app in apps if _partition(running, app) != _partition(running, loud)]
        assert quiet
        stuck.add(_partition(running, loud))
        with logs[loud].open("ab") as file:
            file.write(_lines(20_000))
        await wait_until(lambda: running._sender.is_crowded(_partition(running, loud)), seconds=60)
        for number in range(3):
            for app in quiet:
                with logs[app].open("ab") as file:
                    file.write(_LINE % (number + 1, b"%d of %s" % (number, app.encode())))
            expected = len(apps) + (number + 1) * len(quiet)
            await wait_until(lambda expected=expected: len(queue.lines()) == expected, seconds=60)
        stuck.clear()
        await wait_until(lambda: len(queue.lines()) == expected + 20_000, seconds=60)
    assert queue.logger().sources()[0].count(b"\n") > 0


@pytest.mark.parametrize("backlog", ["fair", "newest"])
async def test_a_backlog_is_read_by_turns_or_the_newest_first(
    live: Any, queue: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch, backlog: str
) -> None:
    """What is old gets one turn in eight until the others have nothing left."""
    read: list[str] = []
    put = Sender.put

    def put_and_note(sender: Sender, partition: int, outgoing: Any) -> None:
        read.append(str(outgoing.chunk.origin.app))
        put(sender, partition, outgoing)

    monkeypatch.setattr(Sender, "put", put_and_note)
    agent = live(backlog=backlog, inflight_bytes=64 * MIB)  # room for all: a lane that is full gives its turns away
    data, hour_ago = _lines(24_000), time.time() - 3600
    for app in ("old", "new"):
        _log(agent, app).write_bytes(data)
    os.utime(agent.settings.pod_logs / "old_old-web-1_uid-old" / "web" / "0.log", (hour_ago, hour_ago))
    async with agent.running():
        await wait_until(lambda: agent.value("fluentd_read_bytes_total") >= 2 * len(data), seconds=60)
    count = read.count("new")
    before = read[: len(read) - read[::-1].index("new")].count("old")
    assert count > 16
    assert before >= count - 1 if backlog == "fair" else 0 < before <= count // (OLD_TURNS - 1) + 1
    assert read.count("old") == count
