"""Two loggers that share a topic, and writers."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.cluster import Cluster, missing_tools
from demo.numbered import Writers


@dataclass
class Pair:
    """What runs.

    Attributes:
        cluster: Brokers, a bucket, one agent, two loggers.
        writers: The agent's containers.
    """

    cluster: Cluster
    writers: Writers


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A running cluster whose loggers commit so rarely that what is asked for is in their heads."""
    if missing := missing_tools():
        pytest.skip(f"real cluster: {missing} on this machine")
    settings = {"LOGGER_FLUSH_SECONDS": "20", "LOGGER_UPKEEP_SECONDS": "5"}
    with ExitStack() as resources:
        cluster = resources.enter_context(Cluster(tmp_path, agents=1, loggers=2, partitions=5, settings=settings))
        writers = resources.enter_context(
            Writers(cluster.pod_logs("agent-1"), writers=8, apps=8, lines_per_second=25.0)
        )
        cluster.start_parts()
        cluster.start("agent-1", *cluster.loggers)
        cluster.wait_ready("agent-1", *cluster.loggers)
        writers.start()
        yield Pair(cluster, writers)
        writers.stop()
        cluster.stop(*cluster.running(["agent-1", *cluster.loggers]))
