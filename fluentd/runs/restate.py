"""What an old queue was sent, told to the new one: how far each file was acknowledged, without its bytes.

Bytes that the old queue had and the table has not are gone with it. The logger finds that out when a file goes on
behind them; of a file that does not go on it would never hear. So the first records that an agent sends to another
queue state every file that it knows, as chunks without data: the logger compares, and what is missing is a gap.

They are durable before the checkpoint names the new queue, and before the first heartbeat. A crash repeats them.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import structlog
import zstandard

from fluentd.files.discovery import Place
from fluentd.lanes.sender import QueueTrouble
from fluentd.runs.run import Run
from pipeline.chunk import Chunk, Origin
from pipeline.errors import RetriableError
from pipeline.pack import encode_pack
from pipeline.queue import Producer

log = structlog.get_logger()

_CHUNKS: Final = 256
"""Of one record: their names take a few hundred bytes each."""

_RETRY_SECONDS: Final = 1.0


def state_sources(run: Run, origin: Origin) -> list[Chunk]:
    """How far each file of a run was acknowledged, as chunks without data, in the order of writing."""
    known = sorted(run.identities, key=lambda source: source.ordinal)
    ends = [(source, source.acknowledged.offset) for source in known if source.acknowledged.offset]
    return [Chunk(origin, source.id, source.ordinal, end, end, end, b"") for source, end in ends]


async def restate(
    runs: Iterable[Run],
    *,
    origin: Callable[[Place, int], Origin],
    producer: Producer,
    node: str,
    trouble: QueueTrouble,
    stopping: asyncio.Event,
) -> bool:
    """Tell the queue of `producer` what was sent to another one.

    Args:
        runs: All that the agent knows.
        origin: Of a run's lines.
        producer: The new queue.
        node: Name of the node.
        trouble: Told while the queue does not answer.
        stopping: Ends the wait for it.

    Returns:
        Whether all is durable there; if not, the checkpoint must go on naming the old queue.

    Raises:
        FatalError: The queue is of no use.
    """
    compressor = zstandard.ZstdCompressor()
    count = 0
    for partition, chunks in _records(runs, origin):
        record = encode_pack(chunks, node=node, compressor=compressor)
        if not await _send(producer, partition, record, trouble=trouble, stopping=stopping):
            return False
        count += len(chunks)
    log.warning("another queue than before: it was told how far each file was sent", files=count)
    return True


def _records(runs: Iterable[Run], origin: Callable[[Place, int], Origin]) -> Iterator[tuple[int, Sequence[Chunk]]]:
    """Partition and chunks of each record."""
    by_partition: dict[int, list[Chunk]] = {}
    for run in runs:
        by_partition.setdefault(run.partition, []).extend(state_sources(run, origin(run.place, run.restart)))
    for partition, chunks in by_partition.items():
        for first in range(0, len(chunks), _CHUNKS):
            yield partition, chunks[first : first + _CHUNKS]


async def _send(
    producer: Producer, partition: int, record: bytes, *, trouble: QueueTrouble, stopping: asyncio.Event
) -> bool:
    while not stopping.is_set():
        try:
            await producer.send(partition, [record])
        except RetriableError as error:
            trouble.failed(partition, str(error))
        else:
            trouble.worked(partition)
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS * random.uniform(0.5, 1.0)):  # noqa: S311 - spreads retries
                await stopping.wait()
    return False
