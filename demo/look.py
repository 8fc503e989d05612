"""`python -m demo.look`: a cluster for a look (`make cluster`). The demo writes on both nodes until Ctrl-C.

Everything lies below var/cluster, made anew at each start; everything is ended by its pid.
"""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from demo.cluster import Cluster, missing_tools
from demo.stack import ServiceProcess, StackError

FOLDER: Final = Path("var/cluster")


def main() -> int:
    """Start a cluster with the demo's writers on each node, and stop it when told to; the exit status."""
    if missing := missing_tools():
        sys.stderr.write(f"a cluster is real Kafka and a real S3 gateway: {missing} on this machine\n")
        return 1
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    folder = FOLDER.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sys.stderr.write("starting 3 brokers and the S3 gateway; the first time they are fetched and built, for minutes\n")
    try:
        with Cluster(folder) as cluster:
            _run(cluster, stopping)
    except StackError as error:
        if not stopping.is_set():  # else it was stopped while it started
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


def _run(cluster: Cluster, stopping: threading.Event) -> None:
    cluster.start_parts()
    services = [*cluster.agents, *cluster.loggers]
    cluster.start(*services)
    cluster.wait_ready(*services)
    writers = _start_writers(cluster)
    sys.stderr.write(guide(cluster))
    stopping.wait()
    sys.stderr.write("stopping\n")
    # Each may have been killed by hand, and each has had the Ctrl-C of a terminal itself.
    for names in (writers, cluster.agents, cluster.loggers):
        cluster.stop(*cluster.running(names))


def _start_writers(cluster: Cluster) -> list[str]:
    """The demo's apps on each node, with pods of their own."""
    names = []
    for seed, agent in enumerate(cluster.agents, 1):
        name = agent.replace("agent", "writers")
        arguments = ["-m", "demo", str(cluster.pod_logs(agent)), str(seed)]
        cluster.processes[name] = ServiceProcess(name, arguments, os.environ, cluster.folder / f"{name}.log")
        names.append(name)
    return names


def guide(cluster: Cluster) -> str:
    """Where to look, for the person who started this."""
    urls = {name: f"http://127.0.0.1:{port}" for name, port in cluster.ports.items()}
    first = cluster.loggers[0]
    lines = [
        "",
        *(f"  {name:<10}  {urls[name]}/v1/apps   /healthz /readyz /metrics" for name in cluster.loggers),
        *(f"  {name:<10}  {urls[name]}/metrics   reads {cluster.pod_logs(name)}" for name in cluster.agents),
        f"  queue       {cluster.queue_url}",
        f"  table       {cluster.store_url()} at http://127.0.0.1:{cluster.gateway.port}, files below {cluster.store}",
        f"  own logs    {cluster.folder}/*.log",
        "",
        f"  In a second terminal, by any logger:   ./deis-logs tail -a demo --url {urls[first]}",
        f"  To see others take over:               kill -9 {cluster.processes[first].pid}   ({first})",
        "  Ctrl-C stops everything.",
        "",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
