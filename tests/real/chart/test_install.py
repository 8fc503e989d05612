"""The chart at a real API server: what is made of it, what its service accounts may do, and that nothing stays."""

import http.client
import json
import ssl
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from demo.containers import Container, ContainerLog
from demo.controlplane import ControlPlane
from demo.stack import Stack, StackError, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.real]

CHART = Path(__file__).parents[3] / "charts" / "deis-telemetry"
SECONDS = 90.0
NODES = {"node-1", "node-2", "node-3"}
RELEASE = "app.kubernetes.io/instance=telemetry"
EVERYTHING = (
    "daemonsets,statefulsets,deployments,replicasets,pods,services,endpointslices,serviceaccounts,"
    "networkpolicies,poddisruptionbudgets,controllerrevisions,secrets,configmaps"
)


def helm(plane: ControlPlane, action: str, namespace: str, form: str, *settings: str) -> str:
    """`helm install` or `upgrade`, waiting until all pods are ready."""
    more = [part for setting in settings for part in ("--set", setting)]
    values = str(CHART / "ci" / f"{form}.yaml")
    return plane.helm(action, "telemetry", str(CHART), "-n", namespace, "-f", values, "--wait", "--timeout=90s", *more)


def pods_of(plane: ControlPlane, namespace: str, component: str) -> list[tuple[str, str, str]]:
    """Node, image and name of the pods of a component that run."""
    found = json.loads(
        plane.kubectl(
            *("-n", namespace, "get", "pods", "-l", f"{RELEASE},app.kubernetes.io/component={component}", "-o", "json")
        )
    )
    return sorted(
        (pod["spec"]["nodeName"], pod["spec"]["containers"][0]["image"], pod["metadata"]["name"])
        for pod in found["items"]
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    )


def left(plane: ControlPlane, namespace: str) -> list[str]:
    """What there is of the release, in the namespace and outside of any."""
    inside = plane.kubectl("-n", namespace, "get", EVERYTHING, "-l", RELEASE, "-o", "name").split()
    outside = plane.kubectl("get", "clusterroles,clusterrolebindings", "-l", RELEASE, "-o", "name").split()
    return inside + [name for name in outside if namespace in name]


def request(plane: ControlPlane, token: str, method: str, path: str) -> int:
    """Ask the API server with a token; the status of its answer."""
    context = ssl.create_default_context(cafile=str(plane.authority))
    address = plane.url.removeprefix("https://")
    with closing(http.client.HTTPSConnection(address, context=context, timeout=60)) as connection:
        body = "{}" if method == "POST" else None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        return connection.getresponse().status


def test_the_kafka_form_is_installed_upgraded_and_removed(control_plane: ControlPlane, namespace: str) -> None:
    plane = control_plane
    told = helm(
        plane, "install", namespace, "kafka", "loggers.replicas=2", "audit.enabled=true", "audit.tokenSecret.name=t"
    )
    assert "app=deis-controller" in told
    agents = pods_of(plane, namespace, "agent")
    assert {node for node, _, _ in agents} == NODES
    assert len(agents) == len(NODES)
    assert len(pods_of(plane, namespace, "logger")) == 2
    assert len(pods_of(plane, namespace, "monitor")) == 2
    assert len(pods_of(plane, namespace, "audit")) == 1

    def addresses(service: str) -> set[str]:
        paths = "{.items[*].endpoints[*].addresses[0]}"
        chosen = f"kubernetes.io/service-name={service}"
        return set(
            plane.kubectl("-n", namespace, "get", "endpointslices", "-l", chosen, "-o", f"jsonpath={paths}").split()
        )

    loggers = set(
        plane.kubectl(
            *("-n", namespace, "get", "pods", "-l", f"{RELEASE},app.kubernetes.io/component=logger"),
            *("-o", "jsonpath={.items[*].status.podIP}"),
        ).split()
    )
    for service in ("deis-logger", "telemetry-deis-telemetry-logger", "telemetry-deis-telemetry-logger-peers"):
        wait_until(lambda service=service: addresses(service) == loggers, seconds=SECONDS, what=service)

    told = helm(
        plane,
        "upgrade",
        namespace,
        "kafka",
        *("image.tag=9.9.9", "loggers.replicas=3", "agent.nodeSelector.kubernetes\\.io/hostname=node-2"),
        "networkPolicy.enabled=false",
    )
    assert "EVERY POD of this cluster can read and delete all lines" in told
    wait_until(
        lambda: (
            [(node, image) for node, image, _ in pods_of(plane, namespace, "agent")]
            == [("node-2", "deis-telemetry-agent:9.9.9")]
        ),
        seconds=SECONDS,
        what="the new agent alone",
        every_seconds=0.5,
    )
    assert {image for _, image, _ in pods_of(plane, namespace, "logger")} == {"deis-telemetry-logger:9.9.9"}
    assert len(pods_of(plane, namespace, "logger")) == 3
    wait_until(lambda: not pods_of(plane, namespace, "audit"), seconds=SECONDS, what="no audit", every_seconds=0.5)

    plane.helm("uninstall", "telemetry", "-n", namespace, "--wait", "--timeout=90s")
    wait_until(lambda: not left(plane, namespace), seconds=SECONDS, what="nothing left", every_seconds=0.5)


