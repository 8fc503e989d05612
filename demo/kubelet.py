"""`python -m demo.kubelet KUBECONFIG NODE...`: stands in for the kubelets of nodes that do not exist.

Makes the Node objects and keeps their leases, lets every pod that is bound to one of them run, and completes deletions.
No container runs: who needs log files writes them (see `demo.containers`).
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config

_LEASE_SECONDS: Final = 40
_RENEW_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 0.5
_WATCH_SECONDS: Final = 300
_CAPACITY: Final = {"cpu": "8", "memory": "32Gi", "pods": "250", "ephemeral-storage": "100Gi"}
_MERGE: Final = "application/strategic-merge-patch+json"
_AGAIN: Final = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals that another try may not meet; so may those of a server that fails."""

Json = dict[str, Any]


class KubeletError(Exception):
    """The API server refused something; says what."""


class Api:
    """JSON to and from the API server.

    Args:
        client: Open.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: Json | None = None, *, kind: str = "application/json") -> int:
        """Send one request; the status of the answer."""
        response = await self._request(method, path, body, kind)
        await response.read()
        return int(response.status)

    async def watch(self, path: str) -> AsyncIterator[Json]:
        """What happens to the objects of `path`, beginning with all that are there."""
        response = await self._request(
            "GET", f"{path}?watch=1&timeoutSeconds={_WATCH_SECONDS}", None, "application/json"
        )
        if response.status != HTTPStatus.OK:
            raise KubeletError(f"watch of {path}: {response.status}")
        async for line in response.response.content:
            yield json.loads(line)

    async def _request(self, method: str, path: str, body: Json | None, kind: str) -> Any:
        _, url, headers, sent, _ = await self._client.param_serialize(
            method, path, header_params={"Content-Type": kind}, body=body, auth_settings=["BearerToken"]
        )
        return await self._client.call_api(method, url, headers, sent, _request_timeout=_WATCH_SECONDS + 60)


class Kubelets:
    """The kubelets of some nodes.

    Args:
        api: See `Api`.
        nodes: Their names.
    """

    def __init__(self, api: Api, nodes: list[str]) -> None:
        self._api, self._nodes = api, nodes
        self._addresses = 0

    async def run(self) -> None:
        """Stand in for them until cancelled."""
        async with asyncio.TaskGroup() as group:
            for node in self._nodes:
                group.create_task(self._keep(node), name=node)
            group.create_task(self._look_after_pods(), name="pods")

    async def _keep(self, node: str) -> None:
        """Make a node, and say from time to time that it lives."""
        lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}"
        while True:
            try:
                renewed = {"spec": _spec_of_lease(node)}
                if await self._api.call("PATCH", lease, renewed, kind=_MERGE) == HTTPStatus.NOT_FOUND:
                    await self._register(node)
                    body = {"metadata": {"name": node}, **renewed}
                    await self._api.call("POST", lease.rpartition("/")[0], body)
                await self._say_ready(node)
            except (OSError, aiohttp.ClientError) as error:
                print(f"lease of {node}: {error!r}", flush=True)  # noqa: T201 - this program's log
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            await asyncio.sleep(_RENEW_SECONDS)

    async def _register(self, node: str) -> None:
        labels = {"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"}
        await self._api.call("POST", "/api/v1/nodes", {"metadata": {"name": node, "labels": labels}})

    async def _say_ready(self, node: str) -> None:
        """Say so each time: a node whose lease was late once is held for lost until it says otherwise."""
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
        address = {"type": "InternalIP", "address": "10.0.0.1"}
        status = {"capacity": _CAPACITY, "allocatable": _CAPACITY, "addresses": [address], "conditions": [ready]}
        await self._api.call("PATCH", f"/api/v1/nodes/{node}/status", {"status": status}, kind=_MERGE)

    async def _look_after_pods(self) -> None:
        while True:
            try:
                async for event in self._api.watch("/api/v1/pods"):
                    if event["type"] in ("ADDED", "MODIFIED"):
                        await self._look_after(event["object"])
            except (OSError, aiohttp.ClientError, ValueError, KubeletError) as error:
                print(f"watch of pods: {error!r}", flush=True)  # noqa: T201 - this program's log
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _look_after(self, pod: Json) -> None:
        facts = pod["metadata"]
        if pod["spec"].get("nodeName") not in self._nodes:
            return
        path = f"/api/v1/namespaces/{facts['namespace']}/pods/{facts['name']}"
        if facts.get("deletionTimestamp"):
            only_this = {"gracePeriodSeconds": 0, "preconditions": {"uid": facts["uid"]}}
            self._check(await self._api.call("DELETE", path, only_this), path)
        elif pod.get("status", {}).get("phase") == "Pending":
            status = await self._api.call("PATCH", f"{path}/status", {"status": self._running(pod)}, kind=_MERGE)
            self._check(status, path)

    @staticmethod
    def _check(status: int, path: str) -> None:
        """Let the watch begin anew, with all pods, after a failure: no other event may come of this one for minutes."""
        if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise KubeletError(f"{path}: {status}")

    def _running(self, pod: Json) -> Json:
        self._addresses += 1
        address = f"10.244.{self._addresses // 250 % 256}.{self._addresses % 250 + 2}"
        now = _now()
        ready = [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("Initialized", "ContainersReady", "Ready")
        ]
        containers = [
            {
                "name": one["name"],
                "image": one["image"],
                "imageID": "none",
                "containerID": f"none://{pod['metadata']['uid']}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for one in pod["spec"]["containers"]
        ]
        return {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": ready,
            "containerStatuses": containers,
        }


def _spec_of_lease(node: str) -> Json:
    renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"holderIdentity": node, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": renewed}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def main() -> None:
    """See the module."""
    configuration = Configuration()
    await load_kube_config(sys.argv[1], client_configuration=configuration)
    async with ApiClient(configuration) as client:
        await Kubelets(Api(client), sys.argv[2:]).run()


if __name__ == "__main__":
    asyncio.run(main())
