"""`/v1/canaries` and `/v1/graph`: what canaries are there, how they stand, and what their analyses are made of."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from monitor.canary import graph
from monitor.canary.board import Analysis, Board
from monitor.canary.decide import decide
from monitor.canary.picture import draw
from monitor.canary.resource.canary import Canary
from monitor.canary.resource.status import DECIDED
from pipeline.auth import GRANT
from pipeline.errors import KubernetesUnavailableError, StoreUnavailableError

LIST: Final = "/v1/canaries"
ONE: Final = "/v1/canaries/{namespace}/{name}"
COUNTS: Final = ONE + "/counts"
PICTURE: Final = ONE + "/picture.svg"
GRAPH: Final = "/v1/graph"

SVG: Final = "image/svg+xml"
NO_SCRIPT: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def canary_routes(board: Board) -> list[web.RouteDef]:
    """The routes. Whose token opens an app's namespace sees the canaries in it: to Deis, both go by one name."""
    views = _Views(board)
    return [
        web.get(LIST, views.all),
        web.get(ONE, views.one),
        web.get(COUNTS, views.counts),
        web.get(PICTURE, views.picture),
        web.get(GRAPH, views.graph),
    ]


class _Views:
    def __init__(self, board: Board) -> None:
        self._board = board

    async def all(self, request: web.Request) -> web.Response:
        namespace = request.query.get("namespace", "")
        shown = [
            told(canary) for canary in await self._opened(request) if not namespace or canary.namespace == namespace
        ]
        return web.json_response({"canaries": shown})

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response(told(await self._canary(request)))

    async def counts(self, request: web.Request) -> web.Response:
        """As `deis-telemetry canary simulate` takes them."""
        analysis = await self._analysis(await self._canary(request))
        body = {"observation": analysis.observation, "policy": analysis.frozen.policy, "verdict": analysis.verdict}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def picture(self, request: web.Request) -> web.Response:
        canary = await self._canary(request)
        analysis = await self._analysis(canary)
        title = f"{canary.path}: {canary.status.canary_release} beside {canary.status.stable_release}"
        try:
            text = await asyncio.to_thread(_drawn, title, analysis)  # weighing a long one takes 70 ms and more
        except ValueError as error:
            raise web.HTTPConflict(text=str(error)) from error
        return web.Response(text=text, content_type=SVG, headers=NO_SCRIPT)

    async def graph(self, request: web.Request) -> web.Response:
        canaries = await self._opened(request)
        shown = {canary.path for canary in canaries}
        laid_out = graph.graph_of(canaries)
        return web.json_response(
            {
                "nodes": [told(canary) for canary in canaries],
                "edges": [
                    {"from": path, "to": edge.to, "policy": edge.policy}
                    for path in sorted(laid_out.edges)
                    for edge in laid_out.edges[path]
                    if edge.to in shown
                ],
                "refused": {path: {"reason": why[0], "message": why[1]} for path, why in laid_out.refused.items()},
            }
        )

    async def _opened(self, request: web.Request) -> list[Canary]:
        try:
            found = await self._board.canaries()
        except KubernetesUnavailableError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return [canary for canary in found if request[GRANT].opens(canary.namespace)]

    async def _canary(self, request: web.Request) -> Canary:
        """One that the token opens; of the others it is not said whether they are there."""
        path = f"{request.match_info['namespace']}/{request.match_info['name']}"
        for canary in await self._opened(request):
            if canary.path == path:
                return canary
        raise web.HTTPNotFound(text=f"there is no canary {path!r}")

    async def _analysis(self, canary: Canary) -> Analysis:
        try:
            analysis = await self._board.analysis(canary)
        except StoreUnavailableError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        if analysis is None:
            raise web.HTTPNotFound(text=f"no analysis of {canary.path} has begun", reason=HTTPStatus.NOT_FOUND.phrase)
        return analysis


def _drawn(title: str, analysis: Analysis) -> str:
    policy, observation = analysis.frozen.policy, analysis.observation
    return draw(title, policy, observation, analysis.verdict or decide(policy, observation))


def told(canary: Canary) -> Mapping[str, Any]:
    """A canary as JSON: who it is, its status, and whether it is decided."""
    status = msgspec.to_builtins(canary.status, str_keys=True)
    status.pop("frozen", None)
    return {
        "namespace": canary.namespace,
        "name": canary.name,
        "policy": canary.spec.policy,
        "target": canary.spec.stable_name,
        "decided": canary.status.phase in DECIDED,
        "dependsOn": [{"name": each.name, "policy": each.policy} for each in canary.spec.depends_on],
        "status": {"phase": canary.status.phase, **status},
    }
