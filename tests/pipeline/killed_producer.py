"""Sends until it is killed, and prints what was acknowledged: `killed_producer.py URL [FAILPOINT]`.

To all partitions at once, or only to the first one, up to the fail-point.
"""

import asyncio
import itertools
import os
import sys

from pipeline.failpoints import arm
from pipeline.queue import Producer, open_producer


async def _send_for_ever(producer: Producer, partition: int) -> None:
    for number in itertools.count():
        fill = (number + partition) % 256
        offset = await producer.send(partition, [bytes([fill]) * 10_000])
        os.write(1, b"%d %d %d\n" % (partition, offset, fill))


async def _main(url: str, *arguments: str) -> None:
    arm(*arguments or [""])
    producer = await open_producer(url)
    async with asyncio.TaskGroup() as group:
        for partition in range(1 if arguments else producer.partitions):
            group.create_task(_send_for_ever(producer, partition), name=f"partition {partition}")


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
