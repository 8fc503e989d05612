"""Which metrics there are, for who lists the APIs' resources."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from monitor.hpa.cached import Cached
from monitor.hpa.naming import KINDS
from monitor.hpa.shapes import Json, resource
from monitor.meaning import BUILT_IN, names_of
from monitor.reading import IncompleteError, Known, Reader

LIST_SECONDS: Final = 2.0
"""What a list may wait for others: an API server that gets none within five seconds takes the APIs for dead."""

_MOST: Final = 500  # of names, so that the list stays below a megabyte
_SECONDS: Final = 30.0  # autoscalers do not read it; API servers do, each for itself
_LISTED: Final = "names"


class Catalog:
    """See the module.

    Args:
        reader: Knows the metrics that rules make.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: Cached[str, tuple[str, ...]] = Cached(entries=1, seconds=_SECONDS)

    async def names(self) -> tuple[str, ...]:
        """Names of values, those first that are always there.

        While not every shard says what it has, these alone: a list that fails would hold up what has nothing to do
        with metrics, as the deletion of a namespace.
        """
        kept = self._kept.get(_LISTED)
        if kept is None:
            kept = await self._read()
            self._kept.put(_LISTED, kept)
        return kept

    async def _read(self) -> tuple[str, ...]:
        known: list[Known] = []
        with contextlib.suppress(IncompleteError, TimeoutError):
            async with asyncio.timeout(LIST_SECONDS):
                known = await self._reader.known()
        made = (name for one in sorted(known, key=lambda one: one.metric.name) for name in names_of(one.metric))
        return tuple(dict.fromkeys((*BUILT_IN, *made)))[:_MOST]


def custom_resources(names: Iterable[str]) -> list[Json]:
    """What the custom metrics API lists."""
    kinds = ("pods", *KINDS)
    found = [resource(f"{kind}/{name}", kind="MetricValueList") for name in names for kind in kinds]
    return found + [resource(f"namespaces/{name}", kind="MetricValueList", namespaced=False) for name in names]


def external_resources(names: Iterable[str]) -> list[Json]:
    """What the external metrics API lists."""
    return [resource(name, kind="ExternalMetricValueList") for name in names]
