"""The API server goes away and comes back, and pods go on writing. `KUBERNETES_LONG=1`: it is away for a minute."""

import os
import re
from typing import Any

import pytest

from demo.stack import pause

pytestmark = [pytest.mark.slow, pytest.mark.real]

AWAY_SECONDS = 60.0 if os.environ.get("KUBERNETES_LONG") else 3.0


def releases(node: Any, app: str) -> dict[str, str]:
    """Release of each line."""
    return {line["message"]: line["release"] for line in node.lines(app)}


def test_what_was_known_holds_while_the_server_is_away_and_what_is_new_is_known_after(own_node: Any) -> None:
    node, server = own_node, own_node.pods.plane.parts["kube-apiserver"]
    app = node.pods.namespace()
    old = node.pods.deis(app, f"{app}-web-7d9f-x2v4k", version="v1")
    node.pods.log(old).write(b"before")
    node.start(AGENT_LABEL_WAIT_SECONDS="10")
    node.wait_for(app, "before")
    server.kill()
    node.wait_metric("fluentd_kubernetes_errors_total", lambda value: value >= 2)
    node.pods.log(old).write(b"away")
    unknown = type(old)(app, f"{app}-worker-7d9f-bb2cd", "uid-of-nobody", "web")
    node.pods.log(unknown).write(b"whose")
    node.wait_for(app, "before", "away", "whose")
    pause(AWAY_SECONDS)
    assert node.stack.is_ready("agent"), "an agent without an API server does its work"
    node.pods.plane.start("kube-apiserver")
    new = node.pods.deis(app, f"{app}-web-7d9f-cc2cd", version="v2")
    node.pods.log(new).write(b"after")
    node.wait_for(app, "before", "away", "whose", "after")
    assert releases(node, app) == {"before": "v1", "away": "v1", "whose": "", "after": "v2"}
    processes = {line["message"]: line["process"] for line in node.lines(app)}
    assert processes["whose"] == "worker", "its path spoke for it"


def test_an_agent_that_starts_while_the_server_is_away_knows_what_it_knew(own_node: Any) -> None:
    node, server = own_node, own_node.pods.plane.parts["kube-apiserver"]
    app = node.pods.namespace()
    pod = node.pods.deis(app, "web-1", version="v5")
    quiet = node.pods.create(app, "quiet")
    node.pods.log(pod).write(b"before")
    node.pods.log(quiet).write(b"not selected")
    node.start()
    node.wait_for(app, "before")
    node.stack.processes["agent"].stop()
    server.kill()
    node.pods.log(pod).write(b"between")
    node.start_agent()
    node.wait_for(app, "before", "between")
    assert releases(node, app)["between"] == "v5"
    assert node.metric("fluentd_unknown_pods_total") == 0


def test_pods_that_come_change_and_go_during_outages_lose_no_line(own_node: Any) -> None:
    node, server = own_node, own_node.pods.plane.parts["kube-apiserver"]
    app = node.pods.namespace()
    node.start(AGENT_LABEL_WAIT_SECONDS="60")
    written: dict[str, list[str]] = {}

    def write(pod: Any, text: str) -> None:
        node.pods.log(pod).write(text.encode())
        written.setdefault(pod.uid, []).append(text)

    def all_arrived() -> bool:
        expected = sorted(text for texts in written.values() for text in texts)
        return sorted(line["message"] for line in node.lines(app)) == expected

    for turn in range(3):
        deleted = node.pods.deis(app, f"web-{turn}-deleted", version=f"v{turn}")
        write(deleted, f"{turn} deleted, born")
        node.wait_true(all_arrived, "the server was heard")  # nobody knows a pod that came and went unheard
        relabelled = node.pods.deis(app, f"web-{turn}-relabelled", version=f"v{turn}")
        write(relabelled, f"{turn} relabelled, born")
        server.kill()
        for pod in (deleted, relabelled):
            write(pod, f"{turn} {pod.pod}, alone")
        pause(AWAY_SECONDS / 3)
        node.pods.plane.start("kube-apiserver")
        node.pods.plane.compact()
        node.pods.patch(relabelled, labels={"version": f"v{turn}-new"})
        node.pods.delete(deleted)
        for pod in (deleted, relabelled):
            write(pod, f"{turn} {pod.pod}, last")
        node.wait_true(all_arrived, "every line, once")
    for line in node.lines(app):
        turn = line["message"].split()[0]
        assert re.fullmatch(rf"v{turn}(-new)?", line["release"]), line
    assert node.metric("fluentd_unknown_pods_total") == 0
