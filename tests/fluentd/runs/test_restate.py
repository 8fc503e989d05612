"""A new queue is told what the old one was sent, before anything else and before the checkpoint names it."""

from pathlib import Path
from typing import Any

from fluentd.runs.checkpoint import CheckpointFolder
from pipeline.chunk import Chunk
from pipeline.pack import chunks_of


def checkpointed_queue(agent: Any) -> str:
    """The queue that the checkpoint names."""
    with CheckpointFolder(agent.settings.state) as folder:
        checkpoint = folder.load()
    assert checkpoint is not None
    return str(checkpoint.queue_id)


def chunks(queue: Any) -> list[Chunk]:
    """All chunks that a queue was sent, in order of partitions."""
    return [chunk for packs in queue.packs() for body in packs for chunk in chunks_of(body)]


def on(queue: Any, agent: Any) -> Any:
    """An agent that sends to another queue."""
    agent.queue = queue
    return agent


async def test_another_queue_is_told_of_each_file_first(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    lines = [container.line(str(number)) for number in range(6)]
    container.append(*lines[:2])
    async with live().running():
        await wait_until(lambda: queue.lines() == set(lines[:2]))
        container.rotate()
        container.append(*lines[2:4])
        await wait_until(lambda: queue.lines() == set(lines[:4]))
    other = type(queue)()
    other.queue_id = "other"
    container.append(*lines[4:])
    agent = on(other, live())
    async with agent.running():
        await wait_until(lambda: b"".join(chunk.data for chunk in chunks(other)) == b"".join(lines[4:]))
    size = len(lines[0])
    [packs] = [packs for packs in other.packs() if any(body.headers for body in packs)]
    stated = list(chunks_of(packs[0]))
    assert [(chunk.ordinal, chunk.start, chunk.end, chunk.data, chunk.flags) for chunk in stated] == [
        (0, 2 * size, 2 * size, b"", 0),
        (1, 2 * size, 2 * size, b"", 0),
    ]
    assert [chunk.source for chunk in stated] == list(dict.fromkeys(c.source for c in queue.logger().chunks))
    assert packs[0].heartbeat_ns == 0
    assert [(chunk.start, chunk.end) for body in packs[1:] for chunk in chunks_of(body)] == [(2 * size, 4 * size)]
    assert checkpointed_queue(agent) == "other"


async def test_an_agent_that_is_stopped_before_the_new_queue_answers_tells_it_next_time(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    container.append(line := container.line("one"))
    async with live().running():
        await wait_until(lambda: queue.lines() == {line})
    other = type(queue)()
    other.queue_id, other.away = "other", True
    agent = on(other, live())
    async with agent.running():
        await wait_until(lambda: other.sends > 0)
        assert agent.health.problems()["queue"] == "away"
    assert checkpointed_queue(agent) == "fake"
    other.away = False
    async with on(other, live()).running():
        await wait_until(lambda: len(chunks(other)) == 1)
    assert checkpointed_queue(agent) == "other"
    assert (chunks(other)[0].start, chunks(other)[0].data) == (len(line), b"")
    agent = on(other, live())
    async with agent.running():  # the same queue as before
        await wait_until(lambda: agent.health.problems() == {})
    assert len(chunks(other)) == 1


async def test_files_that_nothing_was_sent_of_are_not_told_of(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    container = make_container(tmp_path / "pods")
    container.append(line := container.line("one"))
    queue.away = True
    async with live(drain_seconds=0.1).running():
        await wait_until(lambda: queue.sends > 0)
    other = type(queue)()
    other.queue_id = "other"
    async with on(other, live()).running():
        await wait_until(lambda: other.lines() == {line})
    assert [(chunk.start, chunk.end) for chunk in other.logger().chunks] == [(0, len(line))]
