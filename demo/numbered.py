"""Numbered lines: writers whose every line says what it is, and the check that each arrived once and in order.

A line is `w<writer> r<run> n<number> <filler>`, numbers counting from 0 over all runs of the writer. The filler follows
from the number, so a line put together wrongly shows. Some lines are longer than one piece of the runtime's.
"""

import random
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo.containers import Container, ContainerLog
from demo.corpus import make_container
from pipeline.cri import STDERR, STDOUT

TICK_SECONDS: Final = 0.01
ROTATE_SECONDS: Final = 1.0
LONG_EVERY: Final = 97
"""Every so many lines one is longer than the runtime stores in one piece."""

_LONG_BYTES: Final = 40_000
_NAME = re.compile(r"w(\d+) r(\d+) n(\d+) ")
_MOST_SHOWN: Final = 20


def make_line(writer: int, run: int, number: int) -> str:
    """The line with this number."""
    head = f"w{writer} r{run} n{number} "
    if number % LONG_EVERY == LONG_EVERY - 1:
        return head + (f"{number:07d}." * (_LONG_BYTES // 8))
    return head + "x" * (number * 31 % 120)


@dataclass(frozen=True, slots=True)
class Seen:
    """A line as a reader got it.

    Attributes:
        message: Its text.
        place: Where it was stored (source, offset, queue offset ...), for the report of a broken invariant.
    """

    message: str
    place: str


class Writers:
    """Containers that write numbered lines in a thread, and rotate every second, staggered.

    Args:
        root: kubelet's folder of pod logs.
        writers: How many.
        apps: Over how many apps they are spread.
        lines_per_second: Of each writer.
        restart_seconds: Every so often one of them is restarted as a new run; 0 for never.
        keep_files: So many files of a run are kept; lines of older ones are truly lost.
        seed: Of names and moments.
        prefix: Of the apps' names, so that the writers of several nodes have apps of their own.
    """

    def __init__(
        self,
        root: Path,
        *,
        writers: int = 8,
        apps: int = 4,
        lines_per_second: float = 100.0,
        restart_seconds: float = 10.0,
        keep_files: int = 200,
        seed: int = 1,
        prefix: str = "app",
    ) -> None:
        rng = random.Random(seed)
        self.apps = [f"{prefix}-{number}" for number in range(apps)]
        self.containers: list[Container] = [
            make_container(rng, app=self.apps[writer % apps], process="web") for writer in range(writers)
        ]
        self._logs = [
            ContainerLog(root, container, keep_files=keep_files, rotate_bytes=0) for container in self.containers
        ]
        self.numbers = [0] * writers
        self._runs = [0] * writers
        self._rng = rng
        self._lines_per_second = lines_per_second
        self._restart_seconds = restart_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writers", daemon=True)

    def app_of(self, writer: int) -> str:
        """The app that a writer belongs to."""
        return self.apps[writer % len(self.apps)]

    def written(self, app: str) -> dict[int, int]:
        """How many lines each writer of an app has written."""
        return {writer: count for writer, count in enumerate(self.numbers) if self.app_of(writer) == app}

    def write(self, writer: int, lines: int) -> None:
        """Write lines of one writer now."""
        for _ in range(lines):
            number = self.numbers[writer]
            stream = STDERR if number % 10 == 0 else STDOUT
            self._logs[writer].write(make_line(writer, self._runs[writer], number).encode(), stream=stream)
            self.numbers[writer] = number + 1

    def rotate(self, writer: int) -> None:
        """Rotate at the next stored line, which may be a piece of one."""
        self._logs[writer].rotate_soon()

    def restart(self, writer: int) -> None:
        """End the run of a writer, maybe with rotated files unread, and begin the next one."""
        self._logs[writer].restart()
        self._runs[writer] += 1

    def _run(self) -> None:
        writers = range(len(self._logs))
        begin = time.monotonic()
        rotate_at = [begin + ROTATE_SECONDS * (1 + writer / len(self._logs)) for writer in writers]
        restart_at = begin + self._restart_seconds
        owed = [0.0] * len(self._logs)
        while not self._stopping.wait(TICK_SECONDS):
            now = time.monotonic()
            for writer in writers:
                # Bursts: at most ticks nothing, then several lines at once.
                owed[writer] += self._lines_per_second * TICK_SECONDS
                if self._rng.random() < 0.2:  # noqa: PLR2004 - one tick in five
                    self.write(writer, int(owed[writer]))
                    owed[writer] %= 1
                if now >= rotate_at[writer]:
                    self.rotate(writer)
                    rotate_at[writer] += ROTATE_SECONDS
            if self._restart_seconds and now >= restart_at:
                self.restart(self._rng.randrange(len(self._logs)))
                restart_at += self._restart_seconds

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more; returns when the last line is written."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for log in self._logs:
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_faults(seen: Iterable[Seen], written: Mapping[int, int]) -> list[str]:
    """Hold what a reader got, in its order, against what was written.

    Args:
        seen: Lines in the reader's order.
        written: How many lines each writer has written.

    Returns:
        One sentence for each line lost, doubled, out of order in its run, or changed, with the places that matter.
    """
    faults: list[str] = []
    places: dict[tuple[int, int], Seen] = {}
    latest: dict[tuple[int, int], tuple[int, Seen]] = {}
    for line in seen:
        match = _NAME.match(line.message)
        if match is None:
            faults.append(f"changed: {line.message[:80]!r} at {line.place}")
            continue
        writer, run, number = map(int, match.groups())
        name = f"w{writer} r{run} n{number}"
        if line.message != make_line(writer, run, number):
            faults.append(f"changed: {name}, {len(line.message)} characters, at {line.place}")
        if (writer, number) in places:
            faults.append(f"doubled: {name} at {places[writer, number].place} and at {line.place}")
        before = latest.get((writer, run))
        if before is not None and number < before[0]:
            faults.append(f"out of order: {name} at {line.place} after n{before[0]} at {before[1].place}")
        places[writer, number] = line
        latest[writer, run] = (number, line)
    return faults + _lost(places, written)


def _lost(places: Mapping[tuple[int, int], Seen], written: Mapping[int, int]) -> list[str]:
    faults: list[str] = []
    for writer, count in written.items():
        missing = [number for number in range(count) if (writer, number) not in places]
        for number in missing[:_MOST_SHOWN]:
            neighbours = [
                f"n{near} at {places[writer, near].place}"
                for near in (number - 1, number + 1)
                if (writer, near) in places
            ]
            faults.append(f"lost: w{writer} n{number} of {count}; neighbours: {', '.join(neighbours) or 'none'}")
        if len(missing) > _MOST_SHOWN:
            faults.append(f"lost: w{writer}: {len(missing)} lines in all, up to n{missing[-1]}")
        faults.extend(
            f"never written: w{writer} n{number} at {line.place}"
            for (other, number), line in places.items()
            if other == writer and number >= count
        )
    return faults
