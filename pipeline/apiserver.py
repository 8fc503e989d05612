"""The way to the API server: how a service that is told `in-cluster`, or a kubeconfig file, connects to it and asks.

The connection is `kubernetes.aio`'s `ApiClient`; its typed classes load every model there is (130 MB) and stay out.
The API server's errors, and what is no answer at all, become ours.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import OpenApiException
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME, InClusterConfigLoader

from pipeline.errors import KubernetesUnavailableError, SettingsError

IN_CLUSTER: Final = "in-cluster"

ACCOUNT: Final = Path(SERVICE_TOKEN_FILENAME).parent
"""Where a pod finds the token of its service account, read again each minute, and whom it may trust."""

MALFORMED: Final = "malformed"
"""Reason of an error: there was an answer, and it makes no sense."""

METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""Accept header for a list of metadata alone, for whoever needs no more: a tenth of the objects.

Source: Kubernetes API concepts, "Metadata-only fetches". A server that does not know them sends whole objects, which
read the same.
"""

_PATIENCE: Final = aiohttp.ClientTimeout(total=30.0)
_MOST_RETRY_AFTER_SECONDS: Final = 300.0

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_TOLD_APART: Final = frozenset({400, 401, 403, 404, 429, 500, 502, 503, 504})

_FOREIGN: Final = (aiohttp.ClientError, OpenApiException, OSError, asyncio.TimeoutError, msgspec.DecodeError)

T = TypeVar("T")


class GoneError(Exception):
    """The version that a watch or a list was to go on from is no longer there: list again."""


class Status(msgspec.Struct, frozen=True):
    """What an error says."""

    code: int = 0
    reason: str = ""
    message: str = ""


@asynccontextmanager
async def open_client(source: str, *, account: Path = ACCOUNT) -> AsyncIterator[ApiClient]:
    """Open a connection; everything that it needs (token, authority, address) is read now.

    Args:
        source: `IN_CLUSTER`, or the path of a kubeconfig file.
        account: Folder of the service account's `token` and `ca.crt`, for `IN_CLUSTER`.

    Raises:
        KubernetesUnavailableError: What it needs is not there, or makes no sense.
    """
    configuration = Configuration()
    try:
        if source == IN_CLUSTER:
            paths = {"token_filename": str(account / "token"), "cert_filename": str(account / "ca.crt")}
            InClusterConfigLoader(**paths).load_and_set(configuration)
        else:
            await load_kube_config(source, client_configuration=configuration, persist_config=False)
        client = ApiClient(configuration)
    # A kubeconfig is read by code that trusts it: whatever it stumbles over is the file's fault.
    except Exception as error:
        raise KubernetesUnavailableError(f"no way to the API server: {error!r}", reason="configuration") from error
    async with client:
        yield client


def check_source(source: str, *, variable: str, account: Path = ACCOUNT) -> None:
    """Whether there is a way to the API server at all; not whether it answers.

    Args:
        source: As for `open_client`.
        variable: Where it comes from, for the message.
        account: As for `open_client`.

    Raises:
        SettingsError: There is none: what would be read is not what was asked for.
    """
    if source == IN_CLUSTER:
        if not ((account / "token").is_file() and os.environ.get("KUBERNETES_SERVICE_HOST")):
            raise SettingsError(f"{variable}={source}: this is no pod with a service account")
    elif not Path(source).is_file():
        raise SettingsError(f"{variable}={source}: not `off`, not `{IN_CLUSTER}` and no file")


@asynccontextmanager
async def asked(
    client: ApiClient,
    path: str,
    *,
    method: str = "GET",
    query: Iterable[tuple[str, str]] = (),
    body: Any = None,
    accept: str = "application/json",
    content_type: str = "application/json",
    patience: aiohttp.ClientTimeout = _PATIENCE,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Ask the API server; the answer, which is read inside the block.

    Args:
        client: Open.
        path: Below the server's root, with a slash.
        method: Of HTTP.
        query: Parameters, in order.
        body: Sent as JSON; `None` for nothing.
        accept: What kind of answer is wanted.
        content_type: What `body` is: a way to patch, or JSON.
        patience: How long an answer may take.

    Raises:
        KubernetesUnavailableError: No answer, or a refusal.
        GoneError: See there.
    """
    try:
        verb, url, headers, sent, _ = await client.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        told: Any = await client.call_api(verb, url, headers, sent, _request_timeout=patience)
        answer: aiohttp.ClientResponse = told.response
        async with answer:
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise refusal(answer.status, await answer.read(), answer.headers.get("Retry-After", ""))
            yield answer
    except ConfigException as error:
        raise KubernetesUnavailableError(str(error), reason="configuration") from error
    except ValueError as error:  # aiohttp's, for a line that is longer than its buffer
        raise KubernetesUnavailableError(f"an answer makes no sense: {error}", reason=MALFORMED) from error
    except _FOREIGN as error:
        raise KubernetesUnavailableError(f"no answer: {error!r}", reason="no-answer") from error


def read_answer(data: bytes, kind: type[T]) -> T:
    """Read JSON as `kind`; what is not asked for is passed over.

    Raises:
        KubernetesUnavailableError: It makes no sense.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KubernetesUnavailableError(f"an answer makes no sense: {error}", reason=MALFORMED) from error


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
