"""`python -m logger groups` and `forget-group`: who holds the records of a queue of one machine.

A consumer group that nobody reads as any more, since a monitor was taken away, holds every record until the queue's
budget is used up.
"""

import asyncio

from logger.aggregator import GROUP
from logger.commands.shards import check_there
from logger.settings import LoggerSettings
from pipeline.errors import FatalError
from pipeline.queue.sqlite import parse_url
from pipeline.queue.sqlite.groups import GroupLag, forget, list_groups

HEADER = "group\trecords\tbytes"
"""Columns of a listing, one group a line, separated by tabs."""


async def groups(settings: LoggerSettings) -> tuple[str, str]:
    """List the groups and what each has not read.

    Raises:
        FatalError: The queue is Kafka, or is not there.
        QueueUnavailableError: It does not answer.
    """
    _check_local(settings.queue_url)
    found = await asyncio.to_thread(list_groups, parse_url(settings.queue_url))
    return "".join(f"{line}\n" for line in [HEADER, *map(_row, found)]), f"{len(found)} groups"


async def forget_group(settings: LoggerSettings, group: str) -> str:
    """Unregister a group; says what it held.

    Raises:
        FatalError: There is no such group, it is the logger's, or the queue is Kafka.
        QueueUnavailableError: The queue does not answer.
    """
    _check_local(settings.queue_url)
    if group == GROUP:
        raise FatalError(f"{group} is the logger's own group: what it has not read would be dropped")
    held = await asyncio.to_thread(forget, parse_url(settings.queue_url), group)
    return f"{group} is forgotten; it had not read {held.records} records, {held.bytes} bytes"


def _check_local(queue_url: str) -> None:
    if check_there(queue_url) is None:
        raise FatalError("QUEUE_URL: groups of Kafka hold no records; its own tools (kafka-consumer-groups) list them")


def _row(held: GroupLag) -> str:
    return f"{held.group}\t{held.records}\t{held.bytes}"
