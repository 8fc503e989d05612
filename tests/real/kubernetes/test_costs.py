"""What it costs to know pods: memory with a thousand of them, and how long a new pod's first line is on its way."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from demo.follower import Follower

pytestmark = [pytest.mark.slow, pytest.mark.real]

PODS = 1000
MEMORY_BYTES = 100 * 1000 * 1000
LATE_SECONDS = 30.0
"""A bound for a machine with much else to do; alone it is 0.1 s. Nothing but waiting for labels would take longer."""


def test_a_thousand_files_and_a_watch_fit_into_memory(node: Any) -> None:
    app = node.pods.namespace()
    noise = {f"example.org/{number}": "x" * 200 for number in range(20)}
    make = partial(node.pods.deis, app, annotations=noise)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(make, [f"{app}-web-{number}" for number in range(PODS)]))
    for pod in made:
        node.pods.log(pod).write(b"hello from " + pod.pod.encode())
    node.start_agent()
    node.wait_metric("fluentd_read_bytes_total", lambda value: value > PODS * 50)
    node.wait_metric('fluentd_pods{state="collected"}', lambda value: value == PODS)
    node.wait_metric("fluentd_open_files", lambda value: value == PODS)
    resident = node.stack.processes["agent"].rss_bytes()
    print(f"resident with {PODS} pods: {resident / 1e6:.1f} MB")  # noqa: T201 - a figure to quote
    assert resident < MEMORY_BYTES


def test_the_first_line_of_a_new_pod_does_not_wait_for_more_than_the_server(node: Any) -> None:
    app = node.pods.namespace()
    node.start(AGENT_LABEL_WAIT_SECONDS=str(2 * LATE_SECONDS))
    arrived: dict[str, int] = {}
    seconds = []
    with Follower(node.stack.ports["logger"], app, lambda line, at: arrived.setdefault(line["message"], at)):
        for number in range(20):
            pod = node.pods.deis(app, f"{app}-web-{number}")
            began = time.time_ns()
            node.pods.log(pod).write(b"first %d" % number)
            node.wait_true(lambda number=number: f"first {number}" in arrived, "the first line")
            seconds.append((arrived[f"first {number}"] - began) / 1e9)
    print(f"first lines: {sorted(seconds)}")  # noqa: T201 - a figure to quote
    assert max(seconds) < LATE_SECONDS
    assert node.metric("fluentd_unknown_pods_total") == 0
