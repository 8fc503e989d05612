"""The client of a Kafka queue alone: what sending and fetching packs costs a process of ours."""

import json
import os
import subprocess
import sys
from typing import Any, Final

from bench.figures import Figure
from bench.material import LONG_SECONDS, Material
from demo import kafka
from demo.stack import StackError

CASES: Final = (
    # bytes of a pack, partitions, packs in each: some seconds each
    (400_000, 4, 300),
    (400_000, 1, 1200),
    (100_000, 4, 1000),
    (4_000, 4, 5000),
)


def queue_kafka(material: Material) -> list[Figure]:
    """Random bytes to one real broker and back, MB per CPU-second of the client's process."""
    if missing := kafka.missing_tools():
        raise StackError(f"no broker: {missing} on this machine")
    broker = kafka.one_broker(material.run / "broker")
    try:
        broker.format()
        broker.start()
        broker.wait()
        return [_case(broker, *case) for case in CASES]
    finally:
        broker.remove()


def _case(broker: kafka.Broker, pack_bytes: int, partitions: int, packs: int) -> Figure:
    topic = f"packs-{pack_bytes}-{partitions}"
    url = f"kafka://{broker.server}/{topic}?create=1&partitions={partitions}&replication=1&min_insync=1"
    sent, fetched = (_client(what, url, packs, pack_bytes) for what in ("send", "fetch"))
    details = {
        "pack_bytes": pack_bytes,
        "partitions": partitions,
        "mb": sent["mb"],
        "producer_mb_per_cpu_s": sent["mb"] / sent["cpu_s"],
        "consumer_mb_per_cpu_s": fetched["mb"] / fetched["cpu_s"],
        "producer_s": sent["took_s"],
        "consumer_s": fetched["took_s"],
    }
    return Figure("queue_kafka", details["producer_mb_per_cpu_s"], "MB/CPU-s of the producer", details)


def _client(what: str, url: str, packs: int, pack_bytes: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.queueclient", what, url, str(packs), str(pack_bytes)]
    done = subprocess.run(command, env=os.environ, check=True, timeout=LONG_SECONDS, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
