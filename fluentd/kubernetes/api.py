"""Lists and watches the pods of one node."""

from collections.abc import AsyncGenerator, Iterator
from typing import Final

import aiohttp
import msgspec
from kubernetes.aio.client.api_client import ApiClient

from fluentd.kubernetes.facts import Event, Mark, Pod, PodList
from pipeline.apiserver import Status, asked, read_answer, refusal

PAGE_PODS: Final = 100
"""Pods in one answer: a page of them usually takes 1 MB."""

OPEN: Final = "OPEN"
"""Kind of the first event of a watch, without a pod: the server has begun to answer."""

_PODS: Final = "/api/v1/pods"
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 90.0  # the server bookmarks each minute: a watch as silent as this has lost its other end


class PodApi:
    """The pods of one node at the API server.

    Args:
        client: Open.
        node: Name of the node.
    """

    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._query: Final = [("fieldSelector", f"spec.nodeName={node}")]

    async def list_pods(self, *, newest: bool) -> tuple[Iterator[Pod], str]:
        """All pods of the node, read one by one as they are taken, and the version of the list.

        Args:
            newest: As etcd has it now; else as the API server remembers it, which costs a large cluster far less and
                may be a moment old, and a watch tells the rest.

        Raises:
            KubernetesUnavailableError: No answer, or not this one.
            GoneError: The list changed so much while it was read page by page that it has to be begun again.
        """
        pods = list[msgspec.Raw]()
        page: list[tuple[str, str]] = [] if newest else [("resourceVersion", "0")]
        while True:
            query = [*self._query, ("limit", str(PAGE_PODS)), *page]
            async with asked(self._client, _PODS, query=query) as answer:
                found = read_answer(await answer.read(), PodList)
            pods += found.items or ()
            if not found.metadata.continue_:
                return (read_answer(bytes(pod), Pod) for pod in pods), found.metadata.resource_version
            page = [("continue", found.metadata.continue_)]

    async def watch_pods(self, version: str, *, seconds: int) -> AsyncGenerator[tuple[str, Pod | None, str], None]:
        """What happens to the node's pods after `version`.

        Args:
            version: Of the list, or of the last event seen.
            seconds: When the server ends the watch.

        Yields:
            `OPEN` without a pod; then `ADDED`, `MODIFIED`, `DELETED` with one, or `BOOKMARK` without. And the version
            to go on from.

        Raises:
            KubernetesUnavailableError: No answer, not this one, or it broke off.
            GoneError: See there.
        """
        query = [*self._query, ("watch", "1"), ("allowWatchBookmarks", "true"), ("resourceVersion", version)]
        query.append(("timeoutSeconds", str(seconds)))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        async with asked(self._client, _PODS, query=query, patience=timeout) as answer:
            yield OPEN, None, version
            async for line in answer.content:
                yield read_event(line)


def read_event(line: bytes) -> tuple[str, Pod | None, str]:
    """Read one line of a watch; see `PodApi.watch_pods`.

    Raises:
        KubernetesUnavailableError: It is an error, or makes no sense.
        GoneError: It says so.
    """
    event = read_answer(line, Event)
    thing = bytes(event.object)
    if event.type == "ERROR":
        raise refusal(read_answer(thing, Status).code, thing, "")
    if event.type == "BOOKMARK":
        return event.type, None, read_answer(thing, Mark).metadata.resource_version
    pod = read_answer(thing, Pod)
    return event.type, pod, pod.metadata.resource_version
