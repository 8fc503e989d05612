"""Our agent and vlagent on one node, with the same pods at the same real API server and the same files.

Ours sends to a real broker and has its acknowledgement of every byte; vlagent sends JSON lines to a sink that counts
them. Each reads everything in a process of its own, one after the other.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from bench.figures import Figure
from bench.material import LONG_SECONDS, LOOK_SECONDS, MB, SEED, Corpus, Material, corpus_at, wait_sent
from bench.node import PARTITIONS, Node, a_node
from bench.sink import Taken, json_sink
from bench.vlagent import start_vlagent
from demo.corpus import write_corpus
from demo.stack import Ended, ServiceProcess, Stack, StackError, pause, wait_until

ROUNDS: Final = 3
PODS_PER_APP: Final = 4
MANY_FILES: Final = 1000
MANY_BYTES: Final = 64 * 1024
IDLE_FILES: Final = 500
IDLE_BYTES: Final = 1024
SETTLE_SECONDS: Final = 2.0
BEFORE_IDLE_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 120.0
"""A whole round of our agent: each two minutes it lists everything, whatever the kernel says."""

Reader = Callable[[Node, str, Corpus], AbstractContextManager[ServiceProcess]]
"""Runs an agent, under a name of this run, inside the block: it has sent the whole corpus when the block begins."""


@contextmanager
def _ours(node: Node, name: str, corpus: Corpus) -> Iterator[ServiceProcess]:
    with Stack(node.folder / f"ours-{name}", pod_logs=node.pod_logs, settings=node.settings(name)) as stack:
        process = stack.start("agent")
        stack.wait_ready("agent", seconds=LONG_SECONDS)
        wait_sent(stack, corpus.size)
        yield process


@contextmanager
def _vlagent(node: Node, name: str, corpus: Corpus) -> Iterator[ServiceProcess]:
    taken = Taken()
    folder = node.folder / f"vlagent-{name}"
    with json_sink(taken) as sink:
        process = start_vlagent(folder, containers=node.containers, kubeconfig=node.plane.kubeconfig, sink=sink)
        try:
            wait_until(
                lambda: process.poll() is not None or taken.lines >= corpus.lines,
                seconds=LONG_SECONDS,
                what=f"vlagent has sent {corpus.lines} lines",
                every_seconds=LOOK_SECONDS,
            )
            yield process
        finally:
            process.kill()
    if taken.lines != corpus.lines:
        raise StackError(f"{taken.lines} lines of {corpus.lines} from vlagent\n{process.last_words()}")


READERS: Final[dict[str, Reader]] = {"node_agent": _ours, "vlagent": _vlagent}


def peers_mb_per_cpu_s(material: Material) -> list[Figure]:
    """MB of log files per CPU-second of either agent, less what it uses on a node without pods; median of rounds."""
    corpus = material.corpus
    with a_node(material, "peers") as node:
        nothing = Corpus(node.pod_logs, 0, 0)
        starts = _rounds(node, "nothing", nothing)
        node.adopt(corpus.pod_logs)
        runs = _rounds(node, "all", corpus)
    figures = {who: _throughput(who, corpus, runs[who], starts[who]) for who in READERS}
    ratio = figures["node_agent"].value / figures["vlagent"].value
    return [*figures.values(), Figure("agent_to_vlagent", ratio, "times", {"mb": corpus.size / MB, "rounds": ROUNDS})]


def _rounds(node: Node, name: str, corpus: Corpus) -> dict[str, list[Ended]]:
    """Let each agent send the corpus, in turn, so that all have the same neighbours."""
    ended: dict[str, list[Ended]] = {who: [] for who in READERS}
    for number in range(ROUNDS):
        for who, reader in READERS.items():
            ended[who].append(_ends(node, reader, f"{name}-{number}", corpus))
    return ended


def _ends(node: Node, reader: Reader, name: str, corpus: Corpus) -> Ended:
    with reader(node, name, corpus) as process:
        ended = process.stop()
    if ended.status:
        raise StackError(f"{process.name} ended with status {ended.status}\n{process.last_words()}")
    return ended


def _throughput(who: str, corpus: Corpus, runs: Sequence[Ended], starts: Sequence[Ended]) -> Figure:
    mb, start = corpus.size / MB, statistics.median(one.cpu_seconds for one in starts)
    rates = [mb / (run.cpu_seconds - start) for run in runs]
    details: dict[str, Any] = {
        "mb": mb,
        "lines": corpus.lines,
        "rounds": [round(rate, 1) for rate in rates],
        "cpu_s": [round(run.cpu_seconds, 2) for run in runs],
        "start_cpu_s": start,
        "mb_per_cpu_s_with_start": statistics.median(mb / run.cpu_seconds for run in runs),
        "peak_rss_mb": max(run.peak_rss_bytes for run in runs) / MB,
        "partitions": PARTITIONS,
    }
    return Figure(f"{who}_mb_per_cpu_s", statistics.median(rates), "MB/CPU-s", details)


def peers_rss_mb(material: Material) -> list[Figure]:
    """Resident memory of either agent with 1,000 pods and their files, once it has sent 64 KiB of each."""
    with _filled_node(material, "many", files=MANY_FILES, file_bytes=MANY_BYTES) as (node, corpus):
        return [_rss(node, who, corpus) for who in READERS]


def _rss(node: Node, who: str, corpus: Corpus) -> Figure:
    with READERS[who](node, "many", corpus) as process:
        pause(SETTLE_SECONDS)
        now = process.rss_bytes()
        ended = process.stop()
    details = {"files": node.pods, "mb": corpus.size / MB, "peak_mb": ended.peak_rss_bytes / MB}
    return Figure(f"{who}_rss_mb", now / MB, "MB", details)


def peers_idle_cpu_percent(material: Material) -> list[Figure]:
    """CPU of either agent, of one core, with 500 pods that write nothing."""
    with _filled_node(material, "idle-node", files=IDLE_FILES, file_bytes=IDLE_BYTES) as (node, corpus):
        return [_idle(node, who, corpus) for who in READERS]


def _idle(node: Node, who: str, corpus: Corpus) -> Figure:
    with READERS[who](node, "idle", corpus) as process:
        pause(BEFORE_IDLE_SECONDS)  # vlagent looks at a silent file ever more seldom, down to each 10 s
        before, begun = process.cpu_seconds(), time.monotonic()
        pause(IDLE_SECONDS)
        used, took = process.cpu_seconds() - before, time.monotonic() - begun
        details = {"files": node.pods, "cpu_s": used, "took_s": took, "rss_mb": process.rss_bytes() / MB}
    return Figure(f"{who}_idle_cpu_percent", 100 * used / took, "%", details)


@contextmanager
def _filled_node(material: Material, name: str, *, files: int, file_bytes: int) -> Iterator[tuple[Node, Corpus]]:
    """A node with so many pods that have written so much each."""
    with a_node(material, name) as node:
        logs = node.folder / "written"
        write_corpus(
            logs, total_bytes=files * file_bytes, seed=SEED, apps=files // PODS_PER_APP, pods_per_app=PODS_PER_APP
        )
        node.adopt(logs)
        yield node, corpus_at(logs)
