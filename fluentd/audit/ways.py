"""Writing stamped lines, and the ways on which they come back."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from fluentd.audit.answers import AnswerJudge, Question, Repeats
from fluentd.audit.client import Answer, AnswerError, LoggerClient, Row, parse_time
from fluentd.audit.judge import NS, Judge, Verdict
from fluentd.audit.metrics import AuditMetrics
from fluentd.audit.stamp import Stamp, beginning, format_stamp, parse_stamp
from pipeline.errors import FatalError
from pipeline.service import Health

_RETRY_SECONDS: Final = 1.0
_FIRST: Final = frozenset({Verdict.FIRST, Verdict.OUT_OF_ORDER, Verdict.LATE})


class Writer:
    """Writes lines at a steady rate, and tells all judges of each before it is written.

    Args:
        run: Name of this run.
        judges: Of all ways.
        metrics: Of the audit.
        lines_per_second: The rate. Lines that a stalled output kept it from writing are not made up for.
        line_bytes: Length of a line.
        output: File descriptor that the container runtime reads.
        clock: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        *,
        run: str,
        judges: Sequence[Judge],
        metrics: AuditMetrics,
        lines_per_second: float,
        line_bytes: int,
        output: int,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._run, self._judges, self._metrics = run, judges, metrics
        self._period_seconds, self._line_bytes = 1 / lines_per_second, line_bytes
        self._output, self._clock = output, clock
        self._last_ns = 0
        self._next = 0

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            FatalError: Nobody reads the output any more.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.write()
            due = max(due + self._period_seconds, loop.time())
            await asyncio.sleep(due - loop.time())

    async def write(self) -> None:
        """Write the next line.

        Raises:
            FatalError: Nobody reads the output any more.
        """
        self._last_ns = max(self._last_ns + 1, self._clock())
        stamp = Stamp(self._run, self._next, self._last_ns)
        self._next += 1
        for judge in self._judges:
            judge.written(stamp.sequence, stamp.time_ns)
        try:
            await asyncio.to_thread(_write, self._output, f"{format_stamp(stamp, line_bytes=self._line_bytes)}\n")
        except OSError as error:
            raise FatalError(f"cannot write to stdout: {error.strerror}") from error
        self._metrics.written.inc()


def _write(output: int, line: str) -> None:
    data = memoryview(line.encode())
    while data:
        data = data[os.write(output, data) :]


class Follower:
    """Reads the lines as they arrive, over reconnects by cursor.

    Args:
        run: Name of the run whose lines are looked for.
        judge: Of this way.
        client: The logger.
        metrics: Of the audit.
        health: Its part `follow`.
        clock: Nanoseconds since the epoch.
    """

    WAY: Final = "follow"

    def __init__(
        self,
        *,
        run: str,
        judge: Judge,
        client: LoggerClient,
        metrics: AuditMetrics,
        health: Health,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._run, self._judge, self._client, self._metrics = run, judge, client, metrics
        self._health, self._clock = health, clock
        self._begun_ns = clock()
        self._cursor = ""
        self._repeated_below = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except AnswerError as error:
                self._metrics.failed(self.WAY, error.reason)
                self._health.broken(self.WAY, str(error))
                if error.reason == "gone":
                    self._begin_anew()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        start = {"cursor": self._cursor} if self._cursor else {"since": str(self._begun_ns)}
        async with self._client.follow({"text": beginning(self._run), **start}) as rows:
            async for row in rows:
                self._health.ready(self.WAY)
                self.take(row)

    def _begin_anew(self) -> None:
        """Another queue: its cursors begin anew, and lines that came are sent again, which makes no doubles of them."""
        oldest = self._judge.oldest()
        self._begun_ns = oldest[1] if oldest else self._clock()
        self._cursor = ""
        self._repeated_below = self._judge.next

    def take(self, row: Row) -> None:
        """Judge one event.

        Raises:
            AnswerError: The logger ends the follow, or the event makes no sense.
        """
        if row.type == "end":
            raise AnswerError("ended", f"the logger ended the follow: {row.reason[:200]}")
        if row.type == "line":
            self._judge_line(row.message)
        elif row.type == "watermark":
            self._judge.settle(now_ns=self._clock(), complete_ns=parse_time(row.complete_up_to))
        # Only now: the cursor stands for what is judged.
        self._cursor = row.cursor or self._cursor

    def _judge_line(self, message: str) -> None:
        stamp = parse_stamp(message)
        if stamp is None or stamp.run != self._run:
            self._metrics.altered(self.WAY)
            return
        verdict = self._judge.seen(stamp.sequence)
        if verdict is Verdict.DUPLICATE and stamp.sequence < self._repeated_below:
            return
        self._metrics.judged(self.WAY, verdict)
        if verdict in _FIRST:
            self._metrics.came(self.WAY, self._clock() - stamp.time_ns)


class Asker:
    """Asks for the lines again and again: for new ones, or, as the way `stored`, for those of a certain age.

    Args:
        way: Name of this way.
        run: Name of the run whose lines are looked for.
        judge: Of this way.
        client: The logger.
        metrics: Of the audit.
        health: Its part of the way's name.
        every_seconds: How often it asks.
        age_seconds: Only for lines so old.
        clock: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        way: str,
        *,
        run: str,
        judge: AnswerJudge,
        client: LoggerClient,
        metrics: AuditMetrics,
        health: Health,
        every_seconds: float,
        age_seconds: float = 0.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.way, self._run, self._judge, self._client = way, run, judge, client
        self._metrics, self._health, self._clock = metrics, health, clock
        self._every_seconds, self._age_ns = every_seconds, int(age_seconds * NS)
        self._altered = Repeats()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                await self._ask()
                self._health.ready(self.way)
            except AnswerError as error:
                self._metrics.failed(self.way, error.reason)
                self._health.broken(self.way, str(error))
            await asyncio.sleep(self._every_seconds)

    async def _ask(self) -> None:
        question = self._judge.ask(self._clock() - self._age_ns)
        if question is None:
            return
        begun = time.monotonic()
        since_ns = question.since_ns - self._judge.judge.patience.settle_ns
        answer = await self._client.ask(
            {"text": beginning(self._run), "since": str(since_ns), "until": str(question.until_ns)}
        )
        self._metrics.answered(self.way, time.monotonic() - begun)
        self.take(question, answer)

    def take(self, question: Question, answer: Answer) -> None:
        """Judge a whole answer."""
        now_ns = self._clock()
        found = [(message, parse_stamp(message)) for message in answer.messages]
        stamps = [stamp for _, stamp in found if stamp is not None and stamp.run == self._run]
        altered = self._altered.count_new(
            message for message, stamp in found if stamp is None or stamp.run != self._run
        )
        self._metrics.altered(self.way, altered)
        if not self._age_ns:
            self._observe(stamps, now_ns)
        for verdict, lines in self._judge.answered(question, [stamp.sequence for stamp in stamps]).items():
            self._metrics.judged(self.way, verdict, lines)
        self._judge.settle(question, now_ns=now_ns, complete_ns=answer.complete_ns)

    def _observe(self, stamps: Iterable[Stamp], now_ns: int) -> None:
        """How late those are that come for the first time."""
        new = {stamp.sequence: stamp for stamp in stamps if self._judge.judge.is_looked_for(stamp.sequence)}
        for stamp in new.values():
            self._metrics.came(self.way, now_ns - stamp.time_ns)
