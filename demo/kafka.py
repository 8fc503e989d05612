"""Real Kafka brokers: jars by Maven, started by `java` in KRaft mode on free ports of the loopback.

::

    pom.xml --mvn--> build/kafka/<hash of pom.xml>/*.jar --java--> one broker, or three, each its own controller
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from demo.fetched import fetch
from demo.server import Server
from demo.stack import free_ports, wait_until

CLUSTER_ID: Final = "dGVzdHMtcmVhbC1rYWZrYQ"
"""Any 16 bytes in base64url."""

_JARS: Final = Path(__file__).parents[1] / "build" / "kafka"
_PARTS: Final = Path(__file__).parent / "kafka_parts"
_POM: Final = _PARTS / "pom.xml"

_HEAP: Final = "256m"
_MAVEN_SECONDS: Final = 600
_START_SECONDS: Final = 120  # 3 s alone on two cores, 32 s seen with three brokers on a busy machine

_COMMON: Final = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "3",
    "log.segment.bytes": "16777216",
    # The default of 128 MB would fill half of the small heap.
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.cleaner.threads": "1",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    # So that a broker that was killed is missed soon.
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "replica.lag.time.max.ms": "5000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
}


def missing_tools() -> str:
    """Why no broker can be started on this machine; empty if one can."""
    return ", ".join(f"no {tool}" for tool in ("java", "mvn") if shutil.which(tool) is None)


def jars() -> Path:
    """The folder with the jars, fetched once for each content of the pom."""
    folder = _JARS / hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial.{os.getpid()}")
        command = ["mvn", "-B", "-q", "-f", str(_POM), f"-Djars={partial}", "package"]
        fetch(command, seconds=_MAVEN_SECONDS)
        with suppress(OSError):  # another run was faster
            partial.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
    return folder


class Broker(Server):
    """One broker process, which is its own controller too.

    Args:
        node: Its number in the cluster.
        port: Where it listens for clients.
        folder: Holds everything of it; not there yet.
        listener: Name of the clients' listener.
        settings: More lines of its properties.
    """

    def __init__(
        self,
        node: int,
        port: int,
        folder: Path,
        *,
        listener: str = "PLAINTEXT",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"broker {node}", port=port, output=folder / "broker.log")
        self.node = node
        self._folder = folder
        self._properties = {
            **_COMMON,
            "node.id": str(node),
            "log.dirs": str(folder / "data"),
            "advertised.listeners": f"{listener}://{self.address}",
            "inter.broker.listener.name": listener,
            **(settings or {}),
        }

    @property
    def server(self) -> str:
        """Where it listens: `host:port`."""
        return self.address

    def format(self, *arguments: str) -> None:
        """Prepare its empty storage, once."""
        self._folder.mkdir(parents=True)
        text = "".join(f"{name}={value}\n" for name, value in self._properties.items())
        self._properties_file.write_text(text)
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties_file), *arguments]
        subprocess.run(java(*tool), check=True, timeout=_START_SECONDS, stdout=subprocess.DEVNULL)  # noqa: S603

    def start(self) -> None:
        """Start the process; see `wait`."""
        self.run(java("kafka.Kafka", str(self._properties_file)))

    def wait(self) -> None:
        """Wait until it serves.

        Raises:
            StackError: It does not, or has ended; shows its last words.
        """
        wait_until(self._serves, seconds=_START_SECONDS, what=f"broker {self.node} is ready", every_seconds=0.1)

    def remove(self) -> None:
        """End it and delete its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serves(self) -> bool:
        return self.listens() and b"Kafka Server started" in self.output.read_bytes()

    @property
    def _properties_file(self) -> Path:
        return self._folder / "server.properties"


def java(*arguments: str) -> list[str]:
    """Command line of a small JVM with Kafka's classes."""
    logging = f"-Dlog4j2.configurationFile={_PARTS / 'log4j2.properties'}"
    options = [f"-Xmx{_HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", logging]
    return ["java", *options, "-cp", f"{jars()}/*", *arguments]


def one_broker(folder: Path, *, listener: str = "PLAINTEXT", settings: Mapping[str, str] | None = None) -> Broker:
    """A broker alone, not yet formatted."""
    port, controller = free_ports(2)
    single = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return Broker(
        1,
        port,
        folder,
        listener=listener,
        settings={
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "listener.security.protocol.map": f"{listener}:{listener},CONTROLLER:PLAINTEXT",
            **{f"{topic}.replication.factor": "1" for topic in single},
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **(settings or {}),
        },
    )


def three_brokers(folder: Path, *, settings: Mapping[str, str] | None = None) -> list[Broker]:
    """Three brokers that replicate to each other, not yet formatted."""
    ports = free_ports(6)
    voters = ",".join(f"{node}@127.0.0.1:{ports[node + 2]}" for node in (1, 2, 3))
    return [
        Broker(
            node,
            ports[node - 1],
            folder / str(node),
            settings={
                "controller.quorum.voters": voters,
                "listeners": f"PLAINTEXT://127.0.0.1:{ports[node - 1]},CONTROLLER://127.0.0.1:{ports[node + 2]}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "default.replication.factor": "3",
                "min.insync.replicas": "2",
                **(settings or {}),
            },
        )
        for node in (1, 2, 3)
    ]
