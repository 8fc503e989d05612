"""copytruncate under a writer that never pauses, at random moments, while an agent reads along.

What was written between the copy and the truncation is nowhere but in what the agent has read by then. It has all that
is older than 100 ms, if it had its turns: on a machine that gave it none, nobody can ask that of it.

COPYTRUNCATE_TRUNCATIONS=1000 for the long form.
"""

import os
import random
import re
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

import fluentd.runs.run
from fluentd.runs.checkpoint import decode
from pipeline.chunk import Flag
from pipeline.limits import MIB
from pipeline.names import CHECKPOINT_FILE

TRUNCATIONS: Final = int(os.environ.get("COPYTRUNCATE_TRUNCATIONS", "12"))
OLD_SECONDS: Final = 0.1
TURNS: Final = 4
"""After so many, a run that is written to all the time was looked at: the first may have begun before the write."""

KEPT_COPIES: Final = 3
BETWEEN_LINES: Final = 10
"""At least so many are old when the file is truncated and in no copy, where it is not truncated at once."""

_LINE = re.compile(rb"\S+ stdout F (\d{9}) x* \1\n")


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened: by the clock, and by the turns that the agent had had."""

    seconds: float
    turns: int

    def is_old_at(self, later: "Moment") -> bool:
        """Whether the agent had time and turns to read what was written now."""
        return later.seconds - self.seconds >= OLD_SECONDS and later.turns - self.turns >= TURNS


class Writer:
    """Appends numbered lines, one write each, in a thread of its own, and remembers when each one was there."""

    def __init__(self, path: Path, now: Callable[[], Moment], chance: random.Random) -> None:
        self._path, self._now, self._chance = path, now, chance
        self._stopping = threading.Event()
        self.written: list[Moment] = []
        self.sizes: list[int] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write inside the block."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _run(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            while not self._stopping.wait(self._chance.uniform(0.0, 0.004)):
                number, filler = len(self.written), b"x" * self._chance.randrange(1, 400)
                line = b"2026-11-24T12:00:00.%09dZ stdout F %09d %s %09d\n" % (number, number, filler, number)
                os.write(descriptor, line)
                self.sizes.append(len(line))
                self.written.append(self._now())
        finally:
            os.close(descriptor)


class Truncator:
    """Copies, lets something be written in between or not, and truncates."""

    def __init__(self, container: Any, writer: Writer, now: Callable[[], Moment], chance: random.Random) -> None:
        self._container, self._writer, self._now, self._chance = container, writer, now, chance
        self._copies: deque[Path] = deque()
        self.before: list[Moment] = []
        self.after: list[float] = []
        self.copied: list[int] = []

    async def truncate(self, wait_until: Any) -> None:
        """One truncation."""
        lines, least = len(self._writer.written), self._chance.randrange(1, 40)
        await wait_until(lambda: len(self._writer.written) >= lines + least, seconds=60)
        copy = self._container.next_name()
        copied = len(self._writer.written)  # or more: lines that came while it was copied
        copy.write_bytes(self._container.live.read_bytes())
        self._copies.append(copy)
        if self._chance.random() < 0.7:
            later = len(self._writer.written) + BETWEEN_LINES
            await wait_until(lambda: len(self._writer.written) > later, seconds=60)
            await wait_until(lambda: self._writer.written[later].is_old_at(self._now()), seconds=60)
        self.before.append(self._now())
        self._container.truncate()
        self.after.append(time.monotonic())
        self.copied.append(copied)
        while len(self._copies) > KEPT_COPIES:
            self._copies.popleft().unlink()

    def of(self, written: Moment) -> int:
        """Which truncation came after a line."""
        return bisect_left(self.after, written.seconds)


def _declared_lost_bytes(model: Any) -> int:
    return sum(chunk.start - chunk.prev_end for chunk in model.chunks if chunk.flags & Flag.DECLARED_LOSS)


@pytest.mark.slow
async def test_what_is_older_than_100_ms_when_a_file_is_truncated_is_not_lost(
    live: Any, queue: Any, make_container: Any, wait_until: Any, tmp_path: Path
) -> None:
    seed = int(os.environ.get("COPYTRUNCATE_SEED", str(time.time_ns() % 2**32)))
    print(f"COPYTRUNCATE_SEED={seed}")  # noqa: T201 - replays a failure
    chance, agent, container = random.Random(seed), live(), make_container(tmp_path / "pods")
    async with agent.running() as running:

        def now() -> Moment:
            return Moment(time.monotonic(), running._reader._turns._count)

        writer = Writer(container.live, now, random.Random(seed + 1))
        truncator = Truncator(container, writer, now, chance)
        with writer.running():
            for _ in range(TRUNCATIONS):
                await truncator.truncate(wait_until)
            await wait_until(lambda: agent.value("fluentd_truncations_total") > 0, seconds=60)
        container.append(last := container.line("the end"))
        await wait_until(lambda: last in queue.lines(), seconds=60)
    model = queue.logger()
    numbers = [int(match[1]) for data in model.sources() for match in _LINE.finditer(data)]
    assert numbers == sorted(set(numbers)), "each line once, in order"
    lost = sorted(set(range(len(writer.written))) - set(numbers))
    by_truncation = [(number, truncator.of(writer.written[number])) for number in lost]
    old = [number for number, which in by_truncation if writer.written[number].is_old_at(truncator.before[which])]
    assert not old, f"lines {old} were there for {OLD_SECONDS} s"
    assert not [number for number, which in by_truncation if number < truncator.copied[which]], "they are in the copy"
    counted = agent.value("fluentd_lost_bytes_total", reason="truncated")
    assert counted == _declared_lost_bytes(model)
    assert counted <= sum(writer.sizes[number] for number in lost)
    saved = [
        number
        for number, written in enumerate(writer.written)
        if (which := truncator.of(written)) < TRUNCATIONS
        and number > truncator.copied[which]
        and written.is_old_at(truncator.before[which])
    ]
    print(  # noqa: T201 - the figures of the long form
        f"{len(writer.written)} lines, {len(saved)} of them old and in no copy, {len(lost)} lost, "
        f"{counted:.0f} bytes counted"
    )
    assert len(saved) >= BETWEEN_LINES, "there was something to lose"


class _KilledError(Exception):
    """Ends an agent."""


@asynccontextmanager
async def _killed(agent: Any) -> AsyncIterator[None]:
    """Run an agent inside the block; it ends as by `kill -9`: nothing more is sent, and nothing written down."""
    with suppress(_KilledError):
        try:
            async with agent.running():
                yield
                raise _KilledError
        except ExceptionGroup as group:
            raise group.exceptions[0] from None


def _seen_bytes(state: Path) -> int:
    """How many bytes of the only source are known to be there, by the checkpoint."""
    file = state / CHECKPOINT_FILE
    runs = decode(file.read_bytes()).runs if file.exists() else ()
    return max((known.size for run in runs for known in run.sources), default=0)


@pytest.mark.parametrize("copied", [False, True], ids=["not copied", "copied before the last lines came"])
async def test_what_was_seen_and_is_truncated_while_the_agent_is_down_is_counted_to_the_byte(
    *, live: Any, queue: Any, make_container: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    """Seen is what a look at the file has found to be there: it reads a chunk, and takes note of the size."""
    monkeypatch.setattr(fluentd.runs.run, "GONE_SECONDS", 0.2)
    agent = live(inflight_bytes=2 * MIB)
    container = make_container(agent.settings.pod_logs)
    lines = [container.line("x" * 1000) for _ in range(6000)]
    last = [container.line("y" * 1000) for _ in range(100)]
    container.append(lines[0])
    async with _killed(agent):
        await wait_until(lambda: queue.lines() == {lines[0]}, seconds=60)
        queue.away = True
        container.append(*lines[1:], *last)
        size = container.live.stat().st_size
        await wait_until(lambda: _seen_bytes(agent.settings.state) == size, seconds=60)
    queue.away = False
    if copied:
        container.next_name().write_bytes(b"".join(lines))
    container.truncate()
    container.append(new := container.line("new"))
    again = live(close_seconds=1)
    async with again.running():
        await wait_until(lambda: new in queue.lines(), seconds=60)
        await wait_until(lambda: sum(_lost(again).values()) > 0, seconds=60)
    model = queue.logger()
    old = next(data for data in model.data.values() if data.startswith(lines[0]))
    assert sum(_lost(again).values()) == size - len(old)
    assert len(old) == (len(b"".join(lines)) if copied else len(lines[0]))


def _lost(agent: Any) -> dict[str, float]:
    return {reason: agent.value("fluentd_lost_bytes_total", reason=reason) for reason in ("truncated", "deleted")}
