"""A pod as it comes over the wire: its metadata and nothing else, which is a tenth of it.

Source: Kubernetes API concepts, "Metadata-only fetches": PartialObjectMetadata, asked for by the Accept header.
"""

from typing import Final

import msgspec

LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""Accept header for a list. A server that does not know metadata-only answers sends whole pods, which read the same."""

EVENTS: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""Accept header for a watch."""

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


class Pod(msgspec.Struct, frozen=True):
    """One item of a list."""

    metadata: PodMeta


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


class Status(msgspec.Struct, frozen=True):
    """What an error says."""

    code: int = 0
    reason: str = ""
    message: str = ""
