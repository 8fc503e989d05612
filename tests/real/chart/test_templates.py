"""What helm makes of the chart: settings that the services take, pods that may do little, refusals that help."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import SecretStr

from fluentd.audit.settings import AuditSettings
from fluentd.rules.rulesfile import read_rules
from fluentd.settings import AgentSettings
from logger.aggregator import STOP_SECONDS
from logger.settings import LoggerSettings
from monitor.hpa.paths import VERSIONS
from monitor.settings import MonitorSettings
from pipeline.queue.kafka.login import QueueSecrets
from pipeline.settings import CommonSettings

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.slow, pytest.mark.real]

CHART = Path(__file__).parents[3] / "charts" / "deis-telemetry"
FORMS = ("kafka", "embedded", "everything")
KINDS: dict[str, type[CommonSettings]] = {
    "agent": AgentSettings,
    "logger": LoggerSettings,
    "monitor": MonitorSettings,
    "audit": AuditSettings,
}
FOREIGN = {"POD_NAME", "POD_NAMESPACE"}
AWS = {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

Object = dict[str, Any]
Render = Callable[..., list[Object]]
Helm = Callable[..., "subprocess.CompletedProcess[str]"]


def pods(objects: list[Object]) -> dict[str, Object]:
    """Specifications of the pods, by the name of what makes them."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]["spec"]
        for found in objects
        if "template" in found.get("spec", {})
    }


