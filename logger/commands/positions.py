"""`python -m logger skip`: the position of a shard in the table moves to the oldest record that the queue has.

The loss of what lies between is said, and the shard's owner goes on from there.
"""

import asyncio

from logger.commands.shards import change_shard, open_both
from logger.settings import LoggerSettings
from logger.table.writer import IngestTable
from pipeline.errors import FatalError
from pipeline.lines.resume import ShardState


async def skip(settings: LoggerSettings, shard: int) -> str:
    """Move a shard that stands before the queue's oldest record to it; says what was lost.

    Raises:
        FatalError: The shard is of no such queue, or stands behind its end.
        PipelineError: Queue or store do not answer.
    """
    async with open_both(settings) as (consumer, table):
        starts, ends = await consumer.starts(), await consumer.ends()
        if shard not in starts:
            raise FatalError(f"shard {shard}: the queue has shards 0 to {consumer.partitions - 1}")
        return await asyncio.to_thread(skip_to, table, shard, starts[shard], ends[shard])


def skip_to(table: IngestTable, shard: int, start: int, end: int) -> str:
    """The same for a queue that has the records from `start` to before `end`. Blocks."""

    def change(position: int, state: ShardState) -> tuple[int, str]:
        if position > end:
            raise FatalError(f"shard {shard} stands at {position}, the queue ends at {end}: it needs a new topic")
        if position >= start:
            return position, f"shard {shard} stands at {position}, which the queue has: nothing to skip"
        state.next_offset = start
        return start, f"shard {shard}: {start - position} records are lost, from {position} on; it goes on at {start}"

    told = change_shard(table, shard, change)
    return told or f"shard {shard} has no position yet: it begins where the queue does"
