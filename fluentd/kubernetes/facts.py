"""A pod as it comes over the wire: of its metadata, its specification and its status what is asked of it here.

Source: Kubernetes API reference, core/v1: Pod, PodSpec, PodStatus. Fields that are not there take their defaults.
"""

from typing import Final

import msgspec

MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of a static pod's image at the API server: the uid that its folder of logs is named by."""


class Owner(msgspec.Struct, frozen=True):
    """Who made the pod."""

    kind: str = ""
    name: str = ""
    controller: bool = False


class PodMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Metadata of a pod."""

    name: str
    namespace: str
    uid: str
    resource_version: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[Owner, ...] = ()

    @property
    def owner(self) -> Owner | None:
        """The one that has charge of it."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class Port(msgspec.Struct, frozen=True, rename="camel"):
    """A port that a container says it listens on."""

    container_port: int = 0
    protocol: str = "TCP"


class ContainerSpec(msgspec.Struct, frozen=True):
    """What is wanted of a container."""

    ports: tuple[Port, ...] | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What is wanted of a pod."""

    host_network: bool = False
    containers: tuple[ContainerSpec, ...] | None = None
    init_containers: tuple[ContainerSpec, ...] | None = None


class PodAddress(msgspec.Struct, frozen=True):
    """One of its addresses."""

    ip: str = ""


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """Something that is so, or not, since a time."""

    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class Ran(msgspec.Struct, frozen=True, rename="camel"):
    """A container that runs, or ran."""

    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(msgspec.Struct, frozen=True):
    """What a container does."""

    running: Ran | None = None
    terminated: Ran | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What a container does now, and did before it was started again."""

    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What a pod does."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodAddress, ...] | None = msgspec.field(default=None, name="podIPs")
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(msgspec.Struct, frozen=True):
    """One item of a list."""

    metadata: PodMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Of a list.

    Attributes:
        resource_version: What the list shows; a watch goes on from here.
        continue_: For the next page; empty on the last.
    """

    resource_version: str
    continue_: str = msgspec.field(default="", name="continue")


class PodList(msgspec.Struct, frozen=True):
    """One page of a list. Its pods are not read before they are looked at: a thousand at once take 10 MB."""

    metadata: ListMeta
    items: tuple[msgspec.Raw, ...] | None = None


class Event(msgspec.Struct, frozen=True):
    """One line of a watch: `ADDED`, `MODIFIED`, `DELETED` with a pod, `BOOKMARK` or `ERROR` with something else."""

    type: str
    object: msgspec.Raw


class Mark(msgspec.Struct, frozen=True):
    """Of a bookmark, only the version counts."""

    metadata: ListMeta
