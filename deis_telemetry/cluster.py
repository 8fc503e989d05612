"""The API server, as far as the command needs it: autoscalers that are there, one applied; a word on a canary."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from kubernetes.aio.client.api_client import ApiClient

from deis_logs.errors import CliError, LostError
from deis_telemetry.autoscaler import MANAGER, Autoscaler, object_of
from deis_telemetry.judged import Status
from pipeline.apiserver import IN_CLUSTER, asked, open_client, read_answer
from pipeline.errors import KubernetesUnavailableError

_AUTOSCALERS: Final = "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"

CANARIES: Final = "/apis/canary.deis.io/v1alpha1/namespaces/{namespace}/canaries"


class _Named(msgspec.Struct, frozen=True):
    name: str = ""
    kind: str = ""


class _Spec(msgspec.Struct, frozen=True):
    target: _Named = msgspec.field(name="scaleTargetRef", default=_Named())


class _Item(msgspec.Struct, frozen=True):
    metadata: _Named = _Named()
    spec: _Spec = _Spec()


class _List(msgspec.Struct, frozen=True):
    items: list[_Item] = []


class _Judged(msgspec.Struct, frozen=True):
    status: Status = Status()


def source_of(kubeconfig: Path | None) -> str:
    """Where the way to the API server is told: an option, `KUBECONFIG`, the pod that this is, the usual file."""
    if kubeconfig is not None:
        return str(kubeconfig)
    if named := os.environ.get("KUBECONFIG"):
        return named
    return IN_CLUSTER if os.environ.get("KUBERNETES_SERVICE_HOST") else str(Path("~/.kube/config").expanduser())


@asynccontextmanager
async def connected(source: str) -> AsyncIterator[ApiClient]:
    """Open a client inside the block, in which the API server's errors become the command's.

    Raises:
        LostError: There is no way to it, or it does not answer.
        CliError: It refuses.
    """
    if source != IN_CLUSTER and not Path(source).is_file():
        raise LostError(f"there is no file {source}: give --kubeconfig or KUBECONFIG")
    try:
        async with open_client(source) as client:
            yield client
    except KubernetesUnavailableError as error:
        refused = error.reason.isdigit() and error.reason not in {"429", "500", "502", "503", "504"}
        raise (CliError if refused else LostError)(str(error)) from error


async def others(client: ApiClient, scaler: Autoscaler) -> list[str]:
    """Names of other autoscalers of the same Deployment: two over the same pods stop each other."""
    async with asked(client, _AUTOSCALERS.format(namespace=scaler.namespace)) as answer:
        found = read_answer(await answer.read(), _List)
    return sorted(
        item.metadata.name
        for item in found.items
        if (item.spec.target.kind, item.spec.target.name) == ("Deployment", scaler.deployment)
        and item.metadata.name != scaler.name
    )


async def apply(client: ApiClient, scaler: Autoscaler) -> None:
    """Create the autoscaler, or make it what is asked for: fields that somebody else set are a refusal."""
    wanted: dict[str, Any] = object_of(scaler)
    path = f"{_AUTOSCALERS.format(namespace=scaler.namespace)}/{scaler.name}"
    query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
    async with asked(
        client, path, method="PATCH", query=query, body=wanted, content_type="application/apply-patch+yaml"
    ) as answer:
        await answer.read()


async def read_canary(client: ApiClient, namespace: str, name: str) -> Status:
    """How a canary stands."""
    async with asked(client, f"{CANARIES.format(namespace=namespace)}/{name}") as answer:
        return read_answer(await answer.read(), _Judged).status


async def annotate_canary(client: ApiClient, namespace: str, name: str, annotations: dict[str, str]) -> None:
    """Set annotations of a canary; others stay."""
    path = f"{CANARIES.format(namespace=namespace)}/{name}"
    body = {"metadata": {"annotations": annotations}}
    query = [("fieldManager", MANAGER)]
    async with asked(
        client, path, method="PATCH", query=query, body=body, content_type="application/merge-patch+json"
    ) as answer:
        await answer.read()
