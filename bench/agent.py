"""The agent: container log files to the queue."""

from typing import Final

from bench.figures import Figure
from bench.material import LONG_SECONDS, MB, SEED, Material, wait_sent
from demo.corpus import write_corpus
from demo.stack import Stack, pause

FILES: Final = 1000
SETTLE_SECONDS: Final = 2.0


def start_cpu_seconds(material: Material, service: str) -> float:
    """What a service uses to start, find nothing and stop: interpreter, imports, an empty queue and table."""
    with Stack(material.run / f"empty-{service}") as stack:
        process = stack.start(service)
        stack.wait_ready(service, seconds=LONG_SECONDS)
        ended = process.stop()
    return ended.cpu_seconds


def agent_mb_per_cpu_s(material: Material) -> list[Figure]:
    """Files to queue, less what the process uses without any file."""
    start = start_cpu_seconds(material, "agent")
    queue = material.queue
    if queue.agent is None:
        raise ValueError("this queue was filled by no agent")
    cpu_seconds = queue.agent.cpu_seconds
    stored = sum(path.stat().st_size for path in queue.folder.iterdir())
    details = {
        "mb": queue.size / MB,
        "cpu_s": cpu_seconds,
        "start_cpu_s": start,
        "mb_per_cpu_s_with_start": queue.size / MB / cpu_seconds,
        "queue_ratio": queue.size / stored,
        "peak_rss_mb": queue.agent.peak_rss_bytes / MB,
        "status": queue.agent.status,
    }
    return [Figure("agent_mb_per_cpu_s", queue.size / MB / (cpu_seconds - start), "MB/CPU-s", details)]


def agent_rss_mb(material: Material) -> list[Figure]:
    """Resident memory of the agent that tails 1,000 files, once it has read a backlog of 64 KiB in each.

    The peak, while the backlog is read and as much as allowed is in flight, stands in the details.
    """
    with Stack(material.run / "thousand") as stack:
        size = write_corpus(stack.pod_logs, total_bytes=FILES * 64 * 1024, seed=SEED, apps=FILES // 4, pods_per_app=4)
        process = stack.start("agent")
        wait_sent(stack, size)
        pause(SETTLE_SECONDS)
        now = process.rss_bytes()
        ended = process.stop()
    details = {"files": FILES, "mb": size / MB, "peak_mb": ended.peak_rss_bytes / MB, "status": ended.status}
    return [Figure("agent_rss_mb", now / MB, "MB", details)]
