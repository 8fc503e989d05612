"""A node whose pods a real API server knows, with an agent and a logger."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from real_kubernetes import Pods, opened

from demo.controlplane import ControlPlane
from demo.stack import Stack, StackError, wait_until

SECONDS = 60.0


@dataclass
class Node:
    """One node: pods, and the services of one machine."""

    pods: Pods
    stack: Stack

    def start_agent(self, **settings: str) -> None:
        """Start the agent and wait until it reads."""
        self.stack.start("agent", **settings)
        self.stack.wait_ready("agent", seconds=SECONDS)

    def start(self, **settings: str) -> None:
        """Start agent and logger."""
        self.stack.start("logger")
        self.start_agent(**settings)
        self.stack.wait_ready("logger", seconds=SECONDS)

    def lines(self, app: str) -> list[dict[str, Any]]:
        """The lines that the logger has of an app, oldest first."""
        answer = self.stack.get("logger", f"/v1/apps/{app}/logs?limit=10000&format=ndjson")
        return [json.loads(line) for line in answer.body.splitlines()] if answer.status == 200 else []

    def wait_for(self, app: str, *messages: str) -> list[dict[str, Any]]:
        """Wait until the logger has exactly these lines of an app, in the order of their times; the lines."""
        self.wait_true(lambda: [line["message"] for line in self.lines(app)] == list(messages), f"lines of {app}")
        return self.lines(app)

    def wait_true(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; shows the last words of the services if it does not come."""
        try:
            wait_until(condition, seconds=SECONDS, what=what, every_seconds=0.1)
        except StackError as error:
            raise StackError(f"{error}\n{self.stack.last_words()}") from error

    def metric(self, name: str) -> float:
        """Of the agent."""
        return self.stack.metric("agent", name)

    def wait_metric(self, name: str, condition: Callable[[float], bool]) -> None:
        """Wait for a metric of the agent."""
        self.wait_true(lambda: condition(self.metric(name)), name)


def _node(plane: ControlPlane, folder: Path) -> Iterator[Node]:
    with opened(plane, folder / "pods") as pods:
        settings = {
            "AGENT_KUBERNETES": str(plane.kubeconfig),
            "AGENT_NODE": pods.node,
            "AGENT_LABEL_WAIT_SECONDS": "30",
            "LOGGER_FLUSH_SECONDS": "1",
        }
        with Stack(folder, pod_logs=folder / "pods", settings=settings) as stack:
            yield Node(pods, stack)


@pytest.fixture
def node(api_server: ControlPlane, tmp_path: Path) -> Iterator[Node]:
    """A node of the shared API server."""
    yield from _node(api_server, tmp_path)


@pytest.fixture
def own_node(own_api_server: ControlPlane, tmp_path: Path) -> Iterator[Node]:
    """A node of an API server that the test may harm."""
    yield from _node(own_api_server, tmp_path / "node")
