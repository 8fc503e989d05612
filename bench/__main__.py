"""`python -m bench [NAME ...] [--cluster] [--mb 1024]`: one JSON object a line for each measurement."""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench.agent import agent_mb_per_cpu_s, agent_rss_mb
from bench.arrival import arrival_ms
from bench.cluster import catch_up, cluster_path
from bench.commits import commit_latency_ms, commits_per_s
from bench.figures import Figure, show
from bench.ingest import logger_mb_per_cpu_s, logger_small_chunks_mb_per_cpu_s, logger_with_upkeep_mb_per_cpu_s
from bench.latency import follow_latency_ms, idle_cpu_percent
from bench.material import Material
from bench.peers import peers_idle_cpu_percent, peers_mb_per_cpu_s, peers_rss_mb
from bench.queue import queue_kafka
from bench.quiet import quiet_line_ms
from bench.reading import last100_and_search
from bench.rules import rules_mb_per_cpu_s

Measurements = Mapping[str, Callable[[Material], list[Figure]]]

ONE_MACHINE: Final[Measurements] = {
    "agent": agent_mb_per_cpu_s,
    "agent_rss": agent_rss_mb,
    "logger": logger_mb_per_cpu_s,
    "upkeep": logger_with_upkeep_mb_per_cpu_s,
    "small_chunks": logger_small_chunks_mb_per_cpu_s,
    "reading": last100_and_search,
    "follow": follow_latency_ms,
    "quiet": quiet_line_ms,
    "idle": idle_cpu_percent,
    "rules": rules_mb_per_cpu_s,
}
CLUSTER: Final[Measurements] = {
    "cluster": cluster_path,
    "catch_up": catch_up,
    "commits": commits_per_s,
    "commit_latency": commit_latency_ms,
    "queue_kafka": queue_kafka,
    "vlagent": peers_mb_per_cpu_s,
    "node_rss": peers_rss_mb,
    "node_idle": peers_idle_cpu_percent,
    "arrival": arrival_ms,
}
"""These need what runs real brokers (java, mvn) and builds an S3 gateway, a control plane and vlagent (go, openssl)."""

MEASUREMENTS: Final[Measurements] = {**ONE_MACHINE, **CLUSTER}


def main() -> int:
    """Run the measurements asked for; 1 when one could not be taken."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--cluster", action="store_true", help=f"without a name: {', '.join(CLUSTER)}")
    parser.add_argument("--mb", type=int, default=1024, help="size of the corpus in MiB")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    material = Material(Path("build/bench").absolute(), mb=arguments.mb)
    failed = 0
    try:
        for name in arguments.names or (CLUSTER if arguments.cluster else ONE_MACHINE):
            failed += _measure(name, material)
    finally:
        material.close()
    return 1 if failed else 0


def _measure(name: str, material: Material) -> int:
    try:
        for figure in MEASUREMENTS[name](material):
            print(show(figure), flush=True)
    except Exception:  # noqa: BLE001 - one measurement that fails leaves the others their turn
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
