"""Lines in pieces, split at every byte, over rotations and crashes of the agent, both streams interleaved.

From the files through the agent's decisions to a logger's rows: byte for byte. PIECES_BYTES and PIECES_STEP for longer
lines.
"""

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard
from prometheus_client import CollectorRegistry

from fluentd.runs.run import GONE_SECONDS
from logger.ingest.deadletters import DeadLetters
from logger.ingest.metrics import IngestMetrics
from logger.ingest.shard import Shard
from pipeline.chunk import Chunk
from pipeline.cri import STDERR, STDOUT, STREAMS
from pipeline.limits import PACK_RAW_BYTES
from pipeline.lines.resume import ShardState
from pipeline.pack import encode_pack, encoded_size
from pipeline.queue import Record

BYTES: Final = int(os.environ.get("PIECES_BYTES", "250"))
STEP: Final = int(os.environ.get("PIECES_STEP", "1"))
_KEPT_FILES: Final = 4
_FORGET_EVERY: Final = 50
"""After so many splits the agent has time to forget sources whose files are gone: else each crash takes ever longer."""


@dataclass
class Logger:
    """A logger's shard in place of the model: takes chunks as records, and counts the lines that come of them."""

    folder: Path
    lines: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    _chunks: list[Chunk] = field(default_factory=list)
    _records: int = 0

    def __post_init__(self) -> None:
        metrics = IngestMetrics(CollectorRegistry())
        self._shard = Shard(0, ShardState(0), dead_letters=DeadLetters(self.folder), metrics=metrics)

    def accept(self, chunk: Chunk) -> None:
        """Take a chunk that the queue has."""
        if sum(map(encoded_size, self._chunks)) + encoded_size(chunk) > PACK_RAW_BYTES:
            self.flush()
        self._chunks.append(chunk)

    def flush(self) -> None:
        """Make rows of what came."""
        value = encode_pack(self._chunks, node="n1", compressor=zstandard.ZstdCompressor(level=1))
        record = Record(0, self._records, value, 1_790_000_000_000_000_000)
        self._records += 1
        self._chunks.clear()
        _, batch = self._shard.take([record])
        for start, stop, stream in zip(batch.starts, batch.stops, batch.stream.tolist(), strict=True):
            self.lines[stream, batch.buffer[start:stop]] += 1


_count = itertools.count()


def _line(stream: int, content: bytes, *, partial: bool = False) -> bytes:
    """A line with a time of its own: it may become the beginning of a file."""
    tag = b"P" if partial else b"F"
    return b"2026-11-24T12:00:00.%09dZ %s %s %s\n" % (next(_count), STREAMS[stream].encode(), tag, content)


def _splits(said: dict[int, bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """At each byte: what comes before and after the cut, one stream's line inside the other's."""
    for at in range(0, BYTES + 1, STEP):
        before = [_line(stream, text[:at], partial=True) for stream, text in said.items()]
        after = [_line(stream, text[at:]) for stream, text in reversed(said.items())]
        yield before, after


def test_lines_split_at_every_byte_are_joined_byte_for_byte(steps: Any, container: Any, tmp_path: Path) -> None:
    chance = random.Random(20261124)
    said = {STDOUT: chance.randbytes(BYTES).replace(b"\n", b" "), STDERR: chance.randbytes(BYTES).replace(b"\n", b" ")}
    logger = steps.logger = Logger(tmp_path / "dead")
    rotated: list[Path] = []
    count = 0
    for before, after in _splits(said):
        container.append(*before)
        match count % 4:
            case 0:
                steps.round()
            case 1:  # read, delivered, and forgotten
                steps.scan()
                steps.read()
                steps.deliver_unacknowledged(len(steps.inflight))
                steps.crash()
            case 2:
                steps.round()
                steps.save()
                steps.crash()
            case _:  # not looked at between the pieces
                pass
        rotated.append(container.rotate(create=bool(count % 2)))
        container.append(*after)
        count += 1
        if len(rotated) > _KEPT_FILES:
            steps.round()
            rotated.pop(0).unlink()
        if count % _FORGET_EVERY == 0:
            steps.round()
            steps.now += GONE_SECONDS
            steps.round()
    steps.acknowledge()
    steps.settle()
    logger.flush()
    assert logger.lines == dict.fromkeys(said.items(), count)
