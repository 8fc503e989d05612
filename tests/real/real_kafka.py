"""Real Kafka brokers for tests: jars by Maven, started by `java` in KRaft mode on free ports of the loopback.

::

    pom.xml --mvn--> build/kafka/<hash of pom.xml>/*.jar --java--> one broker, or three, each its own controller
"""

import hashlib
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
POM = Path(__file__).parent / "kafka" / "pom.xml"
LOGGING = Path(__file__).parent / "kafka" / "log4j2.properties"
CLUSTER_ID = "dGVzdHMtcmVhbC1rYWZrYQ"  # any 16 bytes in base64url

HEAP = "256m"
MAVEN_SECONDS = 600
START_SECONDS = 120  # 3 s alone on two cores, 32 s seen with three brokers on a busy machine
STOP_SECONDS = 15

COMMON = {
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
    folder = ROOT / "build" / "kafka" / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = ["mvn", "-B", "-q", "-f", str(POM), f"-Djars={partial}", "package"]
        subprocess.run(command, check=True, timeout=MAVEN_SECONDS, stdout=subprocess.DEVNULL)
        partial.rename(folder)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass
class Broker:
    """One broker process, which is its own controller too."""

    node: int
    port: int
    folder: Path
    listener: str = "PLAINTEXT"
    settings: dict[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def server(self) -> str:
        """Where it listens: `host:port`."""
        return f"127.0.0.1:{self.port}"

    def format(self, *arguments: str) -> None:
        """Prepare its empty storage, once."""
        self.folder.mkdir(parents=True)
        properties = {
            **COMMON,
            "node.id": str(self.node),
            "log.dirs": str(self.folder / "data"),
            "advertised.listeners": f"{self.listener}://{self.server}",
            "inter.broker.listener.name": self.listener,
            **self.settings,
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties), *arguments]
        subprocess.run(java(*tool), check=True, timeout=START_SECONDS, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start the process; see `wait`."""
        with self._log.open("ab") as out:
            command = java("kafka.Kafka", str(self._properties), orphans=False)
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Wait until it serves."""
        assert self._process is not None
        for _ in range(START_SECONDS * 10):
            if b"Kafka Server started" in self._log.read_bytes() and self._accepts():
                return
            try:
                status = self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"broker {self.node} ended with status {status}: {self._log.read_text()[-2000:]}")
        raise RuntimeError(f"broker {self.node} is not ready after {START_SECONDS} s: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._log.rename(self._log.with_suffix(".old"))

    def pause(self) -> None:
        """Stop it without closing its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in order, or by force if that takes too long."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def remove(self) -> None:
        """End it and delete its data, which pytest would keep for three more runs."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    def _accepts(self) -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", self.port)) == 0


def java(*arguments: str, orphans: bool = True) -> list[str]:
    """Command line of a small JVM with Kafka's classes; without `orphans` it dies with this process."""
    guard = [] if orphans or shutil.which("setpriv") is None else ["setpriv", "--pdeathsig", "KILL"]
    options = [f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={LOGGING}"]
    return [*guard, "java", *options, "-cp", f"{jars()}/*", *arguments]


def one_broker(folder: Path, *, listener: str = "PLAINTEXT", settings: dict[str, str] | None = None) -> Broker:
    """A broker alone, not yet formatted."""
    port, controller = free_ports(2)
    single = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return Broker(
        1,
        port,
        folder,
        listener,
        {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "listener.security.protocol.map": f"{listener}:{listener},CONTROLLER:PLAINTEXT",
            **{f"{topic}.replication.factor": "1" for topic in single},
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **(settings or {}),
        },
    )


def three_brokers(folder: Path) -> list[Broker]:
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
            },
        )
        for node in (1, 2, 3)
    ]
