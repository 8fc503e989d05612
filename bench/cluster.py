"""Many machines' form on one: files to three brokers, brokers to a table in a bucket, by one to four loggers."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deltalake import DeltaTable

from bench.figures import Figure
from bench.ingest import NO_UPKEEP, table_rows
from bench.load import writing
from bench.material import LONG_SECONDS, LOOK_SECONDS, MB, Corpus, Material
from demo.cluster import TOPIC, Cluster, missing_tools
from demo.stack import Ended, StackError, pause, wait_until
from pipeline.names import TABLE_DIRECTORY

PARTITIONS: Final = 8
LOGGERS: Final = (1, 2, 3, 4)

AWAY_SECONDS: Final = 40.0
LIVE_BYTES_PER_SECOND: Final = 3_000_000
CATCH_UP_LOGGERS: Final = 2

BROKERS: Final = {"group.initial.rebalance.delay.ms": "3000"}
"""Kafka's own default: loggers that are started together share the partitions at once, and none reads in vain."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What some loggers did with the whole topic.

    Attributes:
        ended: Each logger's end.
        taken_bytes: What each took in.
        commits: Versions of the table.
        took_seconds: From their start to the last commit.
        others_cpu_seconds: What brokers and gateway used meanwhile.
    """

    ended: Mapping[str, Ended]
    taken_bytes: Mapping[str, float]
    commits: int
    took_seconds: float
    others_cpu_seconds: Mapping[str, float]


def cluster_path(material: Material) -> list[Figure]:
    """Files to Kafka by one agent, and from Kafka to a new table in the bucket by 1, 2, 3, 4 loggers.

    A process costs something once, beyond its start (see docs/bench.md). So four loggers are compared with one that
    has as much to do as each of them.
    """
    quarter = material.corpus_of(material.mb // max(LOGGERS))
    with _cluster(material, "cluster", agents=1, loggers=max(LOGGERS), settings=NO_UPKEEP) as cluster:
        agent_start, logger_start = _starts(cluster)
        _fill(cluster, quarter, "quarter")
        agent = _fill(cluster, material.corpus, "whole")
        alone = _index(cluster, material.corpus, "whole", 1)
        share = _index(cluster, quarter, "quarter", 1, core=0)
        runs = {count: _index(cluster, material.corpus, "whole", count, core=0) for count in LOGGERS}
        return [
            _agent_figure(material, agent, agent_start),
            _logger_figure(material, alone, logger_start),
            _flat_figure(material, share, runs, logger_start),
        ]


@contextlib.contextmanager
def _cluster(material: Material, name: str, **options: Any) -> Iterator[Cluster]:
    """Brokers and gateway that serve; their folders are gone afterwards.

    Raises:
        StackError: This machine lacks what builds or runs them.
    """
    if missing := missing_tools():
        raise StackError(f"no cluster: {missing} on this machine")
    folder = material.run / name
    folder.mkdir()
    with Cluster(folder, partitions=PARTITIONS, broker_settings=BROKERS, **options) as cluster:
        cluster.start_parts()
        yield cluster


def _starts(cluster: Cluster) -> tuple[Ended, Ended]:
    """What an agent and a logger use to start, find nothing and stop: a queue and a table of their own, both empty."""
    nothing = {
        "QUEUE_URL": _topic(cluster, "nothing"),
        "STORE_URL": cluster.store_url("nothing"),
        "AGENT_STATE": str(cluster.folder / "nothing.state"),
    }
    used = []
    for name in ("agent-1", "logger-1"):
        cluster.start(name, **nothing)
        cluster.wait_ready(name)
        used.append(cluster.processes[name].stop())
    return used[0], used[1]


def _topic(cluster: Cluster, name: str) -> str:
    """Queue URL of another topic."""
    return cluster.queue_url.replace(f"/{TOPIC}?", f"/{name}?")


def _fill(cluster: Cluster, corpus: Corpus, topic: str) -> Ended:
    """Let an agent send a corpus; ends when brokers have acknowledged all of it."""
    size = corpus.size
    cluster.start(
        "agent-1",
        QUEUE_URL=_topic(cluster, topic),
        AGENT_POD_LOGS=str(corpus.pod_logs),
        AGENT_STATE=str(cluster.folder / f"{topic}.state"),
    )
    wait_until(
        lambda: (
            cluster.metric("agent-1", "fluentd_read_bytes_total") >= size
            and cluster.metric("agent-1", "fluentd_inflight_bytes") == 0
        ),
        seconds=LONG_SECONDS,
        what=f"agent has sent {size} bytes",
        every_seconds=LOOK_SECONDS,
    )
    return cluster.processes["agent-1"].stop()


def _index(cluster: Cluster, corpus: Corpus, topic: str, count: int, *, core: int | None = None) -> _Run:
    """Let `count` loggers bring the whole topic into a table of their own.

    On one core, if stated: processes that run at the same time slow each other by sharing caches, and often the halves
    of a core, which is no cost of theirs.
    """
    names = cluster.loggers[:count]
    place = f"{topic}-by-{count}-on-{core}"
    store = cluster.gateway.bucket / place
    before = _others_cpu_seconds(cluster)
    begun = time.monotonic()
    cluster.start(*names, QUEUE_URL=_topic(cluster, topic), STORE_URL=cluster.store_url(place))
    if core is not None:
        for name in names:
            os.sched_setaffinity(cluster.processes[name].pid, {core})  # it has no other threads yet
    wait_until(
        lambda: not cluster.running(names) or _rows(store) >= corpus.lines,
        seconds=LONG_SECONDS,
        what=f"{corpus.lines} rows",
        every_seconds=LOOK_SECONDS,
    )
    took_seconds = time.monotonic() - begun
    taken = {name: cluster.metric(name, "logger_bytes_total") for name in names}
    cluster.stop(*names)
    rows = table_rows(store)
    if rows != corpus.lines:
        raise StackError(f"{rows} rows of {corpus.lines}\n{cluster.last_words()}")
    return _Run(
        {name: cluster.processes[name].wait() for name in names},
        taken,
        DeltaTable(str(store / TABLE_DIRECTORY)).version(),
        took_seconds,
        {name: used - before[name] for name, used in _others_cpu_seconds(cluster).items()},
    )


def _rows(store: Path) -> int:
    """Rows of the newest version by the table's log; 0 while there is none."""
    if not (store / TABLE_DIRECTORY / "_delta_log").exists():
        return 0
    return sum(DeltaTable(str(store / TABLE_DIRECTORY)).get_add_actions().column("num_records").to_pylist())


