"""Lists and watches the pods of one node. The API server's errors, and what is no answer at all, become ours."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import OpenApiException
from kubernetes.aio.config import ConfigException

from fluentd.kubernetes.facts import EVENTS, LIST, Event, Mark, Pod, PodList, PodMeta, Status
from pipeline.errors import KubernetesUnavailableError

MALFORMED: Final = "malformed"
"""Reason of an error: there was an answer, and it makes no sense."""

PAGE_PODS: Final = 100
"""Pods in one answer: a page of them takes 1 MB at most, usually 200 KB."""

_LIST_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 90.0  # the server bookmarks each minute: a watch as silent as this has lost its other end
_MOST_RETRY_AFTER_SECONDS: Final = 300.0

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_TOLD_APART: Final = frozenset({400, 401, 403, 404, 429, 500, 502, 503, 504})

_FOREIGN: Final = (aiohttp.ClientError, OpenApiException, OSError, asyncio.TimeoutError, msgspec.DecodeError)

T = TypeVar("T")


class GoneError(Exception):
    """The version that a watch was to go on from is no longer there: list again."""


class PodApi:
    """The pods of one node at the API server.

    Args:
        client: Open.
        node: Name of the node.
    """

    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._query: Final = [("fieldSelector", f"spec.nodeName={node}")]

    async def list_pods(self, *, newest: bool) -> tuple[Iterator[PodMeta], str]:
        """All pods of the node, read one by one as they are taken, and the version of the list.

        Args:
            newest: As etcd has it now; else as the API server remembers it, which costs a large cluster far less and
                may be a moment old, and a watch tells the rest.

        Raises:
            KubernetesUnavailableError: No answer, or not this one.
            GoneError: The list changed so much while it was read page by page that it has to be begun again.
        """
        pods: list[msgspec.Raw] = []
        page: list[tuple[str, str]] = [] if newest else [("resourceVersion", "0")]
        while True:
            query = [*self._query, ("limit", str(PAGE_PODS)), *page]
            async with self._get(query, accept=LIST, patience=aiohttp.ClientTimeout(total=_LIST_SECONDS)) as answer:
                found = _decode(await answer.read(), PodList)
            pods += found.items or ()
            if not found.metadata.continue_:
                return (_decode(bytes(pod), Pod).metadata for pod in pods), found.metadata.resource_version
            page = [("continue", found.metadata.continue_)]

    async def watch_pods(self, version: str, *, seconds: int) -> AsyncGenerator[tuple[str, PodMeta | None, str], None]:
        """What happens to the node's pods after `version`.

        Args:
            version: Of the list, or of the last event seen.
            seconds: When the server ends the watch.

        Yields:
            `ADDED`, `MODIFIED`, `DELETED` with the pod, or `BOOKMARK` without one; and the version to go on from.

        Raises:
            KubernetesUnavailableError: No answer, not this one, or it broke off.
            GoneError: See there.
        """
        query = [*self._query, ("watch", "1"), ("allowWatchBookmarks", "true"), ("resourceVersion", version)]
        query.append(("timeoutSeconds", str(seconds)))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        async with self._get(query, accept=EVENTS, patience=timeout) as answer:
            async for line in answer.content:
                yield read_event(line)

    @asynccontextmanager
    async def _get(
        self, query: list[tuple[str, str]], *, accept: str, patience: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            method, url, headers, _, _ = await self._client.param_serialize(
                "GET",
                "/api/v1/pods",
                query_params=query,
                header_params={"Accept": accept},
                auth_settings=["BearerToken"],
            )
            told: Any = await self._client.call_api(method, url, headers, _request_timeout=patience)
            answer: aiohttp.ClientResponse = told.response
            async with answer:
                if answer.status != HTTPStatus.OK:
                    raise refusal(answer.status, await answer.read(), answer.headers.get("Retry-After", ""))
                yield answer
        except ConfigException as error:
            raise KubernetesUnavailableError(str(error), reason="configuration") from error
        except ValueError as error:  # aiohttp's, for a line that is longer than its buffer
            raise KubernetesUnavailableError(f"an answer makes no sense: {error}", reason=MALFORMED) from error
        except _FOREIGN as error:
            raise KubernetesUnavailableError(f"no answer: {error!r}", reason="no-answer") from error


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KubernetesUnavailableError(f"an answer makes no sense: {error}", reason=MALFORMED) from error


def read_event(line: bytes) -> tuple[str, PodMeta | None, str]:
    """Read one line of a watch; see `PodApi.watch_pods`.

    Raises:
        KubernetesUnavailableError: It is an error, or makes no sense.
        GoneError: It says so.
    """
    event = _decode(line, Event)
    thing = bytes(event.object)
    if event.type == "ERROR":
        raise refusal(_decode(thing, Status).code, thing, "")
    if event.type == "BOOKMARK":
        return event.type, None, _decode(thing, Mark).metadata.resource_version
    pod = _decode(thing, Pod).metadata
    return event.type, pod, pod.resource_version


def refusal(status: int, body: bytes, retry_after: str) -> Exception:
    """The error that an answer is.

    Args:
        status: Of the answer.
        body: What it says about itself, if it does.
        retry_after: Value of that header.
    """
    if status == HTTPStatus.GONE:
        return GoneError()
    try:
        said = msgspec.json.decode(body, type=Status).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = ""
    seconds = float(retry_after) if _SECONDS.fullmatch(retry_after) else 0.0
    return KubernetesUnavailableError(
        f"the API server answers {status}: {said[:300]}",
        reason=str(status) if status in _TOLD_APART else "other",
        retry_after_seconds=min(seconds, _MOST_RETRY_AFTER_SECONDS),
    )
