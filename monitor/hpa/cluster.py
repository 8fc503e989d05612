"""What is asked of the API server: who has a token, what somebody may do, which pods and objects there are."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from kubernetes.aio.client.api_client import ApiClient

from monitor.hpa.naming import Thing
from pipeline.apiserver import asked, read_answer
from pipeline.errors import KubernetesUnavailableError

AUTHENTICATION: Final = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
"""Where an API server says with which certificates and headers it calls those behind it."""

_PATIENCE: Final = aiohttp.ClientTimeout(total=10.0)  # an autoscaler waits for the answer
_AT_ONCE: Final = 16
_PAGE_PODS: Final = 500
_MOST_PODS: Final = 20_000
_NS: Final = 1_000_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: Of the user.
        groups: That he is in.
        uid: Of the user, or empty.
        extra: What else is known of him: name and values.
    """

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class ReadyPod:
    """A pod that serves.

    Attributes:
        name: Its name.
        since_ns: Since when, nanoseconds since the epoch.
    """

    name: str
    since_ns: int


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class _TokenStatus(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()


class _TokenReview(msgspec.Struct, frozen=True):
    status: _TokenStatus = _TokenStatus()


class _AccessStatus(msgspec.Struct, frozen=True):
    allowed: bool = False
    denied: bool = False


class _AccessReview(msgspec.Struct, frozen=True):
    status: _AccessStatus = _AccessStatus()


class _ConfigMap(msgspec.Struct, frozen=True):
    data: dict[str, str] = msgspec.field(default_factory=dict)


class _Condition(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    status: str = ""
    last_transition_time: datetime | None = None


class _PodMeta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    deletion_timestamp: str | None = None


class _PodStatus(msgspec.Struct, frozen=True):
    phase: str = ""
    conditions: tuple[_Condition, ...] | None = None


class _Pod(msgspec.Struct, frozen=True):
    metadata: _PodMeta
    status: _PodStatus = _PodStatus()


class _ListMeta(msgspec.Struct, frozen=True):
    continue_: str = msgspec.field(default="", name="continue")


class _PodList(msgspec.Struct, frozen=True):
    metadata: _ListMeta = _ListMeta()
    items: tuple[_Pod, ...] | None = None


class Cluster:
    """See the module.

    Args:
        client: Open.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def authentication(self) -> dict[str, str]:
        """What `AUTHENTICATION` holds.

        Raises:
            KubernetesUnavailableError: No answer, or a refusal. So do all others here.
        """
        return (await self._ask(AUTHENTICATION, _ConfigMap)).data

    async def who_has(self, token: str) -> Caller | None:
        """The user of a bearer token, `None` if it is none."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = (await self._ask("/apis/authentication.k8s.io/v1/tokenreviews", _TokenReview, body)).status
        user = status.user
        if not status.authenticated or not user.username:
            return None
        return Caller(user.username, user.groups, user.uid, tuple(sorted(user.extra.items())))

    async def allows(self, caller: Caller, attributes: Mapping[str, Any]) -> bool:
        """Whether a caller may do what `attributes` (of a SubjectAccessReview's spec) say."""
        spec = {"user": caller.name, "groups": caller.groups, "uid": caller.uid, "extra": dict(caller.extra)}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**spec, **attributes},
        }
        review = await self._ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", _AccessReview, body)
        return review.status.allowed and not review.status.denied

    async def ready_pods(self, namespace: str, *, selector: str) -> list[ReadyPod]:
        """The pods of a namespace that are ready and stay."""
        found: list[ReadyPod] = []
        query = [("labelSelector", selector), ("limit", str(_PAGE_PODS))]
        page = ""
        while True:
            # As the API server remembers them, which costs it far less than to ask etcd.
            more = [("continue", page)] if page else [("resourceVersion", "0")]
            answer = await self._ask(f"/api/v1/namespaces/{quote(namespace)}/pods", _PodList, query=[*query, *more])
            found += [pod for item in answer.items or () if (pod := _ready(item)) is not None]
            page = answer.metadata.continue_
            if not page:
                return found
            if len(found) > _MOST_PODS:
                raise KubernetesUnavailableError(f"more than {_MOST_PODS} pods are selected", reason="too-many")

    async def ready_pod(self, namespace: str, name: str) -> ReadyPod | None:
        """One of them, if it is ready and stays."""
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"
        pod = await self._found(path, _Pod)
        return None if pod is None else _ready(pod)

    async def thing(self, root: str, namespace: str, resource: str, name: str) -> Thing | None:
        """An object of an API below `root`; `None` when there is none."""
        return await self._found(f"{root}/namespaces/{quote(namespace)}/{resource}/{quote(name)}", Thing)

    async def authorization(self) -> str:
        """The header with which this service says who it is; empty without a token."""
        _, _, headers, _, _ = await self._client.param_serialize("GET", "/", auth_settings=["BearerToken"])
        return str(headers.get("authorization") or headers.get("Authorization") or "")

    async def _found(self, path: str, kind: type[T]) -> T | None:
        try:
            return await self._ask(path, kind)
        except KubernetesUnavailableError as error:
            if error.reason == "404":
                return None
            raise

    async def _ask(
        self, path: str, kind: type[T], body: Any = None, *, query: list[tuple[str, str]] | None = None
    ) -> T:
        method = "GET" if body is None else "POST"
        async with (
            self._room,
            asked(self._client, path, method=method, body=body, query=query or (), patience=_PATIENCE) as answer,
        ):
            return read_answer(await answer.read(), kind)


def _ready(pod: _Pod) -> ReadyPod | None:
    if pod.metadata.deletion_timestamp or pod.status.phase != "Running":
        return None
    for condition in pod.status.conditions or ():
        if condition.type == "Ready" and condition.status == "True":
            since = condition.last_transition_time
            return ReadyPod(pod.metadata.name, int(since.timestamp()) * _NS if since else 0)
    return None
