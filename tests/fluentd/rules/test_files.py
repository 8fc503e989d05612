"""Rules at work on files, with rotations and crashes, into a real shard of a logger: what it has is exact."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from prometheus_client import CollectorRegistry

from fluentd.files.discovery import Place
from fluentd.pods.podrules import RateLimit, Unit
from fluentd.rules.compiled import RunRules
from fluentd.rules.judge import Judged
from fluentd.rules.redact import Redactor
from fluentd.rules.secrets import PACKS
from logger.columns import messages_of
from logger.ingest.deadletters import DeadLetters
from logger.ingest.metrics import IngestMetrics
from logger.ingest.shard import Shard
from pipeline.chunk import Chunk, Origin
from pipeline.lines.batch import Batch
from pipeline.lines.resume import ShardState
from pipeline.pack import encode_pack
from pipeline.queue import Record

KEY = b"AKIAIOSFODNN7EXAMPLE"


class OneBook:
    """The same rules for everybody."""

    def __init__(self, rules: RunRules | None) -> None:
        self.rules = rules
        self.dropped = 0

    def of(self, place: Place, origin: Origin) -> RunRules | None:
        return self.rules

    def of_platform(self, place: Place, origin: Origin) -> RunRules | None:
        return self.rules

    def count(self, judged: Judged) -> None:
        self.dropped += sum(lines for lines, _ in judged.dropped.values())


class Logger:
    """A shard of a logger, and its rows."""

    def __init__(self, folder: Path) -> None:
        self.registry = CollectorRegistry()
        metrics = IngestMetrics(self.registry)
        self.shard = Shard(0, ShardState(0), dead_letters=DeadLetters(folder), metrics=metrics)
        self.rows: dict[tuple[int, int, int], bytes] = {}
        self._offset = 0

    def accept(self, chunk: Chunk) -> None:
        value = encode_pack([chunk], node="n", compressor=zstandard.ZstdCompressor())
        self._keep(self.shard.take([Record(0, self._offset, value, 10**18)])[1])
        self._offset += 1

    def _keep(self, batch: Batch) -> None:
        for index, message in enumerate(messages_of(batch, np.arange(batch.rows)).to_pylist()):
            ordinal = batch.facts[batch.facts_index[index]].ordinal
            key = ordinal, int(batch.offset[index]), int(batch.continuation[index])
            assert key not in self.rows
            self.rows[key] = message

    def messages(self) -> list[bytes]:
        return [self.rows[key] for key in sorted(self.rows)]

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0


def settle(steps: Any) -> None:
    steps.settle()
    for _ in range(3):
        steps.round()
        steps.now += 3.0
    steps.round()


@pytest.fixture
def start(tmp_path: Path, make_steps: type[Any]) -> Callable[..., Any]:
    def begin(rules: RunRules | None) -> Any:
        steps = make_steps(tmp_path / "pods", rules=OneBook(rules))
        steps.logger = Logger(tmp_path / "dead")
        return steps

    (tmp_path / "pods").mkdir()
    return begin


@pytest.fixture
def box(tmp_path: Path, make_container: type[Any]) -> Any:
    return make_container(tmp_path / "pods")


@pytest.mark.parametrize("seed", range(12))
def test_every_dropped_line_is_told_once_through_rotations_and_crashes(
    start: Callable[..., Any], box: Any, write: Callable[..., bytes], seed: int
) -> None:
    rng = random.Random(seed)
    limit = RateLimit(Unit.LINES, rng.randrange(1, 6), rng.randrange(1, 10))
    redactor = rng.choice([None, Redactor(PACKS["default"], keys=True)])
    steps = start(RunRules(limit=limit, redactor=redactor))
    box.live.touch()
    second = total = 0
    for _ in range(60):
        action = rng.random()
        if action < 0.5:
            second += rng.choice([0, 0, 1, 3])
            count = rng.randrange(1, 12)
            tags = [rng.choice([b"stdout F", b"stdout F", b"stderr F", b"stdout P"]) for _ in range(count)] + [
                b"stdout F"
            ]
            head = b"2026-11-24T12:%02d:%02d.%09dZ %s "
            box.append(*[head % (second // 60, second % 60, total + n, tag) + b"line\n" for n, tag in enumerate(tags)])
            total += len(tags)
        elif action < 0.6 and box.live.stat().st_size:
            steps.scan()
            box.rotate()
        elif action < 0.7:
            steps.crash()
        elif action < 0.8:
            steps.save()
        else:
            steps.scan()
            steps.read(rng.randrange(1, 4))
            steps.acknowledge(rng.randrange(0, len(steps.inflight) + 1))
            steps.now += rng.choice([0.0, 0.5, 1.0])
    settle(steps)
    messages = steps.logger.messages()
    told = sum(int(message.split()[0]) for message in messages if message.endswith(b"(rate limit)"))
    kept = sum(not message.endswith(b"(rate limit)") for message in messages)
    text = b"".join(path.read_bytes() for path in sorted(box.folder.iterdir(), key=lambda path: path.name != "0.log"))
    assert text.count(b"\n") == total
    assert kept + told == len(re.findall(rb" F ", text))
    assert steps.logger.count("logger_gaps_total") == 0
    steps.tree.close()


def test_a_burst_that_nothing_follows_is_told_after_two_seconds(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(limit=RateLimit(Unit.LINES, 1, 2)))
    steps.now = 1_900_000_000.0
    box.append(*(box.line("x") for _ in range(10)))
    steps.round()
    run = next(iter(steps.tree))
    assert run.waits_from_ns
    assert run.complete_ns == run.waits_from_ns
    assert not run.settled
    assert len(steps.logger.messages()) == 2
    steps.now += 2.5
    steps.round()
    assert steps.logger.messages()[2:] == [b"8 lines dropped since 2026-11-24T12:00:00Z (rate limit)"]
    assert run.settled
    steps.tree.close()


def test_a_secret_in_pieces_that_come_one_by_one_is_hidden(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(redactor=Redactor(PACKS["default"], keys=True)))
    for cut in range(len(KEY) + 1):
        box.append(box.line(f"key {KEY[:cut].decode()}").replace(b" F ", b" P "))
        steps.round()
        box.append(box.line(f"{KEY[cut:].decode()} end"))
        steps.round()
    assert set(steps.logger.messages()) == {b"key [redacted:aws-access-key-id] end"}
    assert len(steps.logger.messages()) == len(KEY) + 1
    steps.tree.close()


def test_pieces_without_an_end_do_not_hold_the_other_stream_for_long(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(redactor=Redactor(PACKS["default"], keys=True)))
    box.append(box.line("no end").replace(b" F ", b" P "))
    for number in range(5):
        box.append(box.line(f"e{number}").replace(b"stdout", b"stderr"))
        steps.round()
        steps.now += 1.0
    steps.round()
    assert steps.logger.messages() == [b"e0", b"e1", b"e2", b"e3", b"e4"]
    steps.tree.close()


def test_what_no_rule_concerns_passes_untouched(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(redactor=Redactor(PACKS["default"], keys=True)))
    lines = [box.line(f"plain {number}") for number in range(100)]
    box.append(*lines)
    steps.scan()
    sent = steps.read() and steps.inflight
    assert [one.chunk.data for one in sent] == [b"".join(lines)]
    assert sent[0].chunk.line_offsets == b""
    assert sent[0].after.rules is None
    steps.tree.close()


def test_all_lines_dropped_leave_no_gap(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(limit=RateLimit(Unit.LINES, 1, 1)))
    box.append(*(box.line("x") for _ in range(12_000)))
    steps.scan()
    steps.read()
    assert any(not one.chunk.data and one.chunk.end > one.chunk.start for one in steps.inflight)
    steps.acknowledge()
    steps.now += 3.0
    box.append(box.line("x").replace(b"12:00:00", b"12:01:00"))
    steps.round()
    assert steps.logger.messages() == [
        b"x",
        b"11999 lines dropped since 2026-11-24T12:00:00Z (rate limit)",
        b"x",
    ]
    assert steps.logger.count("logger_gaps_total") == 0
    steps.tree.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_the_verdict_on_a_line_in_pieces_goes_on_in_the_next_file(
    start: Callable[..., Any], box: Any, *, restarted: bool
) -> None:
    steps = start(RunRules(limit=RateLimit(Unit.LINES, 1, 1)))
    box.append(box.line("kept"), box.line("dropped ").replace(b" F ", b" P "))
    steps.round()
    box.rotate()
    steps.settle()
    if restarted:
        steps.save()
        steps.crash()
    box.append(box.line("rest of what is dropped").replace(b"12:00:00", b"12:00:07"))
    settle(steps)
    assert steps.logger.messages() == [b"kept", b"1 lines dropped since 2026-11-24T12:00:00Z (rate limit)"]
    steps.tree.close()


def test_a_line_over_many_chunks_is_dropped_whole(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(limit=RateLimit(Unit.LINES, 1, 1)))
    box.append(box.line("kept"), box.line("y" * 700_000), box.line("next").replace(b"12:00:00", b"12:00:09"))
    settle(steps)
    told = b"1 lines dropped since 2026-11-24T12:00:00Z (rate limit)"
    assert steps.logger.messages() == [b"kept", told, b"next"]
    assert steps.logger.count("logger_gaps_total") == 0
    steps.tree.close()


def test_a_secret_in_a_line_over_many_chunks_is_hidden_and_the_line_stays_one(
    start: Callable[..., Any], box: Any
) -> None:
    steps = start(RunRules(redactor=Redactor(PACKS["default"], keys=True)))
    box.append(box.line(f"{'y' * 100_000} {KEY.decode()} {'z' * 500_000} {KEY.decode()}"), box.line("next"))
    settle(steps)
    hidden = b"[redacted:aws-access-key-id]"
    assert steps.logger.messages() == [b"y" * 100_000 + b" %s " % hidden + b"z" * 500_000 + b" " + hidden, b"next"]
    steps.tree.close()


def test_dockers_lines_keep_their_places_when_some_are_dropped(start: Callable[..., Any], box: Any) -> None:
    steps = start(RunRules(limit=RateLimit(Unit.LINES, 2, 2), redactor=Redactor(PACKS["default"], keys=True)))
    entry = '{"log":"%s\\n","stream":"stdout","time":"2026-11-24T12:00:0%d.5Z"}\n'
    lines = [(entry % (f"{number} {KEY.decode()}", number // 4)).encode() for number in range(8)]
    box.append(*lines)
    settle(steps)
    places = [sum(map(len, lines[:index])) for index in (0, 1, 3, 4, 5, 7)]
    assert [offset for _, offset, _ in sorted(steps.logger.rows)] == places
    told = b"2 lines dropped since 2026-11-24T12:00:0%dZ (rate limit)"
    hidden = b"%d [redacted:aws-access-key-id]"
    assert steps.logger.messages() == [hidden % 0, hidden % 1, told % 0, hidden % 4, hidden % 5, told % 1]
    steps.tree.close()


@pytest.mark.parametrize("cut", [1, 10, 19])
def test_secrets_over_pieces_of_a_line_of_many_chunks_are_hidden(start: Callable[..., Any], box: Any, cut: int) -> None:
    steps = start(RunRules(redactor=Redactor(PACKS["default"], keys=True)))
    piece = KEY[cut:].decode() + " " + "x" * 16_000 + " " + KEY[:cut].decode()
    box.append(*(box.line(piece).replace(b" F ", b" P ") for _ in range(60)), box.line(f"{KEY[cut:].decode()} end"))
    settle(steps)
    (message,) = steps.logger.messages()
    assert message.count(b"[redacted:aws-access-key-id]") == 60
    assert KEY[cut:] not in message[1000:]
    assert message.endswith(b" [redacted:aws-access-key-id] end")
    steps.tree.close()
