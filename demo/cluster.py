"""The whole system on one machine: Kafka brokers, an S3 gateway, agents and loggers, each a process of its own.

::

    pods-1 --> agent-1 --+--> 3 brokers --+--> logger-1 --+--> S3 gateway
    pods-2 --> agent-2 --'    (KRaft)     +--> logger-2 --+
                                          '--> logger-3 --'

For tests, benchmarks and a look by hand (`make cluster`). Everything is ended by its pid.
"""

import os
import signal
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo import gateway, kafka
from demo.stack import ServiceProcess, StackError, free_port, get, wait_until

TOPIC: Final = "logs"
PREFIX: Final = "telemetry"
READY_SECONDS: Final = 90.0
MODULES: Final = {"agent": "fluentd", "logger": "logger"}


def missing_tools() -> str:
    """Why there can be no cluster on this machine; empty if there can."""
    return ", ".join(filter(None, (kafka.missing_tools(), gateway.missing_tools())))


class Cluster:
    """Brokers and gateway, which `start` starts, and services, which are for the caller to start.

    Args:
        folder: Holds everything.
        agents: How many nodes there are; node `n` reads `pods-n`.
        loggers: How many loggers there may be.
        partitions: Of the topic.
        settings: More environment variables of all services.
        broker_settings: More properties of all brokers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        agents: int = 2,
        loggers: int = 3,
        partitions: int = 6,
        settings: Mapping[str, str] | None = None,
        broker_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.agents = [f"agent-{number + 1}" for number in range(agents)]
        self.loggers = [f"logger-{number + 1}" for number in range(loggers)]
        self.ports = {name: free_port() for name in (*self.agents, *self.loggers)}
        self.processes: dict[str, ServiceProcess] = {}
        three = kafka.three_brokers(folder / "kafka", settings=broker_settings)
        self.brokers = {f"broker-{broker.node}": broker for broker in three}
        self.gateway = gateway.Gateway(folder / "s3")
        self.store_port = self.gateway.port
        self.store = self.gateway.bucket / PREFIX
        self._partitions = partitions
        self._settings = dict(settings or {})
        for name in self.agents:
            self.pod_logs(name).mkdir(parents=True)

    def pod_logs(self, agent: str) -> Path:
        """Kubelet's folder of a node."""
        return self.folder / agent.replace("agent", "pods")

    @property
    def queue_url(self) -> str:
        """The queue, made by whoever comes first."""
        servers = ",".join(broker.server for broker in self.brokers.values())
        return f"kafka://{servers}/{TOPIC}?create=1&partitions={self._partitions}"

    def environment(self, name: str) -> dict[str, str]:
        """Environment of a service."""
        listen = f"127.0.0.1:{self.ports[name]}"
        return {
            **os.environ,
            **gateway.environment(self.store_port),
            "QUEUE_URL": self.queue_url,
            "STORE_URL": self.store_url(),
            "AGENT_POD_LOGS": str(self.pod_logs(name)),
            "AGENT_STATE": str(self.folder / f"{name}.state"),
            "AGENT_NODE": name,
            "AGENT_LISTEN": listen,
            "LOGGER_LISTEN": listen,
            "LOGGER_PEER_SECRET": "a secret among loggers",
            "LOGGER_CACHE": str(self.folder / f"{name}.cache"),
            "LOG_FORMAT": "json",
            **self._settings,
        }

    def store_url(self, prefix: str = PREFIX) -> str:
        """A place in the bucket."""
        return f"s3://{gateway.BUCKET}/{prefix}"

    def start_parts(self) -> None:
        """Start brokers and gateway, and wait until they serve."""
        with ThreadPoolExecutor() as threads:
            building = threads.submit(gateway.build)
            list(threads.map(kafka.Broker.format, self.brokers.values()))
            building.result()
        for broker in self.brokers.values():
            broker.start()
        self.gateway.start()
        for broker in self.brokers.values():
            broker.wait()

    def start(self, *names: str, **settings: str) -> None:
        """Start services, with more settings for this run alone."""
        for name in names:
            module = MODULES[name.partition("-")[0]]
            output = self.folder / f"{name}.log"
            self.processes[name] = ServiceProcess(name, ["-m", module], self.environment(name) | settings, output)

    def wait_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Wait until services say that they are able to serve.

        Raises:
            StackError: One is not after `seconds`.
        """
        for name in names:
            try:
                wait_until(partial(self.is_ready, name), seconds=seconds, what=f"{name} ready", every_seconds=0.1)
            except StackError as error:
                raise StackError(f"{error}: {self.readiness(name)!r}\n{self.last_words()}") from error

    def is_ready(self, name: str) -> bool:
        """Whether a service says that it is able to serve.

        Raises:
            StackError: It has ended.
        """
        ended = self.processes[name].poll()
        if ended is not None:
            raise StackError(f"{name} ended by itself with status {ended.status}")
        return get(self.ports[name], "/readyz", seconds=5).status == HTTPStatus.OK

    def readiness(self, name: str) -> bytes:
        """What a service says of its readiness."""
        return get(self.ports[name], "/readyz", seconds=5).body

    def kill(self, name: str) -> None:
        """Kill a broker or service that must be running: one that ended by itself is a fault of its own."""
        if name in self.brokers:
            self.brokers[name].kill()
            return
        ended = self.processes[name].poll()
        if ended is not None:
            raise StackError(f"{name} ended by itself with status {ended.status}\n{self.processes[name].last_words()}")
        self.processes[name].kill()

    def stop(self, *names: str, seconds: float = 60.0) -> None:
        """End services in order, all at the same time; each must end well."""
        for name in names:
            self.processes[name].send(signal.SIGTERM)
        for name in names:
            ended = self.processes[name].wait(seconds)
            if ended.status:
                raise StackError(f"{name} ended with status {ended.status}\n{self.processes[name].last_words()}")

    def running(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that run."""
        return [name for name in names if name in self.processes and self.processes[name].poll() is None]

    def metric(self, name: str, metric: str) -> float:
        """Sum of a metric's samples, over its labels unless they are given; 0 when the service does not show it."""
        text = get(self.ports[name], "/metrics", seconds=10).body.decode()
        samples = (line.rpartition(" ") for line in text.splitlines())
        return sum(float(value) for sample, _, value in samples if metric in (sample, sample.partition("{")[0]))

    def last_words(self) -> str:
        """The ends of what the services have printed."""
        return "\n".join(process.last_words() for process in self.processes.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self.running(list(self.processes)):
            self.processes[name].kill()
        self.gateway.kill()
        for broker in self.brokers.values():
            broker.remove()
