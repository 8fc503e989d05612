"""Settings of the agent, read once from the environment."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from fluentd.forward.settings import ForwardSettings
from fluentd.pods.selection import LabelSelector, parse_label_names, parse_namespaces
from fluentd.syslog.settings import SyslogSettings
from pipeline.limits import MIB
from pipeline.names import POD_LOGS
from pipeline.settings import Listen


def _checked(parse: Callable[[str], object]) -> AfterValidator:
    """A field that is kept as it was written, if it can be read."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


Selector = Annotated[str, _checked(LabelSelector)]
Namespaces = Annotated[str, _checked(parse_namespaces)]
LabelNames = Annotated[str, _checked(parse_label_names)]


class AgentSettings(ForwardSettings, SyslogSettings):
    """What the agent needs beside what every service needs."""

    pod_logs: Path = Field(
        Path(POD_LOGS),
        validation_alias="AGENT_POD_LOGS",
        description="Folder of container logs: `<namespace>_<pod>_<uid>/<container>/<restart>.log`.",
    )
    state: Path = Field(
        Path("var/agent"),
        validation_alias="AGENT_STATE",
        description="Folder for the checkpoint; one agent at a time.",
    )
    node: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=253,
        validation_alias="AGENT_NODE",
        description="Name of this node; the host's name when not set.",
    )
    listen: Listen = Field(
        "127.0.0.1:8090",
        validation_alias="AGENT_LISTEN",
        description="Address of `/healthz`, `/readyz` and `/metrics`.",
    )
    pod_labels: Path | None = Field(
        None,
        validation_alias="AGENT_POD_LABELS",
        description='JSON file of pod labels, `{"<namespace>/<pod>": {"app": "...", "type": "web", "version": "v3"}}`, '
        "read again when it has changed. What it does not say, and everything when it is not set, comes from the pods' "
        "names: the namespace is the app, `<app>-<process>-...` the process.",
    )
    kubernetes: str = Field(
        "off",
        min_length=1,
        validation_alias="AGENT_KUBERNETES",
        description="How the API server is asked about this node's pods: `in-cluster` (by a service account), the path "
        "of a kubeconfig file, or `off`. What the settings below say about pods and labels needs it.",
    )
    pod_selector: Selector = Field(
        "heritage=deis",
        max_length=4096,
        validation_alias="AGENT_POD_SELECTOR",
        description="Which pods are read: a label selector as kubectl takes it; empty for all. Those of the platform's "
        "namespace are read whatever it says.",
    )
    namespaces: Namespaces = Field(
        "",
        max_length=4096,
        validation_alias="AGENT_NAMESPACES",
        description="Only pods of these namespaces are read, with commas between; empty for all.",
    )
    app_labels: LabelNames = Field(
        "app.kubernetes.io/name",
        max_length=4096,
        validation_alias="AGENT_APP_LABELS",
        description="Labels that name the app of a pod that is not Deis's, the first that it has counts; then its "
        "namespace. Whoever may set them chooses the app: leave it empty where tenants are not trusted.",
    )
    process_labels: LabelNames = Field(
        "app.kubernetes.io/component",
        max_length=4096,
        validation_alias="AGENT_PROCESS_LABELS",
        description="Labels that name its process; then the Deployment, StatefulSet or the like that made it.",
    )
    release_labels: LabelNames = Field(
        "app.kubernetes.io/version",
        max_length=4096,
        validation_alias="AGENT_RELEASE_LABELS",
        description="Labels that name its release.",
    )
    label_wait_seconds: float = Field(
        3.0,
        ge=0.0,
        le=60.0,
        validation_alias="AGENT_LABEL_WAIT_SECONDS",
        description="How long a pod's lines wait until the API server has told of it; then its path speaks for it.",
    )
    link_targets: str = Field(
        "/var/lib/docker/containers",
        validation_alias="AGENT_LINK_TARGETS",
        description="Folders, separated by `:`, into which links below `AGENT_POD_LOGS` may point; others are ignored.",
    )
    platform_namespace: str = Field(
        "deis",
        max_length=63,
        validation_alias="AGENT_PLATFORM_NAMESPACE",
        description="Namespace of the platform. What its pod `deis-controller-...` says about an app, "
        "`LEVEL [app]: text`, goes to that app's log; empty where there is no such controller.",
    )
    rules: Path | None = Field(
        None,
        validation_alias="AGENT_RULES",
        description="File of rules, JSON or TOML (`.toml`), that hide secrets and drop, sample and limit lines (see "
        "docs/rules.md); read again when it has changed. Without it, pods' annotations alone say so.",
    )
    inflight_bytes: int = Field(
        8 * MIB,
        ge=2 * MIB,
        le=1024 * MIB,
        validation_alias="AGENT_INFLIGHT_BYTES",
        description="Most bytes read and not yet acknowledged by the queue; when used up, reading stops.",
    )
    rescan_seconds: float = Field(
        2.0,
        ge=0.1,
        le=60.0,
        validation_alias="AGENT_RESCAN_SECONDS",
        description="How often every folder and file is looked at, whatever inotify said.",
    )
    close_seconds: float = Field(
        5.0,
        ge=0.5,
        le=600.0,
        validation_alias="AGENT_CLOSE_SECONDS",
        description="How long a file that was rotated away or deleted is still watched for late lines.",
    )
    checkpoint_seconds: float = Field(
        0.5,
        ge=0.05,
        le=60.0,
        validation_alias="AGENT_CHECKPOINT_SECONDS",
        description="Least time between two writes of the checkpoint.",
    )
    backlog: Annotated[str, StringConstraints(pattern="^(fair|newest)$")] = Field(
        "fair",
        validation_alias="AGENT_BACKLOG",
        description="What is read first of all that lies there at a start: `fair`: of each container a piece by turns; "
        "`newest`: containers that wrote last, while the others get one turn in eight. Within a container the order is "
        "that of writing.",
    )
    heartbeat_seconds: float = Field(
        2.0,
        ge=0.1,
        le=60.0,
        validation_alias="AGENT_HEARTBEAT_SECONDS",
        description="How often the agent says up to when everything is sent.",
    )
    zstd_level: int = Field(
        1,
        ge=-7,
        le=19,
        validation_alias="AGENT_ZSTD_LEVEL",
        description="Compression level of packs.",
    )
    drain_seconds: float = Field(
        5.0,
        ge=0.0,
        le=600.0,
        validation_alias="AGENT_DRAIN_SECONDS",
        description="At a stop, how long the agent tries to send what it has read; the rest is read again later.",
    )
