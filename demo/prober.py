"""A prober: puts lines into every shard of a queue, and asks one logger after the other for them all the time."""

import asyncio
import contextlib
import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import pairwise
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import zstandard

from demo import stack
from demo.probes import Answer, Probe, find_answer_faults, probe_message
from pipeline.chunk import Chunk, Origin
from pipeline.cri import STDOUT, format_line, format_time
from pipeline.errors import QueueUnavailableError
from pipeline.pack import encode_pack
from pipeline.queue import Producer, open_producer

WINDOW_SECONDS: Final = 30.0
"""Lines of so long are asked for."""

SEND_SECONDS: Final = 0.2
ASK_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 60.0
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what came of it.

    Attributes:
        at: When it was asked, monotonic seconds.
        logger: Who was asked.
        outcome: `whole`, `partial`, or `none`: no answer, or another status than 200.
        ready: Whether the logger had just said that it is ready.
        faults: What is wrong with the answer; see `demo.probes`.
    """

    at: float
    logger: str
    outcome: str
    ready: bool
    faults: tuple[str, ...] = ()


class Prober:
    """Writes and asks in a thread of its own.

    Args:
        queue_url: Where lines are sent, past all agents: so their acknowledgements are known.
        loggers: The loggers that may be asked now: name and port on this machine.
        app: Whose lines they are.
        seed: Of the loggers' order.

    Attributes:
        app: Whose lines they are.
        asked: All questions so far.
        written: All lines so far, by shard, in their order.
    """

    def __init__(
        self, queue_url: str, loggers: Callable[[], Mapping[str, int]], *, app: str = "probe", seed: int = 1
    ) -> None:
        self.app = app
        self.asked: list[Asked] = []
        self.written: dict[int, list[Probe]] = {}
        self._queue_url = queue_url
        self._loggers = loggers
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._main, name="prober", daemon=True)

    def faults(self) -> list[str]:
        """What was wrong with any answer."""
        return [
            f"{asked.at - self.asked[0].at:.1f} s: {asked.logger}, {asked.outcome}: {fault}"
            for asked in self.asked
            for fault in asked.faults
        ]

    def outcomes(self, *, since: float = 0.0, ready: bool = False) -> Counter[str]:
        """How many questions ended how, from a moment on; only those to loggers that are `ready` if so wished."""
        return Counter(asked.outcome for asked in self.asked if asked.at >= since and (asked.ready or not ready))

    def unanswered_seconds(self) -> float:
        """Longest time from one whole answer, of whichever logger, to the next."""
        moments = [asked.at for asked in self.asked if asked.outcome == "whole"]
        return max((after - before for before, after in pairwise(moments)), default=0.0)

    def stop(self) -> None:
        """Stop; returns when the thread has ended.

        Raises:
            StackError: It failed.
        """
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)
        if self._failure is not None:
            raise stack.StackError(f"the prober failed: {self._failure!r}") from self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # noqa: BLE001 - raised again by `stop`
            self._failure = error

    async def _run(self) -> None:
        producer = await open_producer(self._queue_url)
        try:
            self.written = {shard: [] for shard in range(producer.partitions)}
            async with asyncio.TaskGroup() as group:
                for shard in self.written:
                    group.create_task(self._write(producer, shard), name=f"write {shard}")
                group.create_task(self._ask_on(), name="ask")
        finally:
            await producer.close()

    async def _write(self, producer: Producer, shard: int) -> None:
        """Write lines of one shard, each sent until the queue has it."""
        origin = Origin("prober", "probes", f"{self.app}-{shard}", f"probe-{shard}", "probe", 0, self.app)
        source = hashlib.blake2b(origin.uid.encode(), digest_size=16).digest()
        compressor = zstandard.ZstdCompressor()
        end = 0
        probes = self.written[shard]
        while not self._stopping.is_set():
            probe = Probe(time.time_ns())
            data = format_line(format_time(probe.time_ns), STDOUT, probe_message(shard, len(probes)).encode())
            probes.append(probe)
            chunk = Chunk(origin, source, 0, end, end + len(data), end, data)
            end += len(data)
            pack = encode_pack([chunk], node="prober", heartbeat_ns=probe.time_ns, compressor=compressor)
            await self._send(producer, shard, pack)
            probe.acknowledged_at = time.monotonic()
            await asyncio.sleep(SEND_SECONDS)

    async def _send(self, producer: Producer, shard: int, pack: bytes) -> None:
        while True:
            with contextlib.suppress(QueueUnavailableError):
                await producer.send(shard, [pack])
                return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _ask_on(self) -> None:
        while not self._stopping.is_set():
            loggers = self._loggers()
            if loggers:
                name = self._rng.choice(sorted(loggers))
                self.asked.append(await self._ask(name, loggers[name]))
            await asyncio.sleep(ASK_SECONDS)

    async def _ask(self, name: str, port: int) -> Asked:
        ready = (await asyncio.to_thread(stack.get, port, "/readyz", seconds=20)).status == HTTPStatus.OK
        asked_at = time.monotonic()
        since_ns = time.time_ns() - int(WINDOW_SECONDS * _NS)
        answer = await asyncio.to_thread(read_answer, port, self.app, since_ns)
        if answer is None:
            return Asked(asked_at, name, "none", ready)
        faults = find_answer_faults(answer, self.written, asked_at=asked_at, since_ns=since_ns)
        return Asked(asked_at, name, "partial" if answer.partial else "whole", ready, tuple(faults))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)


def read_answer(port: int, app: str, since_ns: int) -> Answer | None:
    """Ask a logger for an app's lines, page by page; `None` when it does not answer, or refuses. Blocks."""
    messages: list[str] = []
    partial: set[int] = set()
    marks: list[str] = []
    cursor = ""
    while True:
        query = f"since={since_ns}&limit=10000&order=asc&format=ndjson&cursor={quote(cursor, safe='')}"
        page = stack.get(port, f"/v1/apps/{app}/logs?{query}")
        if page.status != HTTPStatus.OK:
            return None
        messages += [json.loads(line)["message"] for line in page.body.splitlines()]
        partial |= set(map(int, re.findall(r"\d+", page.headers.get("partial", ""))))
        marks.append(page.headers.get("complete-up-to", ""))
        cursor = page.headers.get("next-cursor", "")
        if not cursor:
            complete_up_to_ns = min(map(_nanoseconds, marks)) if all(marks) else None
            return Answer(messages, frozenset(partial), complete_up_to_ns)


def _nanoseconds(moment: str) -> int:
    """RFC 3339 with nanoseconds, in UTC."""
    seconds, _, fraction = moment.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * _NS + int(fraction.ljust(9, "0"))