def _others_cpu_seconds(cluster: Cluster) -> dict[str, float]:
    brokers = sum(broker.cpu_seconds() for broker in cluster.brokers.values())
    return {"brokers": brokers, "gateway": cluster.gateway.cpu_seconds()}


def _agent_figure(material: Material, agent: Ended, started: Ended) -> Figure:
    mb, start = material.corpus.size / MB, started.cpu_seconds
    details = {
        "mb": mb,
        "cpu_s": agent.cpu_seconds,
        "start_cpu_s": start,
        "mb_per_cpu_s_with_start": mb / agent.cpu_seconds,
        "peak_rss_mb": agent.peak_rss_bytes / MB,
        "partitions": PARTITIONS,
        "status": agent.status,
    }
    return Figure("agent_kafka_mb_per_cpu_s", mb / (agent.cpu_seconds - start), "MB/CPU-s", details)


def _logger_figure(material: Material, run: _Run, started: Ended) -> Figure:
    mb, start = material.corpus.size / MB, started.cpu_seconds
    ended = run.ended["logger-1"]
    details = {
        "mb": mb,
        "lines": material.corpus.lines,
        "cpu_s": ended.cpu_seconds,
        "start_cpu_s": start,
        "mb_per_cpu_s_with_start": mb / ended.cpu_seconds,
        "peak_rss_mb": ended.peak_rss_bytes / MB,
        "commits": run.commits,
        "took_s": run.took_seconds,
        **{f"{name}_cpu_s": used for name, used in run.others_cpu_seconds.items()},
    }
    return Figure("logger_s3_mb_per_cpu_s", mb / (ended.cpu_seconds - start), "MB/CPU-s", details)


def _flat_figure(material: Material, share: _Run, runs: Mapping[int, _Run], start: Ended) -> Figure:
    details: dict[str, Any] = {"mb": material.corpus.size / MB, "partitions": PARTITIONS}
    details |= {"start_cpu_s": start.cpu_seconds, "start_system_s": start.system_seconds}
    details["1_logger_with_a_quarter"] = _account(share, start)
    details |= {f"{count}_loggers": _account(run, start) for count, run in runs.items()}
    most = runs[max(runs)]
    details["user_ratio"] = _user_ms_per_mb(most, start) / _user_ms_per_mb(share, start)
    details["user_ratio_to_1_logger"] = _user_ms_per_mb(most, start) / _user_ms_per_mb(runs[min(runs)], start)
    ratio = _cpu_ms_per_mb(most, start) / _cpu_ms_per_mb(share, start)
    return Figure("cluster_cpu_s_per_mb", ratio, "4 loggers to 1 with a quarter", details)


