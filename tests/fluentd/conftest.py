"""A node's log folder, an agent driven step by step or running, and what a logger would have of what it sends."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from zstandard import ZstdDecompressor

from fluentd.agent import Agent
from fluentd.chunks.outgoing import Outgoing
from fluentd.chunks.surroundings import RuleSource, Surroundings
from fluentd.files.discovery import Discovery, FoundFile, Listing, Place
from fluentd.files.source import Source
from fluentd.runs.checkpoint import Checkpoint, CheckpointFolder, decode, encode
from fluentd.runs.tree import Tree
from fluentd.settings import AgentSettings
from pipeline.chunk import Chunk, Flag, Origin
from pipeline.errors import QueueUnavailableError
from pipeline.pack import PackBody, chunks_of, decode_pack
from pipeline.service import Health

CLOSE_SECONDS = 5.0


@dataclass
class CountingTally:
    """Counts what the agent counts."""

    lost_bytes: dict[str, int] = field(default_factory=dict)
    truncations: int = 0
    damaged_files: int = 0
    malformed_lines: int = 0

    def lost(self, reason: str, size: int) -> None:
        self.lost_bytes[reason] = self.lost_bytes.get(reason, 0) + size

    def truncated(self) -> None:
        self.truncations += 1

    def damaged(self) -> None:
        self.damaged_files += 1

    def malformed(self, lines: int) -> None:
        self.malformed_lines += lines


@dataclass
class LoggerModel:
    """What a logger has: bytes by source, put together from chunks that may come twice."""

    ordinals_repeat: bool = False  # chunks of several runs are taken in
    data: dict[bytes, bytearray] = field(default_factory=dict)
    ends: dict[bytes, int] = field(default_factory=dict)
    ordinals: dict[bytes, int] = field(default_factory=dict)
    flags: dict[bytes, Flag] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)

    def accept(self, chunk: Chunk) -> None:
        """Take a chunk as the rule of contiguity says, and check it."""
        self.chunks.append(chunk)
        assert self.ordinals.setdefault(chunk.source, chunk.ordinal) == chunk.ordinal, "a source has one ordinal"
        have, end = self.data.setdefault(chunk.source, bytearray()), self.ends.get(chunk.source, 0)
        assert chunk.prev_end <= end, "bytes are missing before the chunk"
        assert chunk.start == chunk.prev_end or chunk.flags & Flag.DECLARED_LOSS
        self.flags[chunk.source] = self.flags.get(chunk.source, Flag.NONE) | chunk.flags
        if chunk.start > end or not chunk.data:
            self.ends[chunk.source] = max(end, chunk.end)
            return
        overlap = bytes(have[chunk.start : min(end, chunk.end)])
        assert chunk.data.startswith(overlap), "the same bytes of a source are always the same"
        have += chunk.data[end - chunk.start :]
        self.ends[chunk.source] = max(end, chunk.end)

    def sources(self) -> list[bytes]:
        """Bytes of each source, by ordinal."""
        assert self.ordinals_repeat or len(set(self.ordinals.values())) == len(self.ordinals), "ordinals do not repeat"
        return [bytes(self.data[source]) for source in sorted(self.ordinals, key=self.ordinals.__getitem__)]

    def lines(self) -> list[bytes]:
        """All lines of one run, in order."""
        return [line for data in self.sources() for line in data.splitlines(keepends=True)]


class Steps:
    """An agent's decision core, driven by hand: discovery, tree, checkpoint; a queue and a logger in memory."""

    def __init__(self, root: Path, *, link_targets: tuple[str, ...] = (), rules: RuleSource | None = None) -> None:
        self.root = root
        self.rules = rules
        self.link_targets = link_targets
        self.tally = CountingTally()
        self.logger = LoggerModel()
        self.inflight: list[Outgoing] = []
        self.saved = b""
        self.now = 1000.0
        self.partition = 0
        self._start()

    def _start(self) -> None:
        self.discovery = Discovery(str(self.root), self.link_targets)
        around = Surroundings(self._origin, self._siblings, self.tally, CLOSE_SECONDS, "deis", self.rules)
        self.tree = Tree(around=around, choose=lambda _place, _restart: self.partition)
        if self.saved:
            for known in decode(self.saved).runs:
                self.tree.restore(known, root=str(self.root), partitions=8)

    @staticmethod
    def _origin(place: Place, restart: int) -> Origin:
        return Origin("node", place.namespace, place.pod, place.uid, place.container, restart, place.namespace)

    def _siblings(self, place: Place, restart: int) -> list[FoundFile]:
        listing = Listing(0, {}, {}, [], [])
        self.discovery.look(place, listing)
        return [one for one in listing.changed.get(place.path, ()) if one.restart == restart]

    def scan(self, *, thorough: bool = True) -> Listing:
        """One scan of everything."""
        listing = self.discovery.scan(started_ns=int(self.now * 1e9), thorough=thorough)
        self.tree.apply(listing, now=self.now)
        return listing

    def read(self, limit: int = 1000) -> list[Outgoing]:
        """Read up to `limit` chunks, saving new sources first, as the reader does."""
        got: list[Outgoing] = []
        for run in self.tree.due():
            while len(got) < limit:
                outgoing = self.tree.next_chunk(run, now=self.now, pass_ns=int(self.now * 1e9))
                if outgoing is not None:
                    got.append(outgoing)
                elif run.unsaved:
                    self.save()
                else:
                    break
        self.inflight += got
        return got

    def acknowledge(self, count: int | None = None) -> None:
        """The queue takes the oldest chunks, and says so."""
        count = len(self.inflight) if count is None else count
        for outgoing in self.inflight[:count]:
            self.logger.accept(outgoing.chunk)
            outgoing.source.acknowledged = outgoing.after
        del self.inflight[:count]

    def deliver_unacknowledged(self, count: int) -> None:
        """The queue takes the oldest chunks, and the answer is lost: they are sent again."""
        for outgoing in self.inflight[:count]:
            self.logger.accept(outgoing.chunk)

    def save(self) -> None:
        """Write the checkpoint."""
        new = [source for run in self.tree for source in run.identities if not source.persisted]
        self.saved = encode(Checkpoint(1, "queue", self.tree.known_runs()))
        for source in new:
            source.persisted = True

    def crash(self) -> None:
        """Lose what is in memory; go on from the checkpoint."""
        self.tree.close()
        self.inflight.clear()
        self._start()

    def round(self) -> None:
        """Scan, read all, have all acknowledged."""
        self.scan()
        while self.read():
            self.acknowledge()

    def settle(self) -> None:
        """Rounds until every waiting time is over."""
        for _ in range(40):
            self.round()
            self.now += CLOSE_SECONDS + 1
            if not any(len(run.open_files) > 1 for run in self.tree):
                break
        self.round()
        self.save()

    def sources(self) -> list[Source]:
        """All that the tree knows."""
        return [source for run in self.tree for source in run.identities]

    def open_inodes(self) -> set[tuple[int, int]]:
        """Files held open."""
        return {tuple(file.content.inode) for run in self.tree for file in run.open_files}