def containers(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    for pod in pods(objects).values():
        for container in pod["containers"]:
            yield pod, container


def named(objects: list[Object], kind: str, name: str = "") -> Object:
    return next(found for found in objects if found["kind"] == kind and found["metadata"]["name"].endswith(name))


def environment(container: Object) -> dict[str, str]:
    """Its variables; those that come from elsewhere with a value that would be good."""
    return {
        variable["name"]: str(variable.get("value", "from-elsewhere"))
        .replace("$(POD_NAME)", "a")
        .replace("$(POD_NAMESPACE)", "b")
        for variable in container["env"]
    }


@pytest.mark.parametrize("form", FORMS)
def test_the_chart_has_no_faults_that_helm_knows_of(form: str, helm: Helm) -> None:
    done = helm("lint", str(CHART), "--strict", "-f", str(CHART / "ci" / f"{form}.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("form", FORMS)
def test_every_service_takes_its_settings_and_knows_each_of_them(
    form: str, render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = set()
    for _, container in containers(render(form, "audit.enabled=true", "audit.tokenSecret.name=t")):
        kind, variables = KINDS[container["name"]], environment(container)
        services.add(container["name"])
        known = {
            field.validation_alias for settings in (kind, QueueSecrets) for field in settings.model_fields.values()
        }
        assert variables.keys() - known - FOREIGN <= (AWS if container["name"] in {"logger", "monitor"} else set())
        assert len(container["env"]) == len(variables), "no variable twice"
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            settings = kind.load()
        for name, value in variables.items():
            field = next((key for key, one in kind.model_fields.items() if one.validation_alias == name), None)
            told = getattr(settings, field) if field is not None else value
            told = told.get_secret_value() if isinstance(told, SecretStr) else told
            assert str(told).lower() == value.lower() or float(told) == float(value)
    assert services == KINDS.keys()


@pytest.mark.parametrize("form", FORMS)
def test_no_container_may_do_more_than_it_needs(form: str, render: Render) -> None:
    objects = render(form, "audit.enabled=true", "audit.tokenSecret.name=t")
    for pod, container in containers(objects):
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]} if "volumeMounts" in container else {}
        on_node = {volume["name"]: volume["hostPath"] for volume in pod.get("volumes", []) if "hostPath" in volume}
        written = {name for name in on_node.keys() & mounts.keys() if not mounts[name].get("readOnly")}
        assert written <= {"state", "data"}
        told = {"MONITOR_HPA_LISTEN", "MONITOR_CANARY", "MONITOR_ASK_NODES"} & environment(container).keys()
        speaks = container["name"] == "agent" or bool(told)
        assert ("api-token" in mounts) is speaks
        if container["name"] != "agent" and "pod-logs" not in on_node:
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert not on_node
        assert {"requests", "limits"} <= container["resources"].keys()
        assert "cpu" not in container["resources"]["limits"], "held back, it would fall behind"
        assert {mount["name"] for mount in mounts.values()} <= {volume["name"] for volume in pod.get("volumes", [])}


@pytest.mark.parametrize("form", FORMS)
def test_a_pod_has_time_to_stop(form: str, render: Render) -> None:
    for pod, container in containers(render(form)):
        grace = pod.get("terminationGracePeriodSeconds", 30)
        if container["name"] == "agent":
            assert grace >= math.ceil(float(environment(container)["AGENT_DRAIN_SECONDS"])) + 20
        if container["name"] == "logger":
            assert grace >= STOP_SECONDS + 10


@pytest.mark.parametrize("form", FORMS)
def test_every_port_probe_and_service_leads_to_a_container(form: str, render: Render) -> None:
    objects = render(form, "audit.enabled=true", "audit.tokenSecret.name=t")
    by_labels = [
        (found["spec"]["template"]["metadata"]["labels"], found["spec"]["template"]["spec"])
        for found in objects
        if "template" in found.get("spec", {})
    ]
    for _, container in containers(objects):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        listens = {
            value.rpartition(":")[2] for name, value in environment(container).items() if name.endswith("LISTEN")
        }
        assert {str(port) for port in ports.values()} == listens
    for service in (found for found in objects if found["kind"] == "Service"):
        chosen = [spec for labels, spec in by_labels if service["spec"]["selector"].items() <= labels.items()]
        assert len(chosen) == 1, service
        names = {port["name"] for container in chosen[0]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


@pytest.mark.parametrize("form", ["kafka", "embedded"])
def test_deis_finds_the_logger_by_its_old_name_and_port(form: str, render: Render) -> None:
    service = named(render(form), "Service", "deis-logger")
    assert service["metadata"]["name"] == "deis-logger"
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "deis"}]
    logger = next(container for _, container in containers(render(form)) if container["name"] == "logger")
    assert environment(logger)["LOGGER_DEIS_LISTEN"] == ":8088"
    allowed = named(render(form), "NetworkPolicy")["spec"]["ingress"]
    assert allowed[0]["from"] == [{"podSelector": {"matchLabels": {"app": "deis-controller"}}}]
    assert [port["port"] for port in allowed[0]["ports"]] == ["deis"]
    assert all("deis" not in [port["port"] for port in rule["ports"]] for rule in allowed[1:])


def test_agents_are_on_every_node_and_loggers_apart(render: Render) -> None:
    objects = render("kafka")
    agents = named(objects, "DaemonSet", "-agent")
    assert agents["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert "nodeSelector" not in agents["spec"]["template"]["spec"]
    assert agents["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] == 0
    loggers = named(objects, "StatefulSet", "-logger")
    assert loggers["spec"]["replicas"] == 3
    assert "podAntiAffinity" in loggers["spec"]["template"]["spec"]["affinity"]
    assert named(objects, "PodDisruptionBudget", "-logger")["spec"]["maxUnavailable"] == 1
    alone = render("kafka", "loggers.replicas=1", "monitor.replicas=1")
    assert not [found for found in alone if found["kind"] == "PodDisruptionBudget"]


def test_monitors_share_the_store_with_the_loggers_and_reach_each_other_by_name(render: Render, tmp_path: Path) -> None:
    objects = render("everything", "monitor.rules.sources[0].format=deis-router")
    monitors = named(objects, "StatefulSet", "-monitor")
    assert monitors["spec"]["replicas"] == 2
    assert "podAntiAffinity" in monitors["spec"]["template"]["spec"]["affinity"]
    peers = named(objects, "Service", monitors["spec"]["serviceName"])
    assert peers["spec"]["clusterIP"] == "None"
    (container,) = monitors["spec"]["template"]["spec"]["containers"]
    variables = environment(container)
    assert variables["MONITOR_URL"] == f"http://{variables['MONITOR_INSTANCE']}.{peers['metadata']['name']}.b.svc:8089"
    logger = next(one for _, one in containers(objects) if one["name"] == "logger")
    assert variables["STORE_URL"] == environment(logger)["STORE_URL"]
    (tmp_path / "rules.yaml").write_text(named(objects, "ConfigMap", "-metric-rules")["data"]["rules.yaml"])
    assert yaml.safe_load((tmp_path / "rules.yaml").read_text()) == {"sources": [{"format": "deis-router"}]}


def test_the_embedded_form_is_one_pod(render: Render) -> None:
    objects = render("embedded", "embedded.node=node-7")
    assert list(pods(objects)) == ["deis-deis-telemetry"]
    (pod,) = pods(objects).values()
    assert [container["name"] for container in pod["containers"]] == ["agent", "logger", "monitor"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "node-7"}
    assert len({environment(container)["QUEUE_URL"] for container in pod["containers"]}) == 1


@pytest.mark.parametrize(
    ("namespace", "app", "selected"), [("deis", "deis-telemetry-audit", False), ("logs", "logs", True)]
)
def test_the_audit_knows_under_which_app_its_lines_are_read(
    namespace: str, app: str, selected: bool, render: Render
) -> None:
    objects = render("kafka", "audit.enabled=true", "audit.tokenSecret.name=t", namespace=namespace)
    template = named(objects, "Deployment", "-audit")["spec"]["template"]
    assert environment(template["spec"]["containers"][0])["AUDIT_APP"] == app
    assert (template["metadata"]["labels"].get("heritage") == "deis") is selected
    assert template["metadata"]["labels"]["app"] == "deis-telemetry-audit"


def test_folders_that_links_lead_into_are_mounted_where_the_agent_looks(render: Render) -> None:
    agent = next(container for _, container in containers(render("everything")) if container["name"] == "agent")
    targets = environment(agent)["AGENT_LINK_TARGETS"].split(":")
    assert targets == ["/var/lib/docker/containers", "/data/docker/containers"]
    assert set(targets) <= {mount["mountPath"] for mount in agent["volumeMounts"]}


def test_the_rules_reach_the_agent_as_they_were_written(render: Render, tmp_path: Path) -> None:
    objects = render("everything")
    text = named(objects, "ConfigMap", "-rules")["data"]["rules.json"]
    written = yaml.safe_load((CHART / "ci" / "everything.yaml").read_text())["agent"]["rules"]
    assert json.loads(text) == written
    (tmp_path / "rules.json").write_text(text)
    assert read_rules(tmp_path / "rules.json").kinds() == ["employee"]
    agent = next(container for _, container in containers(objects) if container["name"] == "agent")
    mounts = {mount["name"]: mount["mountPath"] for mount in agent["volumeMounts"]}
    assert environment(agent)["AGENT_RULES"] == f"{mounts['rules']}/rules.json"
    assert mounts["secret-0"] == "/etc/deis-telemetry/secrets/forward-tls"
    assert not [found for found in render("kafka") if found["kind"] == "ConfigMap"]


HPA = ("monitor.hpa.enabled=true", "monitor.hpa.certificateSecret=tls", "monitor.hpa.caBundle=eA==")


@pytest.mark.parametrize("form", ["kafka", "embedded"])
def test_the_api_server_passes_the_metrics_apis_on_to_the_monitor(form: str, render: Render) -> None:
    objects = render(form, *HPA)
    services = [found["spec"] for found in objects if found["kind"] == "APIService"]
    served = {(spec["group"], spec["version"]) for spec in services}
    assert served == {(group, version) for group, versions in VERSIONS.items() for version in versions}
    service = named(objects, "Service", "-hpa")
    assert {spec["service"]["name"] for spec in services} == {service["metadata"]["name"]}
    assert {spec["service"]["port"] for spec in services} == {service["spec"]["ports"][0]["port"]}
    monitor = next(pod for pod, container in containers(objects) if container["name"] == "monitor")
    for binding in ("-hpa-reviews", "-hpa"):
        (subject,) = named(objects, "ClusterRoleBinding", binding)["subjects"]
        assert subject["name"] == monitor["serviceAccountName"]
    rules = named(objects, "ClusterRole", "-hpa")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}
    assert "*" not in {resource for rule in rules for resource in rule["resources"]}
    assert not [found for found in render(form) if found["kind"] == "APIService"]


REFUSED = {
    "metrics APIs without a certificate": (["monitor.hpa.enabled=true"], "/monitor/hpa/certificateSecret"),
    "another adapter without TLS": (["monitor.hpa.fallback.url=http://adapter"], "/monitor/hpa/fallback/url"),
    "no queue": (["form=kafka"], "/queue/url"),
    "no tokens": (["loggers.tokensSecret.name="], "/loggers/tokensSecret/name"),
    "no secret among loggers": (["loggers.peerSecret.name="], "/loggers/peerSecret/name"),
    "unknown value": (["agents.x=1"], "additional properties 'agents' not allowed"),
    "unknown value inside": (["agent.tolerate=1"], "additional properties 'tolerate' not allowed"),
    "wrong kind": (["loggers.replicas=many"], "/loggers/replicas"),
    "password in the URL": (["queue.url=kafka://me:secret@kafka:9092/logs"], "/queue/url"),
    "a queue that is no Kafka": (["queue.url=sqlite:////var/queue.db"], "/queue/url"),
    "a table that is no bucket": (["store.url=/var/store"], "/store/url"),
    "a variable that is no setting": (["agent.env.PYTHONPATH=/x"], "'PYTHONPATH' does not match pattern"),
    "another form": (["form=sqlite"], "/form"),
    "audit without a token": (["audit.enabled=true"], "/audit/tokenSecret/name"),
    "rules of no such kind": (["agent.rules.hide=x"], "additional properties 'hide' not allowed"),
    "too long a drain": (["agent.drainSeconds=601"], "/agent/drainSeconds"),
    "everybody may call the contract": (["loggers.deis.clientLabels=null"], "missing property 'clientLabels'"),
    "no label at all may call it": (["loggers.deis.clientLabels.app=null"], "/loggers/deis/clientLabels"),
    "a default taken away": (["agent.runAsUser=null"], "missing property 'runAsUser'"),
    "several embedded loggers": (["form=embedded", "queue.url=", "store.url=", "loggers.replicas=2"], "one logger"),
    "embedded with Kafka": (["form=embedded"], "leave queue.url and store.url out"),
}


@pytest.mark.parametrize(("settings", "words"), REFUSED.values(), ids=list(REFUSED))
def test_values_that_cannot_work_are_refused_by_name(settings: list[str], words: str, helm: Helm) -> None:
    more = [part for setting in settings for part in ("--set", setting)]
    values = [] if settings == ["form=kafka"] else ["-f", str(CHART / "ci" / "kafka.yaml")]
    done = helm("template", "deis", str(CHART), *values, *more)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("judged", [True, False], ids=["judged", "not judged"])
def test_the_monitor_may_change_deployments_only_where_it_judges_canaries(render: Render, judged: bool) -> None:
    objects = render("kafka", f"monitor.canary.enabled={str(judged).lower()}")
    rules = [rule for found in objects if found["kind"] == "ClusterRole" for rule in found["rules"]]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert (("deployments", "update") in allowed) == judged
    assert (("canaries/status", "update") in allowed) == judged
    assert ("secrets", "get") not in allowed


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "does not ask"])
def test_the_monitor_may_see_nodes_where_it_asks_about_silent_ones(render: Render, asks: bool) -> None:
    objects = render("kafka", f"monitor.goneNodes={str(asks).lower()}")
    rules = [rule for found in objects if found["kind"] == "ClusterRole" for rule in found["rules"]]
    assert ({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]} in rules) == asks
    monitors = [container for _, container in containers(objects) if container["name"] == "monitor"]
    assert [environment(one).get("MONITOR_ASK_NODES") for one in monitors] == ["true" if asks else None]
    assert [any(mount["name"] == "api-token" for mount in one["volumeMounts"]) for one in monitors] == [asks]
