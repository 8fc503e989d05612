"""How a command reads and changes what the table knows of a shard, whoever owns it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, TypeVar

from logger.aggregator import GROUP
from logger.settings import LoggerSettings
from logger.table.writer import IngestTable
from pipeline.errors import FatalError, FencedError
from pipeline.lines.resume import ShardState, decode_state, encode_state
from pipeline.queue import Consumer, open_consumer
from pipeline.queue.sqlite.options import parse_url

T = TypeVar("T")

_ATTEMPTS: Final = 10


@contextlib.asynccontextmanager
async def open_both(settings: LoggerSettings) -> AsyncIterator[tuple[Consumer, IngestTable]]:
    """The queue, and the table as fed from it, inside the block.

    Raises:
        FatalError: There is no such queue of one machine.
        PipelineError: Queue or store do not answer.
    """
    check_there(settings.queue_url)
    # The loggers' own group: another would be registered in a queue of one machine, and hold its records.
    consumer = await open_consumer(settings.queue_url, group=GROUP)
    try:
        yield consumer, await asyncio.to_thread(IngestTable.open, settings.store_url, queue_id=consumer.queue_id)
    finally:
        await consumer.close()


def check_there(queue_url: str) -> Path | None:
    """Where a queue of one machine lies; `None` for Kafka. A command must not make one where a URL is misspelt.

    Raises:
        FatalError: It is not there.
    """
    if queue_url.startswith("kafka:"):
        return None
    path = parse_url(queue_url).path
    if not path.is_file():
        raise FatalError(f"QUEUE_URL: there is no queue {path}")
    return path


def change_shard(table: IngestTable, shard: int, change: Callable[[int, ShardState], tuple[int, T]]) -> T | None:
    """Change the position or the resume state of a shard in a commit of its own; its owner loads it anew. Blocks.

    Args:
        table: Fed from the queue.
        shard: Its number.
        change: Gets position and state, changes the state, and returns the new position and what is to be returned.
            Called again when the owner commits meanwhile; what it raises is raised, and nothing is committed.

    Returns:
        What `change` did; `None` when nothing of the shard was ever committed.

    Raises:
        FatalError: The owner commits so often that there is no getting in between.
        StoreUnavailableError: The storage fails.
    """
    for _ in range(_ATTEMPTS):
        taken = table.take([shard])
        if shard not in taken:
            return None
        position, blob = taken[shard]
        state = decode_state(blob)
        new, result = change(position, state)
        if (new, encode_state(state)) == (position, blob):
            return result
        with contextlib.suppress(FencedError):  # its owner has committed meanwhile: look again
            table.commit(parts={}, positions={shard: new}, states={shard: encode_state(state)})
            return result
    raise FatalError(f"shard {shard} is being committed by its owner again and again: try later")
