"""Counts of a minute from Prometheus: two instant queries for each arm, at the minute's end."""

import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from monitor.canary.observe.asking import ArmNames
from monitor.canary.observe.rows import SECOND_NS, Row
from monitor.canary.resource.spec import PromQL

_PLACES = re.compile(r"\$(namespace|app|process|release)\b")
_PATIENCE: Final = aiohttp.ClientTimeout(total=15)
_MOST_BYTES: Final = 1 << 20


class PrometheusError(Exception):
    """It does not answer, or not with one number."""


def filled(query: str, values: Mapping[str, str]) -> str:
    """Put values into a query, as they are written within quotation marks in PromQL."""

    def place(match: re.Match[str]) -> str:
        return values[match[1]].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return _PLACES.sub(place, query)


def number_of(answer: Any) -> float | None:
    """The number that an instant query gave; `None` when it found no series.

    Raises:
        PrometheusError: It is none, or several.
    """
    try:
        data = answer["data"]
        found = [data["result"]] if data["resultType"] == "scalar" else [one["value"] for one in data["result"]]
        values = [float(value) for _, value in found]
    except (KeyError, TypeError, ValueError) as error:
        raise PrometheusError(f"an answer makes no sense: {error!r}") from error
    if len(values) > 1:
        raise PrometheusError(f"a query gives {len(values)} series: it must give one")
    if values and not 0 <= values[0] < float("inf"):
        raise PrometheusError(f"a query gives {values[0]}")
    return values[0] if values else None


class Prometheus:
    """A Prometheus.

    Args:
        session: For requests.
        url: Its address, without a path.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/api/v1/query"

    async def row(self, metric: str, queries: PromQL, names: ArmNames, stop_ns: int) -> Row | None:
        """What a minute counts; `None` when an arm is not known: that is missing, and never 0.

        Raises:
            PrometheusError: See there.
        """
        counts: list[float] = []
        for release in (names.stable, names.canary):
            values = {"namespace": names.namespace, "app": names.app, "process": names.process, "release": release}
            n = await self._ask(filled(queries.total, values), stop_ns)
            e = await self._ask(filled(queries.bad, values), stop_ns)
            if n is None:
                return None
            counts += [n, e or 0.0]  # no series of errors, though there are requests: none happened
        return Row(metric, *counts)

    async def _ask(self, query: str, time_ns: int) -> float | None:
        sent = {"query": query, "time": str(time_ns / SECOND_NS)}
        try:
            async with self._session.post(self._url, data=sent, timeout=_PATIENCE) as answer:
                if answer.content_length is not None and answer.content_length > _MOST_BYTES:
                    raise PrometheusError("an answer is too long")
                return number_of(await answer.json())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise PrometheusError(f"no answer: {error!r}") from error
