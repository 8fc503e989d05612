"""The Deis deploy hook: a new release starts a canary. And an annotation on a Deployment that does the same.

The hook is signed: `Authorization` is the hexadecimal HMAC-SHA1, under the shared key, of the URL that the controller
calls, with its query.

Source: Deis controller v2.18, deploy hooks.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web
from pydantic import SecretStr

from monitor.canary.kube import ConflictError, Kube, RefusedError
from monitor.canary.resource.names import API_VERSION, JUDGE, KIND, RELEASE
from monitor.canary.resource.spec import Mode
from monitor.canary.world import DEIS, Json
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

PATH: Final = "/v1/hooks/deis"
PROCESS: Final = "web"
_APP = re.compile(r"[a-z][a-z0-9-]{0,62}")
_RELEASE = re.compile(r"v[1-9][0-9]{0,8}")


def is_signed(url: str, told: str, key: str) -> bool:
    """Whether who made the request knows the key.

    Args:
        url: The whole URL as the controller calls it.
        told: Value of `Authorization`.
        key: The shared key.
    """
    expected = hmac.new(key.encode(), url.encode(), hashlib.sha1).hexdigest()
    return hmac.compare_digest(expected.encode(), told.encode())


def canary_for(app: str, release: str, *, process: str = PROCESS) -> Json:
    """The resource that judges an app's releases with defaults."""
    name = f"{app}-{process}"
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": app, "annotations": {RELEASE: release}},
        "spec": {"targetRef": {"name": name}, "arms": {"mode": Mode.BASELINE.value}},
    }


def wanted(deployment: Mapping[str, object] | Json) -> Json | None:
    """The resource that a Deployment's annotation asks for; `None` when its value makes no sense."""
    facts = deployment["metadata"]
    assert isinstance(facts, dict)  # noqa: S101 - the API server's
    value = facts["annotations"][JUDGE]
    is_deis = (facts.get("labels") or {}).get("heritage") == DEIS
    if value == "true":
        value = (Mode.BASELINE if is_deis else Mode.SURGE).value
    if value not in {mode.value for mode in Mode}:
        return None
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": facts["name"], "uid": facts["uid"]}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": facts["name"], "namespace": facts["namespace"], "ownerReferences": [owner]},
        "spec": {"targetRef": {"name": facts["name"]}, "arms": {"mode": value}},
    }


class DeployHook:
    """Serves the hook.

    Args:
        kube: Where the resource is made.
        key: The shared key.
        url: The hook's address as the Deis controller has it, without the query: what it signs.
    """

    def __init__(self, kube: Kube, *, key: SecretStr, url: str) -> None:
        self._kube, self._key, self._url = kube, key, url

    def routes(self) -> list[web.RouteDef]:
        """See the module."""
        return [web.post(PATH, self._told)]

    async def _told(self, request: web.Request) -> web.Response:
        url = f"{self._url}?{request.rel_url.raw_query_string}"
        if not is_signed(url, request.headers.get("Authorization", ""), self._key.get_secret_value()):
            raise web.HTTPUnauthorized
        app, release = request.query.get("app", ""), request.query.get("release", "")
        if not (_APP.fullmatch(app) and _RELEASE.fullmatch(release)):
            raise web.HTTPBadRequest(text="app and release are needed\n")
        if " rolled back to v" in f" {request.query.get('release_summary', '')}":
            return web.Response(text="a rollback's own release is not judged\n")
        try:
            await start(self._kube, canary_for(app, release))
        except KubernetesUnavailableError as error:
            raise web.HTTPServiceUnavailable(text="the API server does not answer\n") from error
        except RefusedError as error:
            log.warning("a deploy hook's canary is refused", app=app, error=str(error))
            raise web.HTTPBadRequest(text="refused\n") from error
        return web.Response(status=202)


async def start(kube: Kube, body: Json) -> None:
    """Make a resource, or tell the one that is there of the release.

    Raises:
        KubernetesUnavailableError: The API server does not answer.
        RefusedError: It does not allow it.
    """
    facts = body["metadata"]
    try:
        await kube.make_canary(facts["namespace"], body)
    except ConflictError:
        if facts.get("annotations"):
            await kube.annotate_canary(facts["namespace"], facts["name"], facts["annotations"])
