"""Routers whose access lines are read: which pods are routers is said by their place, never by what a line looks like.

A line of an app that looks like a router's is that app's own line, so that nobody can speak for another app.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple, cast

import msgspec
import numpy as np

from monitor.metric import UNKNOWN, LabelSet, Samples
from monitor.rules import envoy, ingress, router, traefik
from monitor.rules.access import access_samples
from monitor.rules.misses import NOT_A_NUMBER, UNMATCHED, Misses
from monitor.rules.places import Names, Where, rows_of
from monitor.rules.requests import Format, name_of, read_access
from pipeline.lines.batch import Batch, ChunkFacts

FormatName = Literal["deis-router", "ingress-nginx", "traefik", "envoy"]


class Source(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pods that write access lines of requests to others.

    Attributes:
        format: Of their lines.
        namespaces: Where they run; must be said, since anybody may call an app or a container as he likes.
        endpoints: Whether they pass requests to pods, and not to the address of a Service.
    """

    format: FormatName
    namespaces: Annotated[Names, msgspec.Meta(min_length=1)]
    endpoints: bool = True


DEFAULT_SOURCES: Final = (
    # It passes requests to the cluster address of the app's Service: no line of it tells the pod.
    Source(format="deis-router", namespaces=("deis",), containers=("deis-router",), endpoints=False),
    Source(
        format="ingress-nginx", namespaces=("ingress-nginx",), containers=("controller", "nginx-ingress-controller")
    ),
    Source(format="traefik", namespaces=("traefik", "kube-system"), containers=("traefik",)),
    Source(format="envoy", namespaces=("envoy-gateway-system",), containers=("envoy",)),
)

LABELS: Final[Mapping[str, str]] = {
    "deis-router": "router",
    "ingress-nginx": "ingress-nginx",
    "traefik": "traefik",
    "envoy": "envoy",
}
"""Values of the label `source`."""

FORMATS: Final[Mapping[str, Format]] = {
    "deis-router": cast("Format", router),
    "ingress-nginx": cast("Format", ingress),
    "traefik": cast("Format", traefik),
    "envoy": cast("Format", envoy),
}

_ENVOY_GATEWAY: Final = re.compile(r"(?:http|grpc)route/([^/]+)/([^/]+)/.*")
_ISTIO: Final = re.compile(r"outbound\|[^|]*\|[^|]*\|([^.|]+)\.([^.|]+)\.svc\.[^|]*")


def owner_of(source: Source, writer: ChunkFacts) -> Callable[[bytes], LabelSet]:
    """Whose a request is, as far as a router's line tells; where pods are at the addresses, they will tell it."""

    def of_backend(name: bytes) -> LabelSet:
        return LabelSet(writer.namespace, name_of(name) or writer.app, release=UNKNOWN)

    def of_router(app: bytes) -> LabelSet:
        name = name_of(app)
        return LabelSet(name, name, release=UNKNOWN)  # an app of Deis has a namespace of its own name

    def of_ingress(backend: bytes) -> LabelSet:
        # `<namespace>-<service>-<port>`: where the first of them ends, nothing tells.
        return of_backend(backend.rpartition(b"-")[0])

    def of_envoy(cluster: bytes) -> LabelSet:
        name = cluster.decode(errors="replace")
        if route := _ENVOY_GATEWAY.fullmatch(name):
            return LabelSet(route[1], route[2], release=UNKNOWN)
        if service := _ISTIO.fullmatch(name):
            return LabelSet(service[2], service[1], release=UNKNOWN)
        return of_backend(cluster)

    return {"deis-router": of_router, "ingress-nginx": of_ingress, "envoy": of_envoy}.get(source.format, of_backend)


class Routers(NamedTuple):
    """Pods of one source in one namespace.

    Attributes:
        source: The source.
        facts: Numbers of their facts in the batch.
    """

    source: Source
    facts: list[int]


def routers_of(batch: Batch, sources: Sequence[Source]) -> list[Routers]:
    """Which writers of a batch are routers: each belongs to the first of the sources that concerns it."""
    found: dict[tuple[Source, str], list[int]] = {}
    for index, facts in enumerate(batch.facts):
        source = next((each for each in sources if each.concerns(facts)), None)
        if source is not None:
            found.setdefault((source, facts.namespace), []).append(index)
    return [Routers(source, facts) for (source, _), facts in found.items()]


def source_samples(batch: Batch, routers: Sequence[Routers], misses: Misses) -> Iterator[Samples]:
    """Samples of routers' lines."""
    for source, facts in routers:
        access, unread = read_access(
            batch,
            rows_of(batch, facts),
            LABELS[source.format],
            FORMATS[source.format],
            owned_by=owner_of(source, batch.facts[facts[0]]),
            attributed=source.endpoints,
        )
        misses.add(unread, source.format, UNMATCHED)
        misses.add(access.rows[np.isnan(access.seconds) | np.isnan(access.size)], source.format, NOT_A_NUMBER)
        yield from access_samples(access)
