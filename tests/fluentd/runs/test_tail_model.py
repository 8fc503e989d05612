"""Tail identity and contiguity: a container, its rotator, the agent, the queue and crashes, in any order.

Whatever happens, a line that was written is delivered once and in the order of writing, unless its bytes were destroyed
before the queue had them.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test


@dataclass
class Segment:
    """What was written to one file between its creation, or truncation, and the next."""

    path: Path | None
    lines: list[bytes] = field(default_factory=list)
    torn: bool = False
    copy: bool = False


class TailMachine(RuleBasedStateMachine):
    """See the module."""

    make_steps: ClassVar[type[Any]]
    make_container: ClassVar[type[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="tail-"))
        self.container = self.make_container(self.root)
        self.steps = self.make_steps(self.root)
        self.segments = [Segment(self.container.live)]
        self.may_lose: set[bytes] = set()

    # the container and its rotator

    def _write(self, segment: Segment, data: bytes) -> None:
        assert segment.path is not None
        self.container.append(data, path=segment.path)
        if segment.torn:
            segment.lines[-1] += data
        else:
            segment.lines.append(data)
        segment.torn = not data.endswith(b"\n")

    @rule(size=st.sampled_from([0, 10, 70, 2000]))
    def append(self, size: int) -> None:
        self._write(self.segments[-1], self.container.line("x" * size))

    @rule()
    def append_part(self) -> None:
        self._write(self.segments[-1], self.container.line("part")[:-1])

    @precondition(lambda self: len(self.segments) > 1 and self._plain(-2))
    @rule()
    def append_late(self) -> None:
        self._write(self.segments[-2], self.container.line("late"))

    def _plain(self, index: int) -> bool:
        segment = self.segments[index]
        return segment.path is not None and segment.path.suffix != ".gz" and not segment.copy and bool(segment.lines)

    @precondition(lambda self: self.segments[-1].lines)
    @rule()
    def rotate(self) -> None:
        self.segments[-1].path = self.container.rotate()
        self.segments.append(Segment(self.container.live))

    # The copy of a file that has no name yet, and then is renamed and compressed before the next look, is not known
    # for a copy: it comes out of order.
    @precondition(lambda self: self.segments[-1].lines and not self._waits(self.container.live))
    @rule()
    def copytruncate(self) -> None:
        self.segments[-1].path = self.container.copytruncate()
        self.segments[-1].copy = True
        self.segments.append(Segment(self.container.live))

    def _waits(self, path: Path) -> bool:
        files = [file for run in self.steps.tree for file in run.open_files if file.source is None]
        return path.exists() and path.stat().st_ino in {file.content.inode.number for file in files}

    @precondition(lambda self: self.segments[-1].lines)
    @rule()
    def truncate(self) -> None:
        read = {bytes(one.chunk.data) for one in self.steps.inflight}
        sent = b"".join(read) + b"".join(self.steps.logger.sources())
        self.may_lose |= {line for line in self.segments[-1].lines if line not in sent}
        self.segments[-1].path = None
        self.container.truncate()
        self.segments.append(Segment(self.container.live))

    @rule(index=st.integers(0, 5))
    def compress(self, index: int) -> None:
        segment = self.segments[index % len(self.segments)]
        if segment is self.segments[-1] or segment.path is None or segment.path.suffix == ".gz":
            return
        self._lose_unless_open(segment, compressed=True)
        segment.path = self.container.compress(segment.path)

    @rule()
    def delete_oldest(self) -> None:
        for segment in self.segments[:-1]:
            if segment.path is not None:
                self._lose_unless_open(segment, compressed=False)
                segment.path.unlink()
                segment.path = None
                return

    def _lose_unless_open(self, segment: Segment, *, compressed: bool) -> None:
        assert segment.path is not None
        facts = segment.path.stat()
        if not compressed and (segment.copy or (facts.st_dev, facts.st_ino) not in self.steps.open_inodes()):
            self.may_lose |= set(segment.lines)

    # the agent and the queue

    @rule(thorough=st.booleans())
    def scan(self, thorough: bool) -> None:
        self.steps.scan(thorough=thorough)

    @rule(count=st.integers(1, 3))
    def read(self, count: int) -> None:
        self.steps.read(count)

    @rule(count=st.integers(1, 3))
    def acknowledge(self, count: int) -> None:
        self.steps.acknowledge(count)

    @rule(count=st.integers(1, 3))
    def answer_is_lost(self, count: int) -> None:
        self.steps.deliver_unacknowledged(count)

    @rule()
    def save(self) -> None:
        self.steps.save()

    @rule(seconds=st.sampled_from([0.5, 1.5, 6.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.steps.now += seconds

    @rule()
    def crash(self) -> None:
        for segment in self.segments:
            if segment.path is None:
                self.may_lose |= set(segment.lines)
        self.steps.crash()

    @invariant()
    def nothing_unwritten_arrives(self) -> None:
        written = [line for segment in self.segments for line in segment.lines]
        assert len(set(self.steps.logger.lines())) <= len(written)

    def teardown(self) -> None:
        try:
            self._write(self.segments[-1], self.container.line("last"))  # an end for what was still waiting
            self.steps.settle()
            written = [line for segment in self.segments for line in segment.lines]
            got = self.steps.logger.lines()
            lost = set(written) - set(got)
            assert lost <= self.may_lose, f"lost: {lost - self.may_lose}"
            assert got == [line for line in written if line not in lost]
        finally:
            self.steps.tree.close()
            shutil.rmtree(self.root)


def test_every_line_arrives_once_and_in_order(make_steps: type[Any], make_container: type[Any]) -> None:
    run_state_machine_as_test(
        type("Machine", (TailMachine,), {"make_steps": make_steps, "make_container": make_container}),
        settings=settings(
            max_examples=int(os.environ.get("TAIL_EXAMPLES", "150")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
