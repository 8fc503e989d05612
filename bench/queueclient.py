"""One client of a queue, on an event loop as services have.

It ends with a JSON object: bytes, and CPU-seconds of this process between an open queue and the last record.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from typing import Final

import uvloop

from pipeline.limits import MIB
from pipeline.queue import Producer, open_consumer, open_producer

_FETCH_BYTES: Final = 4 * MIB
_SEED: Final = 20261124


def main() -> int:
    """Send or fetch so many packs of random bytes."""
    parser = argparse.ArgumentParser(prog="python -m bench.queueclient", description=__doc__)
    parser.add_argument("what", choices=("send", "fetch"))
    parser.add_argument("url")
    parser.add_argument("packs", type=int, help="for each partition")
    parser.add_argument("pack_bytes", type=int)
    arguments = parser.parse_args()
    run = {"send": _send, "fetch": _fetch}[arguments.what]
    size, cpu_seconds, took = uvloop.run(run(arguments.url, arguments.packs, arguments.pack_bytes))
    print(json.dumps({"mb": size / 1e6, "cpu_s": cpu_seconds, "took_s": took}))
    return 0


async def _send(url: str, packs: int, pack_bytes: int) -> tuple[int, float, float]:
    """All partitions at once, in each one pack after the other, as the agent does."""
    producer = await open_producer(url)
    pack = random.Random(_SEED).randbytes(pack_bytes)
    cpu, begun = time.process_time(), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for partition in range(producer.partitions):
            group.create_task(_send_all(producer, partition, packs, pack), name=f"partition {partition}")
    spent = time.process_time() - cpu, time.monotonic() - begun
    size = producer.partitions * packs * pack_bytes
    await producer.close()
    return size, *spent


async def _send_all(producer: Producer, partition: int, packs: int, pack: bytes) -> None:
    for _ in range(packs):
        await producer.send(partition, [pack])


async def _fetch(url: str, packs: int, pack_bytes: int) -> tuple[int, float, float]:
    """From the first record to the last, as the logger does."""
    consumer = await open_consumer(url, group="bench")
    positions = await consumer.starts()
    wanted = len(positions) * packs
    size = count = 0
    cpu, begun = time.process_time(), time.monotonic()
    while count < wanted:
        for record in await consumer.fetch(positions, max_bytes=_FETCH_BYTES, wait_seconds=1.0):
            positions[record.partition] = record.offset + 1
            size += len(record.value)
            count += 1
    spent = time.process_time() - cpu, time.monotonic() - begun
    await consumer.close()
    if size != wanted * pack_bytes:
        raise ValueError(f"{size} bytes in place of {wanted * pack_bytes}")
    return size, *spent


if __name__ == "__main__":
    sys.exit(main())
