"""What the measurements start from: a corpus (kept between runs), and folders of this run that are removed after it."""

import contextlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import zstandard

from demo.corpus import make_pods, stored_lines, write_corpus
from demo.stack import Ended, Stack, wait_until
from pipeline.chunk import Chunk, Origin
from pipeline.pack import encode_pack, encoded_size, pack_is_full
from pipeline.queue import open_producer

SEED: Final = 20261124
MB: Final = 1_000_000
MIB: Final = 1024 * 1024
SMALL_APPS: Final = 10_000
SMALL_LINES: Final = 3
LONG_SECONDS: Final = 900.0
"""Bound of one measured run: it is CPU time that counts, and the machine may be busy."""

LOOK_SECONDS: Final = 0.5
"""Between two questions whether a service is done: more of them would cost it CPU that is measured."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Container log files below `pod_logs`."""

    pod_logs: Path
    size: int
    lines: int


@dataclass(frozen=True, slots=True)
class FilledQueue:
    """A queue that holds a corpus, and how the agent that filled it ended."""

    folder: Path
    size: int
    lines: int
    agent: Ended | None


class Material:
    """Corpus and queues, made when first asked for.

    Args:
        build: A git-ignored folder.
        mb: Size of the corpus in MiB.
    """

    def __init__(self, build: Path, *, mb: int) -> None:
        self.mb = mb
        self._build = build
        build.mkdir(parents=True, exist_ok=True)
        self.run = Path(tempfile.mkdtemp(prefix="run-", dir=build))

    def close(self) -> None:
        """Remove what this run has made, the corpus excepted."""
        shutil.rmtree(self.run)

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus: 20 apps, 60 pods; router lines, JSON, Java stack traces and plain text."""
        return self.corpus_of(self.mb)

    def corpus_of(self, mb: int) -> Corpus:
        """The same of another size, in MiB."""
        folder = self._build / f"corpus-{mb}-{SEED}"
        if not folder.exists():
            unfinished = self.run / "corpus"
            write_corpus(unfinished, total_bytes=mb * MIB, seed=SEED)
            unfinished.rename(folder)
        return corpus_at(folder)

    @cached_property
    def queue(self) -> FilledQueue:
        """The corpus in a queue, put there by an agent in a process of its own."""
        corpus = self.corpus
        folder = self.run / "filled"
        with Stack(folder, pod_logs=corpus.pod_logs) as stack:
            process = stack.start("agent")
            wait_sent(stack, corpus.size)
            return FilledQueue(stack.queue, corpus.size, corpus.lines, process.stop())

    @contextlib.contextmanager
    def copy_of(self, queue: FilledQueue, name: str, **settings: str) -> Iterator[Stack]:
        """A stack whose queue is a copy of `queue`; its folder is there until the end of the run."""
        with Stack(self.run / name, settings=settings) as stack:
            shutil.copytree(queue.folder, stack.queue, dirs_exist_ok=True)
            yield stack

    async def small_queue(self) -> FilledQueue:
        """A queue of full packs whose chunks have three lines each, of 10,000 apps in turn."""
        folder = self.run / "small"
        folder.mkdir()
        producer = await open_producer(f"sqlite:///{folder / 'queue.db'}")
        size = lines = 0
        for number, pack in enumerate(_small_packs(min(self.mb, 256) * MIB)):
            size += sum(len(chunk.data) for chunk in pack)
            lines += len(pack) * SMALL_LINES
            record = encode_pack(pack, node="bench", compressor=zstandard.ZstdCompressor(level=1))
            await producer.send(number % producer.partitions, [record])
        await producer.close()
        return FilledQueue(folder, size, lines, None)


def wait_sent(stack: Stack, size: int) -> None:
    """Wait until the agent has read so many bytes and the queue has them all."""
    wait_until(
        lambda: (
            stack.processes["agent"].poll() is not None
            or (
                stack.metric("agent", "fluentd_read_bytes_total") >= size
                and stack.metric("agent", "fluentd_inflight_bytes") == 0
            )
        ),
        seconds=LONG_SECONDS,
        what=f"agent has sent {size} bytes",
        every_seconds=LOOK_SECONDS,
    )


def corpus_at(pod_logs: Path) -> Corpus:
    """What lies below a folder."""
    files = list(pod_logs.rglob("*.log"))
    size = sum(path.stat().st_size for path in files)
    return Corpus(pod_logs, size, sum(count_lines(path) for path in files))


def count_lines(path: Path) -> int:
    """Newlines in a file."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(MIB), b""))


def _small_packs(total_bytes: int) -> Iterator[list[Chunk]]:
    """Packs for partition 0, 1, 2, 3, 0, ...: an app is always in the same one, since each has its own apps."""
    rings = [_small_chunks(part) for part in range(4)]
    size = 0
    while size < total_bytes:
        for ring in rings:
            pack: list[Chunk] = []
            raw_bytes = 0
            while not pack_is_full(raw_bytes):
                pack.append(next(ring))
                raw_bytes += encoded_size(pack[-1])
            size += sum(len(chunk.data) for chunk in pack)
            yield pack


def _small_chunks(part: int) -> Iterator[Chunk]:
    """Endless chunks of three lines, a quarter of the apps in turn."""
    rng = random.Random(SEED + part)
    pods = make_pods(seed=SEED, apps=SMALL_APPS, pods_per_app=1)[part::4]
    texts = [stored_lines(random.Random(SEED + number), pod) for number, pod in enumerate(pods)]
    origins = [
        Origin("bench", pod.app, pod.container.pod, pod.container.uid, pod.container.name, 0, pod.app, "web", "v1")
        for pod in pods
    ]
    sources = [blake2b(origin.uid.encode(), digest_size=16).digest() for origin in origins]
    ends = [0] * len(pods)
    order = list(range(len(pods)))
    while True:
        rng.shuffle(order)
        for index in order:
            data = b"".join(islice(texts[index], SMALL_LINES))
            start, ends[index] = ends[index], ends[index] + len(data)
            yield Chunk(origins[index], sources[index], 0, start, ends[index], start, data)