def _cpu_ms_per_mb(run: _Run, start: Ended) -> float:
    used = sum(ended.cpu_seconds - start.cpu_seconds for ended in run.ended.values())
    return used * 1000 / (sum(run.taken_bytes.values()) / MB)


def _user_ms_per_mb(run: _Run, start: Ended) -> float:
    """The same without the kernel's part, which depends on what memory the machine has at hand."""
    used = sum(_user_seconds(ended) - _user_seconds(start) for ended in run.ended.values())
    return used * 1000 / (sum(run.taken_bytes.values()) / MB)


def _user_seconds(ended: Ended) -> float:
    return ended.cpu_seconds - ended.system_seconds


def _account(run: _Run, start: Ended) -> dict[str, Any]:
    return {
        "cpu_ms_per_mb": round(_cpu_ms_per_mb(run, start), 3),
        "user_ms_per_mb": round(_user_ms_per_mb(run, start), 3),
        "commits": run.commits,
        "took_s": round(run.took_seconds, 1),
        "processes": [_process(run, name, start) for name in run.ended],
        **{f"{name}_cpu_s": round(used, 2) for name, used in run.others_cpu_seconds.items()},
    }


def _process(run: _Run, name: str, start: Ended) -> dict[str, float]:
    ended, mb = run.ended[name], run.taken_bytes[name] / MB
    rounded = {
        "mb": round(mb, 1),
        "cpu_s": round(ended.cpu_seconds, 3),
        "system_s": round(ended.system_seconds, 3),
        "peak_rss_mb": round(ended.peak_rss_bytes / MB),
    }
    return rounded | ({"cpu_ms_per_mb": round((ended.cpu_seconds - start.cpu_seconds) / mb * 1000, 3)} if mb else {})


def catch_up(material: Material) -> list[Figure]:
    """How much faster than the live rate loggers take in what came while they were away.

    From the moment that they are started again, the start of the processes and of the group included, until they are
    less than a second of the live rate behind what the agent has sent.
    """
    with _cluster(material, "away", agents=1, loggers=CATCH_UP_LOGGERS) as cluster:
        names = cluster.loggers
        cluster.start("agent-1", *names)
        cluster.wait_ready("agent-1", *names)
        with writing(cluster.pod_logs("agent-1"), bytes_per_second=LIVE_BYTES_PER_SECOND):
            wait_until(lambda: _taken(cluster) > 0, seconds=LONG_SECONDS, what="first lines", every_seconds=0.1)
            stopped_at = _sent(cluster)
            cluster.stop(*names)
            away_since = time.monotonic()
            pause(AWAY_SECONDS)
            return [_catch_up_figure(cluster, stopped_at, away_since)]


def _catch_up_figure(cluster: Cluster, stopped_at: float, away_since: float) -> Figure:
    backlog = _sent(cluster) - stopped_at
    live = backlog / (time.monotonic() - away_since)
    begun = time.monotonic()
    cluster.start(*cluster.loggers)
    wait_until(lambda: _taken(cluster) > 0, seconds=LONG_SECONDS, what="first lines again", every_seconds=0.05)
    first = time.monotonic()
    wait_until(
        lambda: stopped_at + _taken(cluster) >= _sent(cluster) - live,
        seconds=LONG_SECONDS,
        what="loggers have caught up",
        every_seconds=0.1,
    )
    took, reading = time.monotonic() - begun, time.monotonic() - first
    total = _taken(cluster)
    details = {
        "loggers": len(cluster.loggers),
        "live_mb_per_s": live / MB,
        "away_s": begun - away_since,
        "backlog_mb": backlog / MB,
        "took_s": took,
        "took_s_after_first_lines": reading,
        "factor_after_first_lines": total / max(reading, 0.05) / live,
    }
    return Figure("catch_up_factor", total / took / live, "times the live rate", details)


def _sent(cluster: Cluster) -> float:
    return cluster.metric("agent-1", "fluentd_read_bytes_total") - cluster.metric("agent-1", "fluentd_inflight_bytes")


def _taken(cluster: Cluster) -> float:
    return sum(cluster.metric(name, "logger_bytes_total") for name in cluster.loggers)
