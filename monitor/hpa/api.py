"""A request from its first check to its answer.

::

    who asks --> what for --> may he --> values --> objects
      401          404         403       404 503     200
"""

import ssl
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from monitor.hpa import shapes
from monitor.hpa.callers import Callers
from monitor.hpa.catalog import Catalog, custom_resources, external_resources
from monitor.hpa.custom import CustomMetrics
from monitor.hpa.external import ExternalMetrics
from monitor.hpa.fallback import PASSED, Fallback
from monitor.hpa.paths import CUSTOM, EXTERNAL, VERSIONS, Asked, asked_by
from monitor.hpa.refusal import NO_VALUE, RefusalError, UnknownError
from monitor.hpa.rights import Rights
from monitor.hpa.selector import Selector, parse_selector
from monitor.reading import IncompleteError
from monitor.values import StaleError
from pipeline.errors import KubernetesUnavailableError

log = structlog.get_logger()

_ALIVE: Final = frozenset({"/healthz", "/livez", "/readyz"})
_MOST_PARAMETERS: Final = 32


class MetricsApi:
    """Answers requests.

    Args:
        callers: Says who asks.
        rights: Says what he may.
        custom: Custom metrics.
        external: External metrics.
        catalog: What there is.
        fallback: Who is asked for what is not known here, if anybody.
        is_newest: Whether a connection was made under the certificates that count now.
        registry: For the metrics.
    """

    def __init__(
        self,
        *,
        callers: Callers,
        rights: Rights,
        custom: CustomMetrics,
        external: ExternalMetrics,
        catalog: Catalog,
        fallback: Fallback | None,
        is_newest: Callable[[ssl.SSLObject | None], bool],
        registry: CollectorRegistry,
    ) -> None:
        self._callers, self._rights, self._is_newest = callers, rights, is_newest
        self._custom, self._external, self._catalog, self._fallback = custom, external, catalog, fallback
        self._plain: dict[str, Callable[[], Awaitable[shapes.Json]]] = _plain_paths(self._resources)
        self._answers = Counter(
            "monitor_hpa_answers", "Answers of the metrics APIs, by API and status.", ["api", "code"], registry=registry
        )
        self._withheld = Counter(
            "monitor_hpa_withheld",
            "Answers without the value that was asked for, by why.",
            ["reason"],
            registry=registry,
        )

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, whatever it is."""
        try:
            response = await self._answer(request)
        except RefusalError as refusal:
            response = self._refuse(refusal)
        except KubernetesUnavailableError as error:
            response = self._refuse(_unavailable(f"the API server does not answer: {error}", "api-server"))
        except StaleError as error:
            response = self._refuse(_unavailable(str(error), "stale"))
        except IncompleteError as error:
            response = self._refuse(_unavailable(str(error), "incomplete"))
        except Exception as error:
            log.exception("metrics API failed", path=request.path, kind=type(error).__name__)
            response = self._refuse(RefusalError(500, "InternalError", "internal error", cause="error"))
        if not self._is_newest(request.get_extra_info("ssl_object")):
            response.force_close()  # the next request shows whether its certificate still counts
        self._answers.labels(_api_of(request.path), str(response.status)).inc()
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path
        if path in _ALIVE:
            return web.Response(text="ok")
        certificate = request.get_extra_info("peercert")
        caller = await self._callers.identify(certificate, request.headers)
        if request.method not in {"GET", "HEAD"}:
            raise RefusalError(405, "MethodNotAllowed", "metrics can only be read", cause="method")
        if path in self._plain:
            await self._rights.check_path(caller, path)
            return web.json_response(await self._plain[path]())
        asked = asked_by(path)
        if asked is None:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource", cause="path")
        await self._rights.check_metric(caller, asked)
        return await self._known(request, asked)

    async def _known(self, request: web.Request, asked: Asked) -> web.Response:
        """What is known here, or what another adapter says."""
        try:
            return await self._values(request, asked)
        except UnknownError as error:
            if self._fallback is None:
                return self._empty(asked, RefusalError(404, "NotFound", str(error), cause="unknown"))
            if PASSED in request.headers:
                raise RefusalError(508, "LoopDetected", "passed on by itself", cause="loop") from error
            passed = await self._fallback.get(request.rel_url.raw_path_qs)
            return web.Response(status=passed.status, body=passed.body, content_type="application/json")

    async def _values(self, request: web.Request, asked: Asked) -> web.Response:
        query = _query_of(request.rel_url.raw_query_string)
        labels = query.get("labelSelector", "")
        try:
            if asked.group == EXTERNAL:
                items = await self._external.items(asked, selector=_selector(labels))
                return web.json_response(shapes.external_list(asked.metric, items))
            _selector(labels)
            of_metric = _selector(query.get("metricLabelSelector", ""))
            items = await self._custom.items(asked, labels=labels, selector=of_metric)
            return web.json_response(shapes.custom_list(asked.version, asked.metric, items))
        except StaleError as error:
            return self._empty(asked, _unavailable(str(error), "stale"))
        except RefusalError as refusal:
            if refusal.cause != NO_VALUE:
                raise
            return self._empty(asked, refusal)

    def _empty(self, asked: Asked, refusal: RefusalError) -> web.Response:
        """No value: of external metrics that is an empty list, which an autoscaler takes for an error, too."""
        if asked.group != EXTERNAL:
            raise refusal
        self._withheld.labels(refusal.cause).inc()
        words = str(refusal).replace("\\", " ").replace('"', "'")
        return web.json_response(shapes.external_list(asked.metric, []), headers={"Warning": f'299 - "{words}"'})

    def _refuse(self, refusal: RefusalError) -> web.Response:
        self._withheld.labels(refusal.cause).inc()
        told = shapes.status(refusal.code, refusal.reason, str(refusal))
        return web.json_response(told, status=refusal.code)

    async def _resources(self, group: str, version: str) -> shapes.Json:
        """What is here, and what another adapter has beside it."""
        names = await self._catalog.names()
        listed = custom_resources(names) if group == CUSTOM else external_resources(names)
        if self._fallback is not None:
            known = {one["name"] for one in listed}
            more = await self._fallback.listed(f"/apis/{group}/{version}")
            listed += [one for one in more if one["name"] not in known]
        return shapes.resources(group, version, listed)


def _plain_paths(
    resources: Callable[[str, str], Awaitable[shapes.Json]],
) -> dict[str, Callable[[], Awaitable[shapes.Json]]]:
    """Paths that are no metric, and what answers them."""

    def fixed(value: shapes.Json) -> Callable[[], Awaitable[shapes.Json]]:
        async def answer() -> shapes.Json:
            return value

        return answer

    def listed(group: str, version: str) -> Callable[[], Awaitable[shapes.Json]]:
        return lambda: resources(group, version)

    return {
        "/apis": fixed(shapes.groups()),
        "/openapi/v2": fixed(shapes.OPENAPI_V2),
        "/openapi/v3": fixed(shapes.OPENAPI_V3),
        **{f"/apis/{group}": fixed(shapes.group(group)) for group in VERSIONS},
        **{f"/apis/{group}/{version}": listed(group, version) for group, all_ in VERSIONS.items() for version in all_},
    }


def _query_of(text: str) -> dict[str, str]:
    """The parameters of a request, the first of each name."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise RefusalError(400, "BadRequest", "too many parameters", cause="bad-request") from error
    return dict(reversed(pairs))


def _selector(text: str) -> Selector:
    try:
        return parse_selector(text)
    except ValueError as error:
        raise RefusalError(400, "BadRequest", str(error), cause="bad-request") from error


def _unavailable(message: str, cause: str) -> RefusalError:
    return RefusalError(503, "ServiceUnavailable", message, cause=cause)


def _api_of(path: str) -> str:
    """For a metric: `custom`, `external` or `other`."""
    return next((group.partition(".")[0] for group in VERSIONS if path.startswith(f"/apis/{group}")), "other")