class Container:
    """One container's log folder, written as runtimes and rotators do."""

    def __init__(self, root: Path, name: str = "web", uid: str = "uid-1") -> None:
        self.folder = root / f"demo_demo-web-1_{uid}" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.live = self.folder / "0.log"
        self._count = 0
        self._rotations = 0

    def line(self, text: str = "") -> bytes:
        """A line that there is only once."""
        self._count += 1
        return f"2026-11-24T12:00:00.{self._count:09d}Z stdout F {text}\n".encode()

    def append(self, *lines: bytes, path: Path | None = None) -> None:
        """Append to the live file."""
        with (path or self.live).open("ab") as file:
            file.write(b"".join(lines))

    def next_name(self) -> Path:
        """Name of the next rotated file."""
        self._rotations += 1
        return self.folder / f"0.log.20261124-{self._rotations:06d}"

    def rotate(self, *, create: bool = True) -> Path:
        """Rename, and open a new file, as kubelet has it."""
        rotated = self.live.rename(self.next_name())
        if create:
            self.live.touch()
        return rotated

    def copytruncate(self) -> Path:
        """Copy, then truncate, as logrotate does."""
        copy = self.next_name()
        copy.write_bytes(self.live.read_bytes())
        self.truncate()
        return copy

    def truncate(self) -> None:
        """Empty the live file."""
        with self.live.open("r+b") as file:
            file.truncate(0)

    @staticmethod
    def compress(path: Path) -> Path:
        """Compress a rotated file, by way of a temporary one."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
        path.unlink()
        return temporary.rename(path.with_name(path.name + ".gz"))


class FakeQueue:
    """A producer that keeps its records in memory, and can be away, or lose its answers."""

    queue_id = "fake"

    def __init__(self, partitions: int = 2) -> None:
        self.partitions = partitions
        self.records: list[list[bytes]] = [[] for _ in range(partitions)]
        self.arrived: list[bytes] = []
        self.away = False
        self.answers_to_lose = 0
        self.sends = 0

    async def send(self, partition: int, values: Sequence[bytes]) -> int:
        """See `pipeline.queue.Producer`."""
        self.sends += 1
        await asyncio.sleep(0)
        if self.away:
            raise QueueUnavailableError("away")
        self.records[partition] += values
        self.arrived += values
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise QueueUnavailableError("no answer")
        return len(self.records[partition]) - len(values)

    async def close(self) -> None:
        """See `pipeline.queue.Producer`."""

    def packs(self) -> list[list[PackBody]]:
        """All records, decoded, by partition."""
        return [[decode_pack(one, decompressor=ZstdDecompressor()) for one in records] for records in self.records]

    def logger(self) -> LoggerModel:
        """What a logger would have of all of it."""
        model = LoggerModel(ordinals_repeat=True)
        for body in (body for bodies in self.packs() for body in bodies):
            for chunk in chunks_of(body):
                model.accept(chunk)
        return model

    def lines(self) -> set[bytes]:
        """All lines that arrived."""
        return {line for data in self.logger().data.values() for line in bytes(data).splitlines(keepends=True)}


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for `condition`, no longer than `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, with a bound
            await asyncio.sleep(0.005)


class LiveAgent:
    """A whole agent on a folder of logs and a queue in memory."""

    def __init__(self, root: Path, state: Path, queue: FakeQueue, **settings: object) -> None:
        values = {"pod_logs": root, "state": state, "heartbeat_seconds": 0.1, "rescan_seconds": 0.1, **settings}
        self.settings = AgentSettings(node="n1", checkpoint_seconds=0.05, **values)  # type: ignore[arg-type]
        self.queue = queue
        self.health = Health()
        self.registry = CollectorRegistry()
        self.folder_type = CheckpointFolder

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        """Run the agent inside the block, then stop it in order."""
        stopping = asyncio.Event()
        with self.folder_type(self.settings.state) as folder:
            agent = Agent(self.settings, producer=self.queue, folder=folder, registry=self.registry, health=self.health)
            agent.restore(folder.load())
            async with asyncio.TaskGroup() as group:
                group.create_task(agent.run(stopping))
                yield agent
                stopping.set()

    def value(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def live(tmp_path: Path, queue: FakeQueue) -> Callable[..., LiveAgent]:
    (tmp_path / "pods").mkdir()

    def make(*, state_name: str = "state", **settings: object) -> LiveAgent:
        return LiveAgent(tmp_path / "pods", tmp_path / state_name, queue, **settings)

    return make


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    driven = Steps(tmp_path)
    yield driven
    driven.tree.close()


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


@pytest.fixture
def make_steps() -> type[Steps]:
    return Steps


@pytest.fixture
def make_container() -> type[Container]:
    return Container
