"""The agent as a whole, on real files, against a queue in memory that can be away."""

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import pytest
from zstandard import ZstdDecompressor

from fluentd.files.watch import DirectoryWatch
from fluentd.runs.checkpoint import CheckpointFolder
from pipeline.limits import MIB
from pipeline.pack import decode_pack


async def test_lines_reach_the_queue_and_a_heartbeat_follows(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    agent = live()
    async with agent.running():
        container = make_container(tmp_path / "pods")
        container.append(first := container.line("first"))
        await wait_until(lambda: queue.lines() == {first})
        container.rotate()
        container.append(second := container.line("second"))
        await wait_until(lambda: queue.lines() == {first, second})
        seen = [body.heartbeat_ns for bodies in queue.packs() for body in bodies]
        await wait_until(lambda: all(any(b.heartbeat_ns > max(seen) for b in bodies) for bodies in queue.packs()))
        assert agent.health.problems() == {}
    for bodies in queue.packs():
        beats = [body.heartbeat_ns for body in bodies if body.heartbeat_ns]
        assert beats == sorted(set(beats))
        assert all(body.node == "n1" for body in bodies)
    assert agent.value("fluentd_read_bytes_total") == len(first) + len(second)


async def test_an_agent_that_stopped_goes_on_without_sending_again(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    lines = [container.line(str(number)) for number in range(4)]
    container.append(*lines[:2])
    async with live().running():
        await wait_until(lambda: queue.lines() == set(lines[:2]))
    container.append(*lines[2:])
    async with live().running():
        await wait_until(lambda: queue.lines() == set(lines))
    assert [(chunk.start, chunk.end) for chunk in queue.logger().chunks] == [
        (0, 2 * len(lines[0])),
        (2 * len(lines[0]), 4 * len(lines[0])),
    ]


async def test_memory_is_bounded_while_the_queue_is_away_and_nothing_is_lost(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    lines = [container.line("x" * 1000) for _ in range(8000)]
    container.append(*lines)
    queue.away = True
    agent = live(inflight_bytes=2 * MIB)
    async with agent.running():
        await wait_until(lambda: "queue" in agent.health.problems() and agent.value("fluentd_inflight_bytes") > MIB)
        read = agent.value("fluentd_read_bytes_total")
        complete = agent.value("fluentd_complete_seconds")
        sends = queue.sends
        await wait_until(lambda: queue.sends > sends)
        assert agent.value("fluentd_read_bytes_total") == read
        assert agent.value("fluentd_inflight_bytes") <= 2 * MIB
        assert agent.value("fluentd_complete_seconds") == complete == 0.0, "what is not read is not complete"
        queue.away = False
        await wait_until(lambda: agent.value("fluentd_read_bytes_total") == len(lines) * len(lines[0]))
        await wait_until(lambda: not agent.value("fluentd_inflight_bytes") and not agent.health.problems())
    assert queue.lines() == set(lines)


async def test_an_answer_that_is_lost_repeats_the_same_bytes_in_order(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    lines = [container.line("x" * 10000) for _ in range(200)]
    queue.answers_to_lose = 2
    async with live().running():
        for line in lines:
            container.append(line)
        await wait_until(lambda: queue.lines() == set(lines))
    model = queue.logger()
    assert len(model.chunks) > len({chunk.start for chunk in model.chunks})


async def test_a_checkpoint_that_cannot_be_written_breaks_readiness_and_recovers(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    full = True

    class FullDisk(CheckpointFolder):
        def save(self, data: bytes) -> None:
            if full:
                raise OSError(errno.ENOSPC, "no space left on device")
            super().save(data)

    container = make_container(tmp_path / "pods")
    container.append(line := container.line("a"))
    agent = live()
    agent.folder_type = FullDisk
    async with agent.running():
        await wait_until(lambda: "no space" in agent.health.problems().get("checkpoint", ""))
        await wait_until(lambda: agent.value("fluentd_checkpoint_errors_total") > 1)
        assert not queue.lines(), "a source that no checkpoint knows is not sent"
        full = False
        await wait_until(lambda: queue.lines() == {line} and "checkpoint" not in agent.health.problems())


async def test_a_lines_way_needs_no_rescan_when_events_work(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    container.append(first := container.line("first"))
    agent = live(rescan_seconds=60.0)
    async with agent.running() as running:
        await wait_until(lambda: queue.lines() == {first})
        await wait_until(lambda: not running._tree.due())
        container.append(second := container.line("second"))
        await wait_until(lambda: queue.lines() == {first, second}, 2.0)
        other = make_container(tmp_path / "pods", uid="uid-2")
        other.append(third := b"2026-11-24T12:00:01Z stdout F third\n")
        await wait_until(lambda: queue.lines() == {first, second, third}, 2.0)


async def test_without_inotify_rescans_find_new_lines(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    def no_inotify(**_: object) -> None:
        raise OSError(errno.EMFILE, "too many instances")

    agent = live(rescan_seconds=60.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fluentd.files.watch.Inotify", no_inotify)
        async with agent.running() as running:
            container = make_container(tmp_path / "pods")
            container.append(first := container.line("first"))
            await wait_until(lambda: queue.lines() == {first})
            await wait_until(lambda: not running._tree.due())
            container.append(second := container.line("second"))
            await wait_until(lambda: queue.lines() == {first, second})


async def test_an_overflow_of_events_forces_a_scan(live: Any, wait_until: Any) -> None:
    agent = live(rescan_seconds=60.0)
    async with agent.running() as running:
        await wait_until(lambda: not agent.health.problems().get("discovery"))
        scanned = running._tree._scanned_ns
        running._watch.stale = True
        running._wake.set()
        await wait_until(lambda: running._tree._scanned_ns > scanned)


async def test_a_loud_file_does_not_delay_quiet_ones(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    loud = make_container(tmp_path / "pods")
    loud.append(*[loud.line("x" * 10000) for _ in range(3000)])
    quiet = make_container(tmp_path / "pods", uid="uid-2")
    quiet.append(b"2026-11-24T12:00:00Z stdout F quiet\n")
    agent = live(inflight_bytes=4 * MIB)
    async with agent.running():
        await wait_until(lambda: agent.value("fluentd_read_bytes_total") > 30 * 10**6)
    packs = [decode_pack(record, decompressor=ZstdDecompressor()).data for record in queue.arrived]
    before = next(index for index, data in enumerate(packs) if b" quiet\n" in data)
    assert sum(map(len, packs[:before])) < 4 * MIB


async def test_reading_stops_and_what_was_read_is_sent_at_a_stop(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    container.append(*[container.line("x" * 1000) for _ in range(2000)])
    agent = live()
    async with agent.running():
        await wait_until(lambda: agent.value("fluentd_read_bytes_total") > 0)
    assert agent.value("fluentd_inflight_bytes") == 0
    sent = sum(chunk.end - chunk.start for chunk in queue.logger().chunks)
    assert sent == agent.value("fluentd_read_bytes_total")


async def test_an_agent_stops_in_time_though_the_queue_is_away_and_its_memory_full(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    lines = [container.line("x" * 1000) for _ in range(8000)]
    container.append(*lines)
    queue.away = True
    agent = live(inflight_bytes=2 * MIB, drain_seconds=0.1)
    async with agent.running():
        await wait_until(lambda: agent.value("fluentd_inflight_bytes") > MIB)
    assert not queue.lines()
    queue.away = False
    async with live().running():
        await wait_until(lambda: queue.lines() == set(lines))


async def test_a_watch_tells_of_writes_only_where_it_is_armed(tmp_path: Path, wait_until: Any) -> None:
    woken = asyncio.Event()
    watch = DirectoryWatch(wake=woken.set, overflowed=lambda: None)
    try:
        file = tmp_path / "0.log"
        file.touch()
        assert watch.watch(str(tmp_path), writes=False)
        assert watch.watch(str(tmp_path), writes=True)
        assert not watch.watch(str(tmp_path), writes=True)
        file.write_bytes(b"a")
        await wait_until(woken.is_set)
        assert watch.take() == (set(), {str(tmp_path)})
        watch.watch(str(tmp_path), writes=False)
        file.write_bytes(b"b")
        (tmp_path / "1.log").touch()
        await wait_until(lambda: bool(watch.names))
        assert watch.take() == ({str(tmp_path)}, set())
    finally:
        watch.close()


async def test_labels_do_not_move_a_run_to_another_partition_not_even_when_the_checkpoint_is_lost(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.json"
    container = make_container(tmp_path / "pods")
    container.append(line := container.line("text"))
    for number in range(6):
        labels.write_text(json.dumps({"demo/demo-web-1": {"app": f"app-{number}"}}))
        async with live(pod_labels=labels, state_name=f"state-{number}").running():
            await wait_until(lambda: f"app-{number}" in _apps(queue))  # noqa: B023 - waited for here
    assert sum(any(body.headers for body in bodies) for bodies in queue.packs()) == 1
    assert queue.lines() == {line}


def _apps(queue: Any) -> set[str]:
    return {origin.app for bodies in queue.packs() for body in bodies for origin in body.origins}
