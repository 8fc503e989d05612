"""`kill -9` of an agent at random moments while rules hide, drop and limit: what is told adds up, and nothing shows.

RULES_KILLS for more of them, FAULTS_SEED=n repeats a run.
"""

import json
import os
import random
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import zstandard

from demo.containers import PIECE_BYTES, ContainerLog
from demo.corpus import make_container
from demo.stack import Stack, StackError, pause, wait_until
from pipeline.chunk import Flag
from pipeline.pack import chunks_of, decode_pack

KILLS = int(os.environ.get("RULES_KILLS", "7"))
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
SETTLE_SECONDS = 60.0
APP = "limited"
RULES = {
    "redact": [{"packs": ["default"]}],
    "drop": [{"message": "^n[0-9]+ GET /healthz"}],
    "rate_limits": [{"rate": "60 lines/s", "apps": [APP]}],
}
SECRET = "gh" + "p_" + "T0pS3cretT0pS3cretT0pS3cretT0pS3cret"
MARK = "[redacted:github-token]"
_NAME = re.compile(r"n(\d+) ")
_NOTICE = re.compile(r"(\d+) lines dropped since \S+ \(rate limit\)")


def is_dropped(number: int) -> bool:
    """Whether a rule drops the line, however many come in its second."""
    return number % 10 == 0


def line(number: int) -> str:
    """Health checks, secrets, secrets that lie across two pieces of a line, and plain lines."""
    if is_dropped(number):
        return f"n{number} GET /healthz"
    if number % 37 == 1:
        return f"n{number} ".ljust(PIECE_BYTES - 1 - number % len(SECRET), "x") + f" {SECRET} end"
    return f"n{number} token={SECRET}" if number % 5 == 1 else f"n{number} " + "x" * (number * 31 % 120)


def shown(number: int) -> str:
    """The line as it may be seen."""
    return line(number).replace(SECRET, MARK)


class Writer:
    """Writes numbered lines in a thread, in bursts that are over the limit in some seconds and under it in others."""

    def __init__(self, log: ContainerLog, rng: random.Random) -> None:
        self._log, self._rng = log, rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def _run(self) -> None:
        while not self._stopping.wait(self._rng.uniform(0.0, 0.5)):
            for _ in range(self._rng.randrange(80)):
                self._log.write(line(self.count).encode())
                self.count += 1
            if self._rng.random() < 0.2:
                self._log.rotate_soon()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def chunks_in(queue: Path) -> Iterator[Any]:
    """What the agent has sent."""
    with closing(sqlite3.connect(queue)) as connection:
        for (value,) in connection.execute("SELECT value FROM records ORDER BY key"):
            yield from chunks_of(decode_pack(value, decompressor=zstandard.ZstdDecompressor()))


def account(messages: list[str]) -> tuple[Counter[int], int]:
    """How often each line was kept, and how many lines are told to be dropped; every line must be as it may be seen."""
    kept: Counter[int] = Counter()
    told = 0
    for message in messages:
        if notice := _NOTICE.fullmatch(message):
            told += int(notice[1])
            continue
        named = _NAME.match(message)
        assert named is not None, message[:100]
        number = int(named[1])
        assert message == shown(number)
        kept[number] += 1
    return kept, told


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(RULES))
    queue = f"sqlite:///{tmp_path}/queue/queue.db?keep_seconds=3600"
    settings = {"AGENT_RULES": str(rules), "QUEUE_URL": queue, "LOGGER_FLUSH_SECONDS": "0.5"}
    with Stack(tmp_path, settings=settings) as stack:
        yield stack


@pytest.mark.faults
def test_what_rules_tell_adds_up_and_no_secret_shows_however_often_the_agent_is_killed(
    stack: Stack, table_of: Callable[[Path], dict[str, list[Any]]]
) -> None:
    print(f"FAULTS_SEED={SEED} RULES_KILLS={KILLS}")  # noqa: T201 - what repeats a failed run
    rng = random.Random(SEED)
    log = ContainerLog(stack.pod_logs, make_container(rng, app=APP, process="web"), rotate_bytes=0, keep_files=1000)
    stack.start("logger")
    stack.start("agent")
    stack.wait_ready("agent", "logger")
    with Writer(log, rng) as writer:
        for _ in range(KILLS):
            pause(rng.choice((0.3, 1.0, 2.0)) * rng.uniform(0.5, 1.5))
            ended = stack.processes["agent"].poll()
            assert ended is None, stack.last_words()
            stack.processes["agent"].kill()
            stack.start("agent")
    log.close()
    wanted = sum(not is_dropped(number) for number in range(writer.count))

    def accounted() -> int:
        kept, told = account([one.message for one in table_of(stack.store).get(APP, [])])
        return kept.total() + told

    with suppress(StackError):  # the verdict says more
        wait_until(lambda: accounted() >= wanted, seconds=SETTLE_SECONDS, what="all is told", every_seconds=0.5)
    assert [stack.processes[name].stop().status for name in ("agent", "logger")] == [0, 0], stack.last_words()
    kept, told = account([one.message for one in table_of(stack.store).get(APP, [])])
    assert [number for number, times in kept.items() if times > 1] == []
    assert [number for number in kept if is_dropped(number)] == []
    assert kept.total() + told == wanted
    assert min(kept.total(), told) > 0, "the limit took some and left some"
    sent = list(chunks_in(stack.queue / "queue.db"))
    assert not any(SECRET.encode() in chunk.data or b"GET /healthz" in chunk.data for chunk in sent)
    assert any(MARK.encode() in chunk.data for chunk in sent)
    assert not any(chunk.flags & Flag.DECLARED_LOSS for chunk in sent)
