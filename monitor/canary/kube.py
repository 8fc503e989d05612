"""The API server, as far as canaries need it: JSON there and back, errors told apart by what follows from them."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import OpenApiException
from kubernetes.aio.config import ConfigException

from monitor.canary.resource.names import API_VERSION, OWNER, PLURAL
from monitor.canary.world import Json
from pipeline.errors import KubernetesUnavailableError

PAGE: Final = 200
_PATIENCE: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)
_SHOWN: Final = 300
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_FOREIGN: Final = (aiohttp.ClientError, OpenApiException, OSError, asyncio.TimeoutError, ConfigException, ValueError)


class ConflictError(Exception):
    """The object is no longer what it was when it was read, or there is one already."""


class RefusedError(Exception):
    """The API server will not do this, now or later; says why."""


class Kube:
    """See the module. Everything is asked for anew: what is decided on must not be what was so a while ago.

    Args:
        client: Open.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def canaries(self, namespace: str = "") -> list[Json]:
        """All resources; of a namespace or of all."""
        return await self._list(f"/apis/{API_VERSION}{_within(namespace)}/{PLURAL}")

    async def canary(self, namespace: str, name: str) -> Json | None:
        """One resource; `None` when it is not there."""
        return await self._get(f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}/{name}")

    async def make_canary(self, namespace: str, body: Json) -> None:
        """Make a resource.

        Raises:
            ConflictError: There is one.
        """
        await self._call("POST", f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}", body)

    async def annotate_canary(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """Set annotations of a resource, or take them away."""
        path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
        await self._call("PATCH", path, {"metadata": {"annotations": annotations}}, kind="application/merge-patch+json")

    async def put_status(self, body: Json) -> Json:
        """Write a status, if the resource is as it was read; the resource as it is then.

        Raises:
            ConflictError: It is not.
        """
        facts = body["metadata"]
        path = f"/apis/{API_VERSION}/namespaces/{facts['namespace']}/{PLURAL}/{facts['name']}/status"
        return await self._call("PUT", path, body)

    async def deployment(self, namespace: str, name: str) -> Json | None:
        """One Deployment; `None` when it is not there."""
        return await self._get(f"{_deployments(namespace)}/{name}")

    async def change_deployment(self, namespace: str, name: str, method: str, body: Json) -> None:
        """Carry out one change; see `monitor.canary.change`.

        Raises:
            ConflictError: It is no longer what it was, or there is one already.
            RefusedError: It is not allowed, or makes no sense.
        """
        path = _deployments(namespace) if method == "POST" else f"{_deployments(namespace)}/{name}"
        await self._call(method, path, body)

    async def replica_sets(self, namespace: str, selector: dict[str, str]) -> list[Json]:
        """Those with these labels."""
        return await self._list(f"/apis/apps/v1/namespaces/{namespace}/replicasets", selector)

    async def pods(self, namespace: str, selector: dict[str, str]) -> list[Json]:
        """Those with these labels."""
        return await self._list(f"/api/v1/namespaces/{namespace}/pods", selector)

    async def annotated_deployments(self) -> list[Json]:
        """The metadata of all Deployments of the cluster, as the API server remembers them."""
        return await self._list("/apis/apps/v1/deployments", accept=_METADATA)

    async def tell(self, namespace: str, event: Json) -> None:
        """Make an Event."""
        await self._call("POST", f"/api/v1/namespaces/{namespace}/events", event)

    async def lease(self, namespace: str, name: str) -> Json | None:
        """One Lease; `None` when it is not there."""
        return await self._get(f"{_leases(namespace)}/{name}")

    async def put_lease(self, method: str, body: Json) -> Json:
        """Make (`POST`) or replace (`PUT`) a Lease; as it is then.

        Raises:
            ConflictError: It is no longer what it was.
        """
        facts = body["metadata"]
        path = _leases(facts["namespace"])
        return await self._call(method, path if method == "POST" else f"{path}/{facts['name']}", body)

    async def _get(self, path: str) -> Json | None:
        try:
            return await self._call("GET", path)
        except RefusedError as error:
            if error.args[1] == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _list(self, path: str, selector: dict[str, str] | None = None, *, accept: str = "") -> list[Json]:
        query = [("limit", str(PAGE))]
        if selector:
            query.append(("labelSelector", ",".join(f"{name}={value}" for name, value in sorted(selector.items()))))
        found: list[Json] = []
        more: list[tuple[str, str]] = []
        while True:
            page = await self._call("GET", path, query=[*query, *more], accept=accept)
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            more = [("continue", token)]

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: list[tuple[str, str]] | None = None,
        kind: str = "application/json",
        accept: str = "",
    ) -> Json:
        """One request.

        Raises:
            KubernetesUnavailableError: No answer, or not now. What became of a change is told by reading.
            ConflictError: 409.
            RefusedError: Any other answer that is none; has the status as its second argument.
        """
        writer = [] if method == "GET" else [("fieldManager", OWNER)]
        try:
            _, url, headers, sent, _ = await self._client.param_serialize(
                method,
                path,
                query_params=[*(query or []), *writer] if method != "DELETE" else [],
                header_params={"Accept": accept or "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
            )
            told: Any = await self._client.call_api(method, url, headers, sent, _request_timeout=_PATIENCE)
            async with told.response as answer:
                status, data = int(answer.status), await answer.read()
        except _FOREIGN as error:
            raise KubernetesUnavailableError(f"no answer: {error!r}", reason="no-answer") from error
        return _read(status, data, f"{method} {path}")


def _read(status: int, data: bytes, what: str) -> Json:
    if status < HTTPStatus.MULTIPLE_CHOICES:
        found: Json = msgspec.json.decode(data)
        return found
    told = f"{what}: {status} {data[:_SHOWN].decode(errors='replace')}"
    if status == HTTPStatus.CONFLICT:
        raise ConflictError(told)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise KubernetesUnavailableError(told, reason=str(status))
    raise RefusedError(told, status)


def _within(namespace: str) -> str:
    return f"/namespaces/{namespace}" if namespace else ""


def _deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def _leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
