"""Settings of the agent, read once from the environment."""

import socket
from pathlib import Path

from pydantic import Field

from fluentd.forward.settings import ForwardSettings
from fluentd.syslog.settings import SyslogSettings
from pipeline.limits import MIB
from pipeline.names import POD_LOGS
from pipeline.settings import Listen


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
