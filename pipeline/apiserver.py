"""The way to the API server: how a service that is told `in-cluster`, or a kubeconfig file, connects to it.

The connection is `kubernetes.aio`'s `ApiClient`; its typed classes load every model there is (130 MB) and stay out.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME, InClusterConfigLoader

from pipeline.errors import KubernetesUnavailableError, SettingsError

IN_CLUSTER: Final = "in-cluster"

ACCOUNT: Final = Path(SERVICE_TOKEN_FILENAME).parent
"""Where a pod finds the token of its service account, read again each minute, and whom it may trust."""


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
