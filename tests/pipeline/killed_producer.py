"""Sends to all partitions at once, and prints what was acknowledged, until it is killed: `killed_producer.py URL`."""

import asyncio
import itertools
import os
import sys

from pipeline.queue import Producer, open_producer


async def _send_for_ever(producer: Producer, partition: int) -> None:
    for number in itertools.count():
        fill = (number + partition) % 256
        offset = await producer.send(partition, [bytes([fill]) * 10_000])
        os.write(1, b"%d %d %d\n" % (partition, offset, fill))


async def _main(url: str) -> None:
    producer = await open_producer(url)
    async with asyncio.TaskGroup() as group:
        for partition in range(producer.partitions):
            group.create_task(_send_for_ever(producer, partition), name=f"partition {partition}")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