def test_the_agents_account_reads_pods_and_nothing_else_and_the_other_one_nothing(
    control_plane: ControlPlane, namespace: str
) -> None:
    plane = control_plane
    helm(plane, "install", namespace, "kafka")
    try:
        accounts = {
            name: plane.kubectl("-n", namespace, "create", "token", f"telemetry-deis-telemetry{suffix}").strip()
            for name, suffix in (("agent", "-agent"), ("other", ""))
        }
        core = f"/api/v1/namespaces/{namespace}"
        allowed = {
            ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1"),
            ("GET", "/api/v1/pods?watch=1&timeoutSeconds=1"),
            ("GET", f"{core}/pods"),
        }
        refused = {
            ("POST", f"{core}/pods"),
            ("DELETE", f"{core}/pods"),
            ("GET", f"{core}/pods/x/log"),
            ("POST", f"{core}/pods/x/exec"),
            ("GET", f"{core}/secrets"),
            ("GET", f"{core}/configmaps"),
            ("GET", "/api/v1/nodes"),
            ("GET", "/api/v1/namespaces"),
            ("GET", f"/apis/apps/v1/namespaces/{namespace}/daemonsets"),
            ("POST", f"{core}/serviceaccounts/default/token"),
        }
        answers = {asked: request(plane, accounts["agent"], *asked) for asked in allowed | refused}
        assert {asked for asked, status in answers.items() if status == 200} == allowed
        assert {answers[asked] for asked in refused} == {403}
        assert {request(plane, accounts["other"], *asked) for asked in allowed | refused} == {403}
    finally:
        plane.helm("uninstall", "telemetry", "-n", namespace, "--wait")


def test_an_agent_with_that_account_names_the_lines_of_a_pod(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    plane = control_plane
    helm(plane, "install", namespace, "kafka")
    try:
        token = plane.kubectl("-n", namespace, "create", "token", "telemetry-deis-telemetry-agent").strip()
        pod = {
            "metadata": {"name": "web-1", "labels": {"heritage": "deis", "type": "web", "version": "v7"}},
            "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "none"}]},
        }
        made = {"apiVersion": "v1", "kind": "Pod", **pod}
        uid = plane.kubectl(
            *("-n", namespace, "create", "-f", "-", "-o", "jsonpath={.metadata.uid}"), given=json.dumps(made)
        )
        kubeconfig = plane.kubeconfig_of(f"agent-{uuid4().hex[:8]}", secret=token)
        settings = {"AGENT_KUBERNETES": str(kubeconfig), "AGENT_NODE": "node-1", "LOGGER_FLUSH_SECONDS": "1"}
        with Stack(tmp_path, settings=settings) as stack:
            stack.start("agent")
            stack.start("logger")
            stack.wait_ready("agent", "logger", seconds=SECONDS)
            with closing(ContainerLog(stack.pod_logs, Container(namespace, "web-1", uid, "web"))) as log:
                log.write(b"hello")
                path = f"/v1/apps/{namespace}/logs"
                wait_until(lambda: bool(stack.get("logger", path).body), seconds=SECONDS, what=stack.last_words())
            line = json.loads(stack.get("logger", path).body)
            assert (line["message"], line["process"], line["release"], line["node"]) == ("hello", "web", "v7", "node-1")
    finally:
        plane.helm("uninstall", "telemetry", "-n", namespace, "--wait")


def test_the_embedded_form_needs_one_node_by_name_where_there_are_several(
    control_plane: ControlPlane, namespace: str
) -> None:
    plane = control_plane
    with pytest.raises(StackError, match=r"this cluster has 3: use form kafka, or name the node in embedded\.node"):
        helm(plane, "install", namespace, "embedded")
    assert left(plane, namespace) == []
    helm(plane, "install", namespace, "embedded", "embedded.node=node-2")
    try:
        assert [node for node, _, _ in pods_of(plane, namespace, "all")] == ["node-2"]
    finally:
        plane.helm("uninstall", "telemetry", "-n", namespace, "--wait")
    wait_until(lambda: not left(plane, namespace), seconds=SECONDS, what="nothing left", every_seconds=0.5)
